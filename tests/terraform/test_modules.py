"""terraform/ keeps to the house's rules, and says the same as what it is about: topics, permissions, READMEs."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ironbook.topics import APP, planned
from schemas.topics import load_topics
from tests.support.services import ROOT

TERRAFORM = ROOT / "terraform"
MODULES = sorted(path for path in (TERRAFORM / "modules").iterdir() if path.is_dir())
ENVIRONMENTS = sorted(path for path in (TERRAFORM / "environments").iterdir() if path.is_dir())
PERMISSIONS = json.loads((TERRAFORM / "modules/identity/permissions.json").read_text())
# What every function has of its own accord, so that its iam.md need not say it.
EVERY_FUNCTION = {"logs:", "xray:", "ec2:", "sqs:", "kms:", "sns:"}


def blocks(text: str, kind: str) -> dict[str, str]:
    """Bodies of the top-level blocks of a kind, by their names."""
    return {
        ".".join(re.findall(r'"([^"]+)"', head)): body
        for head, body in re.findall(rf"^{kind} ((?:\"[^\"]+\" )*)\{{\n(.*?)^\}}$", text, re.MULTILINE | re.DOTALL)
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_its_five_files_and_its_tests(module):
    found = {path.name for path in module.iterdir() if path.suffix in (".tf", ".md")}
    assert {"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"} <= found
    assert list(module.glob("tests/*.tftest.hcl")), f"{module.name} must have a test"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_variable_has_an_exact_type_a_reason_and_numbers_and_words_a_check(module):
    variables = blocks((module / "variables.tf").read_text(), "variable")
    assert variables
    for name, body in variables.items():
        kind = re.search(r"^  type += (.*)$", body, re.MULTILINE)
        assert kind is not None, f"{module.name}: {name} must have a type"
        assert "any" not in re.findall(r"[a-z]+", kind[1]), f"{module.name}: the type of {name} must not be any"
        described = re.search(r'^  description = "(.*)"$', body, re.MULTILINE)
        assert described is not None, f"{module.name}: {name} must be described"
        assert len(described[1]) > 10, f"{module.name}: {name} must be described in words"
        checks = "".join(re.findall(r"^  validation \{\n(.*?)^  \}$", body, re.MULTILINE | re.DOTALL))
        if "number" in kind[1]:
            assert checks, f"{module.name}: the number {name} must have a range"
        for field in re.findall(r"^ {4,}(\w+) += (?:optional\()?number", body, re.MULTILINE):
            assert re.search(rf"\.{field}\b", checks), f"{module.name}: the number {field} of {name} must have a range"


def test_a_key_gets_no_number_that_a_follower_refuses():
    followed = {
        int(found)
        for template in TERRAFORM.glob("modules/*/secrets.toml.tftpl")
        for found in re.findall(r"^number_max = (\d+)$", template.read_text(), re.MULTILINE)
    }
    allowed = re.search(r"key\.number <= (\d+)", (TERRAFORM / "modules/secrets/variables.tf").read_text())
    assert allowed is not None
    assert {int(allowed[1])} == followed


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_the_provider_is_pinned_to_its_major_version(module):
    text = (module / "versions.tf").read_text()
    assert re.search(r'source += "hashicorp/aws"\n +version += "~> 6\.0"', text)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
def test_an_environment_holds_calls_and_values_and_no_resources(environment):
    text = "".join(path.read_text() for path in environment.glob("*.tf"))
    assert not blocks(text, "resource")
    assert not blocks(text, "data")
    assert blocks(text, "module")


def test_environments_read_in_the_same_order():
    orders = {path.name: [*blocks((path / "main.tf").read_text(), "module")] for path in ENVIRONMENTS}
    assert len(orders) == 3
    assert len({tuple(order) for order in orders.values()}) == 1, orders


def test_every_module_is_in_every_environment():
    for path in ENVIRONMENTS:
        called = set(re.findall(r'source += "../../modules/([a-z_]+)"', (path / "main.tf").read_text()))
        assert called == {module.name for module in MODULES}, path.name


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
def test_every_image_of_a_release_has_a_repository(environment):
    name = re.search(r'name += "([a-z-]+)"', (environment / "main.tf").read_text())
    storage = (TERRAFORM / "modules/storage/main.tf").read_text()
    made = re.search(r"images += toset\((\[.*\])\)", storage)
    assert name is not None
    assert made is not None, "module storage must make repositories"
    release = json.loads((environment / "release.json").read_text())
    told = {image: uri.partition("/")[2].partition("@")[0] for image, uri in release["images"].items()}
    assert told == {image: f"{name[1]}/{image}" for image in json.loads(made[1])}


def test_topics_that_terraform_makes_are_those_that_processes_expect():
    # The module's own test compares what it makes with this file.
    found = json.loads((TERRAFORM / "modules/kafka/tests/topics.json").read_text())
    topics = load_topics()
    assert found == {
        plan.name: {
            "partitions": plan.partitions_count,
            "retention_ms": topics[plan.name].retention_ms,
            "settings": dict(plan.settings),
        }
        for plan in planned(topics, "", min_insync_count=2)
    }


# Units of ops/systemd that no node of engine_node has, and why.
NOT_ON_AN_ENGINE_NODE = {"ironbook-gateway.service": "gateways are tasks of module gateway"}


def test_every_unit_is_on_the_engine_nodes_or_there_is_a_reason_why_not():
    module = (TERRAFORM / "modules/engine_node/main.tf").read_text()
    listed = set(re.findall(r'"(ironbook-[a-z]+\.(?:service|timer))"', module))
    assert listed == {path.name for path in (ROOT / "ops/systemd").iterdir()} - set(NOT_ON_AN_ENGINE_NODE)


def lags(environment: Path) -> set[str]:
    """Worker and topic of each lag that an environment is to be told of."""
    (said,) = re.findall(r"consumer_lags_max += \{(.*)\}", (environment / "main.tf").read_text())
    return set(re.findall(r'"([^"]+)" =', said))


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
def test_lags_are_those_of_real_workers_in_topics_that_they_read(environment):
    topics = load_topics()
    for reader in lags(environment):
        worker, _, topic = reader.partition("/")
        assert (ROOT / "streams" / worker / "app.py").is_file(), f"{reader}: there must be such a worker"
        assert worker in topics[topic].readers, f"{reader}: who reads it is {topics[topic].readers}"
    assert {reader.partition("/")[0] for reader in lags(environment)} == workers(environment), "each has one"


def workers(environment: Path) -> set[str]:
    """The workers that an environment runs."""
    body = re.search(r"^  workers = \{\n(.*?)^  \}", (environment / "main.tf").read_text(), re.MULTILINE | re.DOTALL)
    assert body is not None
    return set(re.findall(r"^    ([a-z]+) +=", body[1], re.MULTILINE))


def test_a_lag_is_asked_for_by_the_name_of_the_workers_consumer_group():
    # Kafka's access rules are made of the same name: it is what the brokers let a worker call its group.
    for module, named in ("streams", "${each.key}"), ("observability", '${split("/", reader)[0]}'):
        assert f'"{APP}{named}"' in (TERRAFORM / "modules" / module / "main.tf").read_text(), module


def test_the_table_of_permissions_is_what_the_data_says():
    table = TERRAFORM / "modules/identity/table.py"
    done = subprocess.run([sys.executable, str(table), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def lines(permissions: object) -> list[dict[str, object]]:
    """Every line of permissions.json, whosever it is."""
    if isinstance(permissions, list):
        return permissions
    return [line for part in permissions.values() for line in lines(part)] if isinstance(permissions, dict) else []


def test_every_permission_has_a_reason_and_none_is_an_asterisk():
    for line in lines(PERMISSIONS):
        assert {"actions", "resources", "why"} <= {*line} <= {"actions", "resources", "why", "namespace"}
        assert line["why"]
        assert all(re.fullmatch(r"[a-z0-9]+:[A-Z][A-Za-z]+", action) for action in line["actions"]), line


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
def test_every_login_at_kafka_that_a_role_may_read_is_made_and_only_rotation_gets_the_administrators(environment):
    text = (environment / "main.tf").read_text()
    (listed,) = re.findall(r"^  kafka_principals += (\[.*\])$", text, re.MULTILINE)
    named = {name for line in lines(PERMISSIONS) for name in line["resources"] if name.startswith("secret:kafka/")}
    assert named <= {f"secret:kafka/{principal}" for principal in json.loads(listed)}
    given = re.findall(r'^ +(\w+) += module\.secrets\.secret_arns\["kafka/(\w+)"\]$', text, re.MULTILINE)
    assert dict(given) == {"kafka_admin_secret": "operator", "kafka_secret_arn": "archiver"}


def told(folder: Path) -> set[str]:
    """Actions that a function's iam.md asks for."""
    rows = [line.split("|")[1] for line in (folder / "iam.md").read_text().splitlines() if line.startswith("| `")]
    return {action for row in rows for action in re.findall(r"`([a-z0-9]+:[A-Za-z]+)`", row)}


@pytest.mark.parametrize("function", sorted(path.parent.name for path in (ROOT / "functions").glob("*/iam.md")))
def test_a_function_may_do_what_its_page_says_and_no_more(function):
    given = {action for line in PERMISSIONS["functions"][function] for action in line["actions"]}
    asked = told(ROOT / "functions" / function)
    assert asked <= given, f"{function} asks for what it may not: {sorted(asked - given)}"
    own = {action for action in given if not action.startswith(tuple(EVERY_FUNCTION))}
    assert own <= asked, f"{function} may do what it does not ask for: {sorted(own - asked)}"


# What a setting of an environment makes a function do: by what stands in main.tf, the action and the resource of
# permissions.json that it comes down to. Addresses and certificates need no permission.
NEEDS = {
    r"module\.observability\.(alerts|reports)_topic_arn": (
        "sns:Publish",
        {"alerts": "alerts", "reports": "reports-topic"},
    ),
    r"module\.storage\.(archive|reports)_bucket_name": ("s3:GetObject", {"archive": "archive/", "reports": "reports/"}),
    r'module\.secrets\.secret_arns\["(.+)"\]': ("secretsmanager:GetSecretValue", {}),
    r"module\.(secrets\.ca|postgres\.admin)_secret_arn": (
        "secretsmanager:GetSecretValue",
        {"secrets.ca": "ca", "postgres.admin": "database-admin"},
    ),
    r"module\.secrets\.(kafka_user)_secret_name_prefix": (
        "secretsmanager:PutSecretValue",
        {"kafka_user": "kafka-users"},
    ),
    r"var\.(report_mail)\.from": ("ses:SendEmail", {"report_mail": "sender"}),
}


# Settings that are empty in AWS, and why.
LEFT_EMPTY = {
    "database_url": "there is a secret",
    "gateway_ca_file": "a public authority signs the gateway's certificate",
    "kafka_ca_file": "a public authority signs the brokers'",
    "required_holders": "the tags of each secret say it",
    "topic_prefix": "a cluster of its own",
}


def settings_of(environment: Path) -> dict[str, dict[str, str]]:
    """Settings that an environment gives its functions, by function and field, as they stand in main.tf."""
    body = blocks((environment / "main.tf").read_text(), "module")["functions"]
    body = re.search(r"^  settings = \{\n(.*?)^  \}$", body, re.MULTILINE | re.DOTALL)[1]
    parts = re.findall(r"^    (\w+) = (?:merge\()?\{\n(.*?)^    \}([^\n]*)$", body, re.MULTILINE | re.DOTALL)
    return {
        function: dict(
            re.findall(r"^      (\w+) += (.*)$", fields, re.MULTILINE) + re.findall(r"(\w+) = ([^,}]+)", rest)
        )
        for function, fields, rest in parts
    }


def may(function: str, action: str, resource: str) -> bool:
    """Whether permissions.json lets a function do that; a resource ending in / is anything below it."""
    held = {
        one for line in PERMISSIONS["functions"][function] if action in line["actions"] for one in line["resources"]
    }
    if resource.startswith("secret:"):
        return any(re.fullmatch(one.replace("*", ".*"), resource) for one in held)
    return any(one.startswith(resource) if resource.endswith("/") else one == resource for one in held)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
def test_a_function_may_do_what_its_settings_make_it_do(environment):
    settings, checked = settings_of(environment), set()
    assert set(settings) == set(PERMISSIONS["functions"])
    for function, fields in settings.items():
        for field, value in fields.items():
            for pattern, (action, names) in NEEDS.items():
                if found := re.fullmatch(pattern, value.strip()):
                    resource = names.get(found[1], f"secret:{found[1]}")
                    assert may(function, action, resource), (
                        f"{function} must be let {action} on {resource}, for {field}"
                    )
                    checked.add(pattern)
    assert checked == set(NEEDS), "every kind of setting must be met"


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
@pytest.mark.parametrize("function", sorted(PERMISSIONS["functions"]))
def test_a_function_is_set_whatever_it_has_no_value_for_itself(environment, function):
    kind = importlib.import_module(f"functions.{function}.settings").Settings
    empty = {field.name for field in dataclasses.fields(kind) if field.default == "" and field.type == "str"}
    given = set(settings_of(environment)[function])
    assert given <= {field.name for field in dataclasses.fields(kind)}
    left = empty - given
    assert left <= set(LEFT_EMPTY), f"{function} must be set in {environment.name}: {sorted(left - set(LEFT_EMPTY))}"


def test_there_is_a_role_for_every_function():
    found = {path.parent.name for path in (ROOT / "functions").glob("*/handler.py")}
    assert found == set(PERMISSIONS["functions"])
