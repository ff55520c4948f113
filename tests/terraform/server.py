"""moto's server with what it lacks for Terraform (gaps.py): python -m tests.terraform.server DESCRIPTOR."""

from __future__ import annotations

import copy
import os
import sys
from typing import Any, Final

from tests.support.aws import ACCOUNT, REGION, main
from tests.terraform.gaps import Gaps

IMAGE: Final = "ami-00000000000000000"


def _mend() -> None:
    """What is wrong inside moto, rather than missing."""
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.security_groups import SecurityGroupRule
    from moto.elbv2 import models as load_balancers
    from moto.iam.access_control import PermissionResult
    from moto.rds.models import DBParameterGroup
    from moto.route53.responses import Route53
    from moto.s3.models import FakeBucket

    # A listener's certificate is one of ACM that somebody ordered by hand.
    load_balancers.register_certificate = lambda *_, **__: None  # type: ignore[assignment]
    # AWS does not look at the policy of the bucket that logs go to when it is told of it.
    FakeBucket._log_permissions_enabled_policy = lambda self, **_: True  # type: ignore[method-assign]

    # Policies refuse whoever comes without TLS; moto does not read conditions and would refuse everybody.
    FakeBucket.get_permission = lambda self, *_: PermissionResult.PERMITTED  # type: ignore[method-assign]
    _keep_of_functions()
    _keep_of_databases()
    _keep_of_workspaces()
    _keep_of_instances()
    # A zone that is made with a VPC is a private one, also where the caller does not say so.
    asked = Route53._get_bool_param

    def ask(self: Any, name: str, if_none: Any = None) -> Any:
        if name == "HostedZoneConfig.PrivateZone" and self._get_param("VPC.VPCId"):
            return True
        return asked(self, name, if_none)

    Route53._get_bool_param = ask  # type: ignore[method-assign]
    # What a rule is for, where it names a group rather than addresses.
    SecurityGroupRule.description = property(
        lambda self: self.ip_range.get("Description") or self.source_group.get("Description")
    )
    # The machine image that an environment's release.json names before there is a release.
    amis = ec2_backends[ACCOUNT][REGION].amis
    image = copy.copy(next(found for found in amis.values() if found.architecture == "x86_64"))
    image.id = IMAGE
    amis[IMAGE] = image

    plain = DBParameterGroup.update_parameters

    def update(self: Any, new_parameters: Any) -> None:
        plain(self, [{**parameter, "Source": "user"} for parameter in new_parameters])

    DBParameterGroup.update_parameters = update  # type: ignore[method-assign]


def _keep_of_workspaces() -> None:
    """A Prometheus workspace keeps its key."""
    import json

    from moto.amp.models import Workspace
    from moto.amp.responses import PrometheusServiceResponse

    make, told = PrometheusServiceResponse.create_workspace, Workspace.to_dict

    def create(self: Any) -> str:
        made = json.loads(make(self))
        self.amp_backend.workspaces[made["workspaceId"]].key = json.loads(self.body).get("kmsKeyArn")
        return json.dumps(made)

    def tell(self: Any) -> dict[str, Any]:
        key = getattr(self, "key", None)
        return told(self) | ({"kmsKeyArn": key} if key else {})

    PrometheusServiceResponse.create_workspace = create  # type: ignore[method-assign]
    Workspace.to_dict = tell  # type: ignore[method-assign]


def _keep_of_instances() -> None:
    """An instance is in the groups of its first interface, an interface without a public address says nothing, and who
    starts a protected instance gets one."""
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ec2.models.instances import Instance
    from moto.ec2.responses.instances import InstanceResponse

    make, association = Instance.__init__, NetworkInterface.association.fget

    def made(self: Any, *given: Any, **named: Any) -> None:
        make(self, *given, **named)
        if not self.security_groups and 0 in self.nics:
            self.security_groups = list(self.nics[0].group_set)

    Instance.__init__ = made  # type: ignore[method-assign]
    NetworkInterface.association = property(  # type: ignore[assignment, method-assign]
        lambda self: association(self) if self.public_ip else None
    )
    started = InstanceResponse.run_instances

    def start(self: Any) -> Any:
        answer: Any = started(self)
        for instance in answer.result.instances:
            instance.disable_api_termination = bool(self._get_bool_param("DisableApiTermination"))
        return answer

    InstanceResponse.run_instances = start  # type: ignore[method-assign]


def _keep_of_databases() -> None:
    """A database says whether its insights are on."""
    from moto.rds.models import DBInstance

    make = DBInstance.__init__

    def made(self: Any, *given: Any, **named: Any) -> None:
        make(self, *given, **named)
        self.performance_insights_enabled = bool(named.get("enable_performance_insights"))
        self.performance_insights_kms_key_id = named.get("performance_insights_kms_key_id")
        self.performance_insights_retention_period = named.get("performance_insights_retention_period")

    DBInstance.__init__ = made  # type: ignore[method-assign]


def _keep_of_functions() -> None:
    """Dead letters and logging of a function come back as they were given, and no image settings where none were."""
    from moto.awslambda.models import LambdaFunction

    made, told = LambdaFunction.__init__, LambdaFunction.get_configuration

    def make(self: Any, account_id: str, spec: dict[str, Any], *more: Any, **named: Any) -> None:
        self.given = {name: spec[name] for name in ("DeadLetterConfig", "LoggingConfig") if spec.get(name)}
        made(self, account_id, spec, *more, **named)

    def tell(self: Any, on_create: bool = False) -> dict[str, Any]:
        configuration = told(self, on_create)
        if not any(configuration.get("ImageConfigResponse", {}).get("ImageConfig", {}).values()):
            configuration.pop("ImageConfigResponse", None)
        return configuration | self.given

    LambdaFunction.__init__ = make  # type: ignore[method-assign]
    LambdaFunction.get_configuration = tell  # type: ignore[method-assign]


if __name__ == "__main__":
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # AWS's own, which roles are given
    _mend()
    main(int(sys.argv[1]), Gaps)
