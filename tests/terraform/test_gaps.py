"""What stands in for AWS answers the calls that moto does not know, as AWS answers them."""

from __future__ import annotations

import datetime
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest

from tests.support.aws import Aws
from tests.terraform.gaps import cbor, uncbor


@pytest.fixture(scope="module")
def server() -> Iterator[Aws]:
    with Aws.start("tests.terraform.server") as aws:
        yield aws


PROVISIONED = {
    "brokerNodeGroupInfo": {"clientSubnets": ["subnet-1", "subnet-2", "subnet-3"], "instanceType": "kafka.m7g.large"},
    "clientAuthentication": {"sasl": {"scram": {"enabled": True}, "iam": {"enabled": True}}},
    "kafkaVersion": "3.9.x",
    "numberOfBrokerNodes": 3,
}


def capitals(value: object) -> object:
    """boto3's names of members."""
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: capitals(one) for name, one in value.items()}
    return [capitals(one) for one in value] if isinstance(value, list) else value


def test_a_kafka_cluster_is_made_asked_for_and_deleted(server: Aws) -> None:
    kafka = server.client("kafka")
    arn = kafka.create_cluster_v2(ClusterName="one", Tags={"a": "b"}, Provisioned=capitals(PROVISIONED))["ClusterArn"]
    found = kafka.describe_cluster_v2(ClusterArn=arn)["ClusterInfo"]
    assert (found["State"], found["Provisioned"]["NumberOfBrokerNodes"], found["Tags"]) == ("ACTIVE", 3, {"a": "b"})
    assert kafka.describe_cluster(ClusterArn=arn)["ClusterInfo"]["NumberOfBrokerNodes"] == 3
    brokers = kafka.get_bootstrap_brokers(ClusterArn=arn)["BootstrapBrokerStringSaslScram"].split(",")
    assert len(brokers) == 3
    assert all(broker.endswith(":9096") for broker in brokers)
    kafka.delete_cluster(ClusterArn=arn)
    with pytest.raises(kafka.exceptions.NotFoundException):
        kafka.describe_cluster_v2(ClusterArn=arn)


def test_kafka_has_users_topics_and_configurations(server: Aws) -> None:
    kafka = server.client("kafka")
    arn = kafka.create_cluster_v2(ClusterName="two", Provisioned=capitals(PROVISIONED))["ClusterArn"]
    kafka.batch_associate_scram_secret(ClusterArn=arn, SecretArnList=["arn:1", "arn:2"])
    kafka.batch_disassociate_scram_secret(ClusterArn=arn, SecretArnList=["arn:1"])
    assert kafka.list_scram_secrets(ClusterArn=arn)["SecretArnList"] == ["arn:2"]
    kafka.create_topic(ClusterArn=arn, TopicName="executions", PartitionCount=8, ReplicationFactor=3)
    assert kafka.describe_topic(ClusterArn=arn, TopicName="executions")["PartitionCount"] == 8
    kafka.delete_topic(ClusterArn=arn, TopicName="executions")
    with pytest.raises(kafka.exceptions.NotFoundException):
        kafka.describe_topic(ClusterArn=arn, TopicName="executions")
    made = kafka.create_configuration(Name="c", KafkaVersions=["3.9.x"], ServerProperties=b"a=b")
    revision = kafka.describe_configuration_revision(Arn=made["Arn"], Revision=1)
    assert revision["ServerProperties"] == b"a=b"
    kafka.delete_configuration(Arn=made["Arn"])
    with pytest.raises(kafka.exceptions.BadRequestException, match="ARN does not exist"):
        kafka.describe_configuration(Arn=made["Arn"])


def test_grafana_has_workspaces(server: Aws) -> None:
    grafana = server.client("grafana")
    made = grafana.create_workspace(
        accountAccessType="CURRENT_ACCOUNT", authenticationProviders=["AWS_SSO"], permissionType="CUSTOMER_MANAGED"
    )["workspace"]
    assert grafana.describe_workspace(workspaceId=made["id"])["workspace"]["status"] == "ACTIVE"
    grafana.delete_workspace(workspaceId=made["id"])
    with pytest.raises(grafana.exceptions.ResourceNotFoundException):
        grafana.describe_workspace(workspaceId=made["id"])


def said_in_cbor(server: Aws, operation: str, **given: object) -> tuple[int, Any]:
    """A call as the AWS provider makes it; boto3 still speaks JSON here."""
    request = urllib.request.Request(
        f"{server.url}/service/GraniteServiceVersion20100801/operation/{operation}",
        data=cbor(given),
        headers={
            "Smithy-Protocol": "rpc-v2-cbor",
            "Content-Type": "application/cbor",
            "Authorization": "AWS4-HMAC-SHA256 Credential=test-access/20260101/eu-central-1/monitoring/aws4_request, "
            "SignedHeaders=host, Signature=0",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, uncbor(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, uncbor(error.read())


def test_alarms_come_and_go_over_cbor(server: Aws) -> None:
    wanted = {"AlarmName": "busy", "Namespace": "AWS/ECS", "MetricName": "CPU", "Statistic": "Average", "Period": 60,
              "EvaluationPeriods": 2, "Threshold": 0.5, "ComparisonOperator": "GreaterThanThreshold",
              "Dimensions": [{"Name": "a", "Value": "b"}]}  # fmt: skip
    assert said_in_cbor(server, "PutMetricAlarm", **wanted)[0] == 200
    status, found = said_in_cbor(server, "DescribeAlarms", AlarmNames=["busy"])
    (alarm,) = found["MetricAlarms"]
    assert (status, {name: alarm[name] for name in wanted}) == (200, wanted)
    assert alarm["AlarmConfigurationUpdatedTimestamp"].year >= 2026
    assert said_in_cbor(server, "DeleteAlarms", AlarmNames=["busy"])[0] == 200
    assert not said_in_cbor(server, "DescribeAlarms", AlarmNames=["busy"])[1]["MetricAlarms"]
    status, error = said_in_cbor(server, "GetDashboard", DashboardName="none")
    assert status >= 400
    assert "NotFound" in error["__type"]


def test_an_instance_is_monitored_when_asked(server: Aws) -> None:
    ec2 = server.client("ec2")
    (made,) = ec2.run_instances(ImageId="ami-00000000000000000", MinCount=1, MaxCount=1)["Instances"]
    ec2.monitor_instances(InstanceIds=[made["InstanceId"]])
    found = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert found["Monitoring"]["State"] == "enabled"


def test_an_instance_started_protected_is_not_terminated_before_somebody_takes_that_back(server: Aws) -> None:
    ec2 = server.client("ec2")
    (made,) = ec2.run_instances(
        ImageId="ami-00000000000000000", MinCount=1, MaxCount=1, DisableApiTermination=True
    )["Instances"]  # fmt: skip
    name = made["InstanceId"]
    said = ec2.describe_instance_attribute(InstanceId=name, Attribute="disableApiTermination")
    assert said["DisableApiTermination"]["Value"] is True
    with pytest.raises(ec2.exceptions.ClientError, match="OperationNotPermitted"):
        ec2.terminate_instances(InstanceIds=[name])
    ec2.modify_instance_attribute(InstanceId=name, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[name])


def test_a_service_keeps_its_grace_period(server: Aws) -> None:
    ecs = server.client("ecs")
    ecs.create_cluster(clusterName="c")
    task = ecs.register_task_definition(family="t", containerDefinitions=[{"name": "a", "image": "b", "memory": 64}])
    named = task["taskDefinition"]["taskDefinitionArn"]
    ecs.create_service(cluster="c", serviceName="s", taskDefinition=named, healthCheckGracePeriodSeconds=120)
    (found,) = ecs.describe_services(cluster="c", services=["s"])["services"]
    assert found["healthCheckGracePeriodSeconds"] == 120


def test_placement_groups_come_and_go(server: Aws) -> None:
    ec2 = server.client("ec2")
    tags = [{"ResourceType": "placement-group", "Tags": [{"Key": "a", "Value": "b"}]}]
    ec2.create_placement_group(GroupName="near", Strategy="cluster", TagSpecifications=tags)
    (found,) = ec2.describe_placement_groups(GroupNames=["near"])["PlacementGroups"]
    assert (found["Strategy"], found["State"], found["Tags"]) == ("cluster", "available", [{"Key": "a", "Value": "b"}])
    ec2.delete_placement_group(GroupName="near")
    with pytest.raises(botocore.exceptions.ClientError, match="Unknown"):
        ec2.describe_placement_groups(GroupNames=["near"])


def test_an_instance_is_in_the_group_that_it_was_started_in(server: Aws) -> None:
    ec2 = server.client("ec2")
    placed = {"GroupName": "near"}
    (made,) = ec2.run_instances(ImageId="ami-00000000000000000", MinCount=1, MaxCount=1, Placement=placed)["Instances"]
    found = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert found["Placement"]["GroupName"] == "near"


def test_a_rule_that_names_a_group_says_what_it_is_for(server: Aws) -> None:
    ec2 = server.client("ec2")
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    pair = {"GroupId": group, "Description": "clients"}
    rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [pair]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    assert [found["Description"] for found in rules if not found["IsEgress"]] == ["clients"]


def test_a_zone_made_with_a_vpc_is_private(server: Aws) -> None:
    zones, vpc = server.client("route53"), server.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    seen_from = {"VPCRegion": "eu-central-1", "VPCId": vpc}
    made = zones.create_hosted_zone(Name="inside.internal", CallerReference="1", VPC=seen_from)["HostedZone"]["Id"]
    assert zones.get_hosted_zone(Id=made)["VPCs"] == [seen_from]


def test_a_workspace_of_prometheus_keeps_its_key(server: Aws) -> None:
    amp = server.client("amp")
    made = amp.create_workspace(alias="a", kmsKeyArn="arn:aws:kms:eu-central-1:123456789012:key/k")["workspaceId"]
    assert amp.describe_workspace(workspaceId=made)["workspace"]["kmsKeyArn"].endswith("/k")


def test_a_database_says_whether_its_insights_are_on(server: Aws) -> None:
    rds = server.client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier="d", DBInstanceClass="db.m7g.large", Engine="postgres", AllocatedStorage=20,
        MasterUsername="admin_", MasterUserPassword="not-a-secret", EnablePerformanceInsights=True,
        PerformanceInsightsRetentionPeriod=7,
    )  # fmt: skip
    (found,) = rds.describe_db_instances(DBInstanceIdentifier="d")["DBInstances"]
    assert (found["PerformanceInsightsEnabled"], found["PerformanceInsightsRetentionPeriod"]) == (True, 7)


def test_a_bucket_keeps_the_tags_that_it_was_made_with(server: Aws) -> None:
    s3 = server.client("s3")
    s3.create_bucket(
        Bucket="tagged",
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1", "Tags": [{"Key": "a", "Value": "b"}]},
    )
    assert s3.get_bucket_tagging(Bucket="tagged")["TagSet"] == [{"Key": "a", "Value": "b"}]


def test_a_set_parameter_of_a_database_is_the_users(server: Aws) -> None:
    rds = server.client("rds")
    rds.create_db_parameter_group(DBParameterGroupName="g", DBParameterGroupFamily="postgres17", Description="d")
    wanted = {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}
    rds.modify_db_parameter_group(DBParameterGroupName="g", Parameters=[wanted])
    (found,) = rds.describe_db_parameters(DBParameterGroupName="g", Source="user")["Parameters"]
    assert (found["ParameterValue"], found["Source"]) == ("1", "user")


@pytest.mark.parametrize(
    "value",
    [0, 23, 24, 65536, -1, -500, 1.5, True, None, "straße", b"\x00", [1, [2]], {"a": {"b": []}},
     datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)],
    ids=repr,
)  # fmt: skip
def test_cbor_comes_back_as_it_went(value: object) -> None:
    assert uncbor(cbor(value)) == value


def test_an_instance_is_in_its_interface_s_groups_and_has_no_address_outside(server: Aws) -> None:
    ec2 = server.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.create_security_group(GroupName="engine", Description="d", VpcId=subnet["VpcId"])["GroupId"]
    interface = {
        "DeviceIndex": 0, "SubnetId": subnet["SubnetId"], "Groups": [group], "AssociatePublicIpAddress": False,
    }  # fmt: skip
    made = ec2.run_instances(
        ImageId="ami-00000000000000000", MinCount=1, MaxCount=1, InstanceType="c5.metal", NetworkInterfaces=[interface]
    )["Instances"][0]
    found = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert [one["GroupId"] for one in found["SecurityGroups"]] == [group]
    assert "Association" not in found["NetworkInterfaces"][0]
