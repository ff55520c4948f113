"""What moto's server lacks of the AWS that Terraform talks to, as a layer in front of it.

    terraform ──HTTP──▶ Gaps ──▶ moto
                        │  Kafka: whole (clusters, configurations, users' secrets, topics)
                        │  Grafana: workspaces
                        │  CloudWatch over CBOR: said again to moto in its older protocol
                        └  EC2: placement groups; single calls of EC2 and S3

The service that a request is for stands in its signature's scope. It keeps state and runs nothing, as moto does.
"""

from __future__ import annotations

import base64
import datetime
import functools
import io
import json
import re
import struct
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

import botocore.parsers
import botocore.serialize
import botocore.session

ACCOUNT: Final = "123456789012"
Environ = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
Application = Callable[[Environ, Any], Iterable[bytes]]


class Missing(Exception):
    """What was asked for is not there."""


class NoConfiguration(Missing):
    """A configuration of Kafka that is not there: AWS says so in other words than of all else."""


class Gaps:
    """A WSGI application before another one."""

    def __init__(self, inner: Application) -> None:
        self._inner = inner
        self._kafka = Kafka()
        self._grafana = Grafana()
        self._ec2 = Ec2()
        self._lifecycles: dict[str, tuple[str, bytes]] = {}
        self._scaling_tags: dict[str, dict[str, str]] = {}
        self._grace_s: dict[tuple[str, str], int] = {}
        self._budget_tags: dict[str, list[dict[str, str]]] = {}
        self._targets: dict[str, Callable[[Environ], Answer | None]] = {
            "RegisterScalableTarget": self._register_scaling,
            "CreateBudget": self._create_budget,
            "CreateService": self._create_service,
            "DescribeServices": self._describe_services,
            "ListTagsForResource": self._list_tags,
            "DescribeSubscribersForNotification": self._subscribers,
        }
        self._cloudwatch = botocore.session.get_session().get_service_model("cloudwatch")

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        service, region = _scope(environ)
        answer: Answer | None = None
        if service == "kafka":
            answer = _json(self._kafka, region, environ)
        elif service == "grafana":
            answer = _json(self._grafana, region, environ)
        elif service == "monitoring" and environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor":
            answer = self._cbor(environ)
        elif service == "ec2":
            answer = self._ec2.answer(environ) or self._run_instances(environ)
        elif service == "s3" and environ.get("QUERY_STRING", "").split("=")[0] == "lifecycle":
            answer = self._lifecycle(environ)
        elif environ.get("HTTP_X_AMZ_TARGET", "").rsplit(".", 1)[-1] in self._targets:
            answer = self._targets[environ["HTTP_X_AMZ_TARGET"].rsplit(".", 1)[-1]](environ)
        if answer is None:
            if service == "s3" and environ["REQUEST_METHOD"] == "PUT":
                return self._put_bucket(environ, start_response)
            return self._inner(environ, start_response)
        status, headers, body = answer
        start_response(f"{status} Said", [*headers.items(), ("Content-Length", str(len(body)))])
        return [body]

    def _ask(self, environ: Environ, body: bytes, **changed: str) -> Answer:
        """Another request to moto, made of this one."""
        told: list[Any] = []
        made = {
            **{name: value for name, value in environ.items() if name != "HTTP_SMITHY_PROTOCOL"},
            **changed,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        parts = self._inner(made, lambda status, headers, *_: told.extend((status, headers)))
        whole = b"".join(parts)
        return int(told[0].split()[0]), dict(told[1]), whole

    def _cbor(self, environ: Environ) -> Answer:
        """CloudWatch: moto knows the query protocol of it."""
        operation = self._cloudwatch.operation_model(environ["PATH_INFO"].rsplit("/", 1)[1])
        given = uncbor(_body(environ)) if int(environ.get("CONTENT_LENGTH") or 0) else {}
        request = botocore.serialize.create_serializer("query", False).serialize_to_request(given, operation)
        form = urllib.parse.urlencode(request["body"]).encode()
        status, headers, body = self._ask(
            environ, form, PATH_INFO="/", REQUEST_METHOD="POST", CONTENT_TYPE="application/x-www-form-urlencoded"
        )
        parser = botocore.parsers.create_parser("query")
        parsed = parser.parse({"status_code": status, "headers": headers, "body": body}, operation.output_shape)
        parsed.pop("ResponseMetadata", None)
        if status >= 300:
            error = parsed.get("Error", {})
            parsed = {"__type": error.get("Code", "Unknown"), "message": error.get("Message", "")}
        return status, {"Content-Type": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor"}, cbor(parsed)

    def _run_instances(self, environ: Environ) -> Answer | None:
        """EC2: the placement group that an instance is started in."""
        body = _body(environ)
        form = {name: values[0] for name, values in urllib.parse.parse_qs(body.decode("latin-1")).items()}
        if form.get("Action") != "RunInstances" or not form.get("Placement.GroupName"):
            return None
        from moto.ec2.models import ec2_backends

        answer = self._ask(environ, body)
        for name in re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", answer[2]):
            instance = ec2_backends[ACCOUNT][_scope(environ)[1]].get_instance(name.decode())
            instance.placement.group_name = form["Placement.GroupName"]
        return answer

    def _lifecycle(self, environ: Environ) -> Answer | None:
        """S3: a lifecycle's rules as they were given; moto drops sizes from filters."""
        bucket, header = environ["PATH_INFO"].strip("/"), "x-amz-transition-default-minimum-object-size"
        body = _body(environ)
        if environ["REQUEST_METHOD"] == "GET" and bucket in self._lifecycles:
            size, rules = self._lifecycles[bucket]
            return 200, {"Content-Type": "application/xml", header: size}, rules
        answer = self._ask(environ, body)
        if answer[0] < 300 and environ["REQUEST_METHOD"] == "PUT":
            size = environ.get("HTTP_" + header.upper().replace("-", "_"), "all_storage_classes_128K")
            self._lifecycles[bucket] = (size, body)
        elif answer[0] < 300 and environ["REQUEST_METHOD"] == "DELETE":
            self._lifecycles.pop(bucket, None)
        return answer

    def _register_scaling(self, environ: Environ) -> Answer:
        """Application Auto Scaling: tags that a target is registered with."""
        body = _body(environ)
        status, headers, answer = self._ask(environ, body)
        if status < 300:
            self._scaling_tags.setdefault(json.loads(answer)["ScalableTargetARN"], {}).update(
                json.loads(body).get("Tags", {})
            )
        return status, headers, answer

    def _create_service(self, environ: Environ) -> None:
        """ECS: how long a new task may be unhealthy; the rest is moto's."""
        given = json.loads(_body(environ))
        cluster = given.get("cluster", "default").rsplit("/", 1)[-1]
        self._grace_s[cluster, given["serviceName"]] = given.get("healthCheckGracePeriodSeconds", 0)

    def _describe_services(self, environ: Environ) -> Answer:
        """ECS: the same, told again."""
        status, headers, answer = self._ask(environ, _body(environ))
        told = json.loads(answer)
        for service in told.get("services", []):
            key = (service["clusterArn"].rsplit("/", 1)[-1], service["serviceName"])
            service["healthCheckGracePeriodSeconds"] = self._grace_s.get(key, 0)
        return status, {"Content-Type": headers["Content-Type"]}, json.dumps(told).encode()

    def _create_budget(self, environ: Environ) -> None:
        """Budgets: tags that one is made with; the rest is moto's."""
        given = json.loads(_body(environ))
        arn = f"arn:aws:budgets::{given['AccountId']}:budget/{given['Budget']['BudgetName']}"
        self._budget_tags[arn] = given.get("ResourceTags", [])

    def _list_tags(self, environ: Environ) -> Answer | None:
        """Application Auto Scaling and Budgets: tags of a target and of a budget."""
        tags: dict[str, Any]
        service = environ["HTTP_X_AMZ_TARGET"].split(".")[0]
        if service == "AnyScaleFrontendService":
            tags = {"Tags": self._scaling_tags.get(json.loads(_body(environ))["ResourceARN"], {})}
        elif service == "AWSBudgetServiceGateway":
            tags = {"ResourceTags": self._budget_tags.get(json.loads(_body(environ))["ResourceARN"], [])}
        else:
            return None
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(tags).encode()

    def _subscribers(self, environ: Environ) -> Answer:
        """Budgets: who is told by a notification."""
        from moto.budgets.models import budgets_backends

        given = json.loads(_body(environ))
        budget = budgets_backends[ACCOUNT]["aws"].budgets[given["AccountId"]][given["BudgetName"]]
        asked = given["Notification"]
        found = [one.subscribers for one in budget.notifications if asked.items() <= one.details.items()]
        said = json.dumps({"Subscribers": found[0] if found else []}).encode()
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, said

    def _put_bucket(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """S3: tags that a bucket is made with."""
        bucket = environ["PATH_INFO"].strip("/")
        body = _body(environ)
        tags = re.search(rb"<Tags>.*</Tags>", body, re.DOTALL)
        if "/" in bucket or environ.get("QUERY_STRING") or tags is None or b"CreateBucketConfiguration" not in body:
            return self._inner(environ, start_response)
        status, headers, answer = self._ask(environ, body)
        if status < 300:
            found = re.findall(rb"<Key>(.*?)</Key>\s*<Value>(.*?)</Value>", tags[0], re.DOTALL)
            listed = b"".join(b"<Tag><Key>%s</Key><Value>%s</Value></Tag>" % pair for pair in found)
            self._ask(environ, b"<Tagging><TagSet>%s</TagSet></Tagging>" % listed, QUERY_STRING="tagging")
        start_response(f"{status} Said", list(headers.items()))
        return [answer]


def _scope(environ: Environ) -> tuple[str, str]:
    """Service and region that a request is signed for."""
    found = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request", environ.get("HTTP_AUTHORIZATION", ""))
    return (found[2], found[1]) if found else ("", "")


def _body(environ: Environ) -> bytes:
    """The request's body, which can be read again."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _json(service: Kafka | Grafana, region: str, environ: Environ) -> Answer:
    """A request of a REST service with JSON."""
    raw = environ.get("REQUEST_URI") or environ.get("RAW_URI") or environ["PATH_INFO"]
    path = raw.split("?")[0]
    if "://" in path:
        path = "/" + path.split("/", 3)[3]
    body = _body(environ)
    query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""))
    headers = {"Content-Type": "application/json"}
    try:
        told = service.answer(
            environ["REQUEST_METHOD"], urllib.parse.unquote(path), json.loads(body) if body else {}, query, region
        )
    except NoConfiguration:
        said = json.dumps({"message": "Configuration ARN does not exist."}).encode()
        return 400, {**headers, "x-amzn-ErrorType": "BadRequestException"}, said
    except Missing as error:
        said = json.dumps({"message": str(error)}).encode()
        return 404, {**headers, "x-amzn-ErrorType": service.missing}, said
    return 200, headers, json.dumps(told).encode()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


# ---- Kafka -----------------------------------------------------------------------------------------------------------


class Kafka:
    """MSK: what the control plane remembers. Clusters are there at once."""

    missing = "NotFoundException"

    def __init__(self) -> None:
        self._clusters: dict[str, dict[str, Any]] = {}
        self._configurations: dict[str, dict[str, Any]] = {}
        self._users: dict[str, list[str]] = {}
        self._topics: dict[tuple[str, str], dict[str, Any]] = {}
        self._policies: dict[str, str] = {}
        self._tags: dict[str, dict[str, str]] = {}

    def answer(self, method: str, path: str, given: Any, query: dict[str, list[str]], region: str) -> Any:
        """One call."""
        if path.startswith("/v1/tags/"):
            return self._tag(method, path.removeprefix("/v1/tags/"), given, query)
        if path.startswith("/v1/configurations"):
            return self._configuration(method, path.removeprefix("/v1/configurations").strip("/"), given, region)
        found = re.fullmatch(r"/(?:api/v2|v1)/clusters(?:/(arn:[^/]+/[^/]+/[^/]+)(?:/(.*))?)?", path)
        if found is None:
            raise Missing(f"no such call: {method} {path}")
        arn, what = found[1], found[2] or ""
        if arn is None:
            if method == "POST":
                return self._create(given, region)
            return {"clusterInfoList": [*self._clusters.values()]}
        if arn not in self._clusters:
            raise Missing(f"no such cluster: {arn}")
        return self._of_cluster(method, arn, what, given, "/api/v2/" in path)

    def _create(self, given: Any, region: str) -> Any:
        name = given["clusterName"]
        arn = f"arn:aws:kafka:{region}:{ACCOUNT}:cluster/{name}/{uuid.uuid4()}-1"
        made = dict(given.get("provisioned") or {name: value for name, value in given.items() if name != "tags"})
        configuration = made.pop("configurationInfo", {})
        software = {"kafkaVersion": made.pop("kafkaVersion", "")}
        if configuration:
            software |= {"configurationArn": configuration["arn"], "configurationRevision": configuration["revision"]}
        nodes = made.setdefault("brokerNodeGroupInfo", {})
        nodes.setdefault("brokerAZDistribution", "DEFAULT")
        nodes.setdefault("connectivityInfo", {"publicAccess": {"type": "DISABLED"}})
        made.setdefault("enhancedMonitoring", "DEFAULT")
        made.setdefault("storageMode", "LOCAL")
        self._tags[arn] = dict(given.get("tags") or {})
        self._clusters[arn] = {
            "clusterArn": arn,
            "clusterName": name,
            "clusterType": "PROVISIONED",
            "creationTime": _now(),
            "currentVersion": "K1",
            "state": "ACTIVE",
            "provisioned": {**made, "currentBrokerSoftwareInfo": software, "zookeeperConnectString": ""},
        }
        return {"clusterArn": arn, "clusterName": name, "clusterType": "PROVISIONED", "state": "CREATING"}

    def _of_cluster(self, method: str, arn: str, what: str, given: Any, second: bool) -> Any:
        cluster = self._clusters[arn]
        if not what:
            if method == "DELETE":
                del self._clusters[arn]
                return {"clusterArn": arn, "state": "DELETING"}
            info = {**cluster, "tags": self._tags[arn]}
            if not second:
                info |= info.pop("provisioned")
            return {"clusterInfo": info}
        if what == "bootstrap-brokers":
            return self._brokers(cluster)
        if what == "scram-secrets":
            return self._scram(method, arn, given)
        if what == "policy":
            return self._policy(method, arn, given)
        if what == "topics" or what.startswith("topics/"):
            return self._topic(method, arn, what.removeprefix("topics").strip("/"), given)
        if what == "operations":
            return {"clusterOperationInfoList": []}
        raise Missing(f"no such call: {method} {what}")

    def _brokers(self, cluster: dict[str, Any]) -> Any:
        count = cluster["provisioned"]["numberOfBrokerNodes"]
        hosts = [f"b-{number}.{cluster['clusterName']}.kafka.internal" for number in range(1, count + 1)]
        sasl = cluster["provisioned"].get("clientAuthentication", {}).get("sasl", {})
        told = {}
        if sasl.get("scram", {}).get("enabled"):
            told["bootstrapBrokerStringSaslScram"] = ",".join(f"{host}:9096" for host in hosts)
        if sasl.get("iam", {}).get("enabled"):
            told["bootstrapBrokerStringSaslIam"] = ",".join(f"{host}:9098" for host in hosts)
        return told

    def _scram(self, method: str, arn: str, given: Any) -> Any:
        users = self._users.setdefault(arn, [])
        if method == "POST":
            users += [one for one in given["secretArnList"] if one not in users]
        elif method == "PATCH":
            users[:] = [one for one in users if one not in given["secretArnList"]]
        else:
            return {"secretArnList": users}
        return {"clusterArn": arn, "unprocessedScramSecrets": []}

    def _policy(self, method: str, arn: str, given: Any) -> Any:
        if method == "PUT":
            self._policies[arn] = given["policy"]
        if arn not in self._policies:
            raise Missing("no policy")
        if method == "DELETE":
            del self._policies[arn]
            return {}
        return {"currentVersion": "1", "policy": self._policies[arn]}

    def _topic(self, method: str, arn: str, name: str, given: Any) -> Any:
        if method == "POST":
            name = given["topicName"]
            self._topics[arn, name] = {
                "topicArn": f"{arn.replace(':cluster/', ':topic/')}/{name}",
                "topicName": name,
                "partitionCount": given["partitionCount"],
                "replicationFactor": given["replicationFactor"],
                "configs": given.get("configs", ""),
                "status": "ACTIVE",
            }
        if not name:
            return {"topics": [topic for (of, _), topic in self._topics.items() if of == arn]}
        if (arn, name) not in self._topics:
            raise Missing(f"no such topic: {name}")
        topic = self._topics[arn, name]
        if method == "PUT":
            topic |= {field: value for field, value in given.items() if field in ("configs", "partitionCount")}
        if method == "DELETE":
            del self._topics[arn, name]
        return topic

    def _configuration(self, method: str, rest: str, given: Any, region: str) -> Any:
        if not rest and method == "POST":
            arn = f"arn:aws:kafka:{region}:{ACCOUNT}:configuration/{given['name']}/{uuid.uuid4()}-1"
            self._configurations[arn] = {
                "arn": arn,
                "name": given["name"],
                "description": given.get("description", ""),
                "kafkaVersions": given.get("kafkaVersions", []),
                "creationTime": _now(),
                "state": "ACTIVE",
                "revisions": [(_now(), given["serverProperties"])],
            }
            return self._latest(arn)
        arn, _, revision = rest.partition("/revisions")
        if arn not in self._configurations:
            raise NoConfiguration(arn)
        made = self._configurations[arn]
        if method == "DELETE":
            del self._configurations[arn]
            return {"arn": arn, "state": "DELETING"}
        if method == "PUT":
            made["revisions"].append((_now(), given["serverProperties"]))
        if revision.strip("/"):
            number = int(revision.strip("/"))
            when, properties = made["revisions"][number - 1]
            base64.b64decode(properties, validate=True)
            return {"arn": arn, "creationTime": when, "revision": number, "serverProperties": properties}
        return self._latest(arn)

    def _latest(self, arn: str) -> Any:
        made = {name: value for name, value in self._configurations[arn].items() if name != "revisions"}
        revisions = self._configurations[arn]["revisions"]
        return {**made, "latestRevision": {"creationTime": revisions[-1][0], "revision": len(revisions)}}

    def _tag(self, method: str, arn: str, given: Any, query: dict[str, list[str]]) -> Any:
        tags = self._tags.setdefault(arn, {})
        if method == "POST":
            tags |= given["tags"]
        elif method == "DELETE":
            for name in query.get("tagKeys", []):
                tags.pop(name, None)
        return {"tags": tags}


# ---- EC2 -------------------------------------------------------------------------------------------------------------


class Ec2:
    """Detailed monitoring of instances, and placement groups. What moto knows is left to it."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, str]] = {}
        self._calls: dict[str, Callable[[dict[str, str], str], tuple[str, str] | None]] = {
            "MonitorInstances": functools.partial(self._monitor, "enabled"),
            "UnmonitorInstances": functools.partial(self._monitor, "disabled"),
            "CreatePlacementGroup": self._create_group,
            "DescribePlacementGroups": self._describe_groups,
            "DeletePlacementGroup": self._delete_group,
        }

    def answer(self, environ: Environ) -> Answer | None:
        """One call; None: not one of these."""
        form = {name: values[0] for name, values in urllib.parse.parse_qs(_body(environ).decode("latin-1")).items()}
        action = form.get("Action", "")
        if action not in self._calls:
            return None
        said = self._calls[action](form, _scope(environ)[1])
        if said is None:
            text = "<Response><Errors><Error><Code>InvalidPlacementGroup.Unknown</Code><Message>no such group</Message>"
            return 400, {"Content-Type": "text/xml"}, f"{text}</Error></Errors></Response>".encode()
        name, inner = said
        text = (
            f'<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>{uuid.uuid4()}</requestId>'
            f"<{name}>{inner}</{name}></{action}Response>"
        )
        return 200, {"Content-Type": "text/xml"}, text.encode()

    def _monitor(self, state: str, form: dict[str, str], region: str) -> tuple[str, str]:
        from moto.ec2.models import ec2_backends

        names = [value for name, value in form.items() if name.startswith("InstanceId.")]
        for name in names:
            ec2_backends[ACCOUNT][region].get_instance(name).monitoring_state = state
        item = "<item><instanceId>{}</instanceId><monitoring><state>{}</state></monitoring></item>"
        return "instancesSet", "".join(item.format(name, state) for name in names)

    def _create_group(self, form: dict[str, str], region: str) -> tuple[str, str]:
        tags = {
            form[f"{front}.Key"]: form.get(f"{front}.Value", "")
            for front in (name.removesuffix(".Key") for name in form if name.endswith(".Key"))
        }
        listed = "".join(f"<item><key>{key}</key><value>{value}</value></item>" for key, value in tags.items())
        name, number = form["GroupName"], f"pg-{uuid.uuid4().hex[:17]}"
        self._groups[name] = {
            "groupName": name,
            "groupId": number,
            "groupArn": f"arn:aws:ec2:{region}:{ACCOUNT}:placement-group/{name}",
            "strategy": form["Strategy"],
            "state": "available",
            "tagSet": listed,
        }
        return "placementGroup", _elements(self._groups[name])

    def _describe_groups(self, form: dict[str, str], _region: str) -> tuple[str, str] | None:
        wanted = {value for name, value in form.items() if name.startswith(("GroupName.", "GroupId."))}
        groups = self._groups.values()
        found = [group for group in groups if not wanted or wanted & {group["groupName"], group["groupId"]}]
        if wanted and not found:
            return None
        return "placementGroupSet", "".join(f"<item>{_elements(group)}</item>" for group in found)

    def _delete_group(self, form: dict[str, str], _region: str) -> tuple[str, str] | None:
        return None if self._groups.pop(form["GroupName"], None) is None else ("return", "true")


def _elements(values: dict[str, str]) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in values.items())


# ---- Grafana ---------------------------------------------------------------------------------------------------------


class Grafana:
    """Managed Grafana: workspaces."""

    missing = "ResourceNotFoundException"

    def __init__(self) -> None:
        self._workspaces: dict[str, dict[str, Any]] = {}

    def answer(self, method: str, path: str, given: Any, query: dict[str, list[str]], region: str) -> Any:
        """One call."""
        parts = path.strip("/").split("/")
        if parts[0] == "tags":
            return self._tag(method, parts[-1], given, query)
        if parts == ["workspaces"]:
            if method == "GET":
                return {"workspaces": [*self._workspaces.values()]}
            return {"workspace": self._create(given, region)}
        if parts[1] not in self._workspaces:
            raise Missing(f"no such workspace: {parts[1]}")
        made = self._workspaces[parts[1]]
        if parts[2:] == ["configuration"]:
            if method == "PUT":
                made["_configuration"] = given["configuration"]
            return {"configuration": made.get("_configuration", "{}"), "grafanaVersion": made["grafanaVersion"]}
        if method == "DELETE":
            del self._workspaces[parts[1]]
            return {"workspace": {**made, "status": "DELETING"}}
        return {"workspace": made}

    def _create(self, given: Any, region: str) -> dict[str, Any]:
        name = f"g-{uuid.uuid4().hex[:10]}"
        made = {
            "id": name,
            "accountAccessType": given["accountAccessType"],
            "authentication": {"providers": given["authenticationProviders"]},
            "created": int(time.time()),
            "modified": int(time.time()),
            "dataSources": given.get("workspaceDataSources", []),
            "description": given.get("workspaceDescription", ""),
            "endpoint": f"{name}.grafana-workspace.{region}.internal",
            "grafanaVersion": given.get("grafanaVersion", "10.4"),
            "name": given.get("workspaceName", ""),
            "notificationDestinations": given.get("workspaceNotificationDestinations", []),
            "organizationalUnits": given.get("workspaceOrganizationalUnits", []),
            "permissionType": given["permissionType"],
            "status": "ACTIVE",
            "tags": given.get("tags", {}),
            "workspaceRoleArn": given.get("workspaceRoleArn", ""),
        }
        for optional in ("networkAccessControl", "vpcConfiguration", "kmsKeyId", "ipAddressType"):
            if given.get(optional):
                made[optional] = given[optional]
        self._workspaces[name] = made
        return made

    def _tag(self, method: str, name: str, given: Any, query: dict[str, list[str]]) -> Any:
        if name not in self._workspaces:
            raise Missing(f"no such workspace: {name}")
        tags = self._workspaces[name]["tags"]
        if method == "POST":
            tags |= given["tags"]
        elif method == "DELETE":
            for key in query.get("tagKeys", []):
                tags.pop(key, None)
        return {"tags": tags}


# ---- CBOR (RFC 8949), as far as AWS uses it -------------------------------------------------------------------------


def cbor(value: Any) -> bytes:
    """A value's bytes."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, datetime.datetime):
        return _head(6, 1) + cbor(value.timestamp())
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, list | tuple):
        return _head(4, len(value)) + b"".join(cbor(one) for one in value)
    assert isinstance(value, dict), f"what AWS never says: {value!r}"
    return _head(5, len(value)) + b"".join(cbor(str(name)) + cbor(one) for name, one in value.items())


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for code, size, form in ((24, 1, ">B"), (25, 2, ">H"), (26, 4, ">I"), (27, 8, ">Q")):
        if number < 1 << 8 * size:
            return bytes([major << 5 | code]) + struct.pack(form, number)
    raise OverflowError(number)


def uncbor(data: bytes) -> Any:
    """The value of its bytes."""
    value, rest = _uncbor(memoryview(data))
    assert not len(rest), f"{len(rest)} bytes behind a whole value"
    return value


_BREAK: Final = object()


def _uncbor(data: memoryview) -> tuple[Any, memoryview]:
    major, code, data = data[0] >> 5, data[0] & 31, data[1:]
    if major == 7:
        return _simple(code, data)
    endless = code == 31
    number = code
    if code in (24, 25, 26, 27):
        size = 1 << code - 24
        number, data = int.from_bytes(data[:size], "big"), data[size:]
    if major in (0, 1):
        return (number if major == 0 else -1 - number), data
    if major in (2, 3) and not endless:
        text = bytes(data[:number])
        return (text if major == 2 else text.decode()), data[number:]
    if major == 6:
        value, data = _uncbor(data)
        return (datetime.datetime.fromtimestamp(value, datetime.UTC) if number == 1 else value), data
    values: list[Any] = []
    wanted = number * (2 if major == 5 else 1)
    while endless or len(values) < wanted:
        value, data = _uncbor(data)
        if value is _BREAK:
            break
        values.append(value)
    if major == 5:
        return dict(zip(values[::2], values[1::2], strict=True)), data
    if major == 4:
        return values, data
    return (b"" if major == 2 else "").join(values), data


def _simple(code: int, data: memoryview) -> tuple[Any, memoryview]:
    if code in (25, 26, 27):
        size, form = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}[code]
        return struct.unpack(form, data[:size])[0], data[size:]
    return {20: False, 21: True, 22: None, 23: None, 31: _BREAK}[code], data
