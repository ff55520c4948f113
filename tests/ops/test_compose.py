"""ops/compose.yaml says what `ironbook services` does: versions, settings and names are the same."""

from __future__ import annotations

import xml.etree.ElementTree
from typing import Any

import yaml

from ironbook.services import _kafka, _postgres
from tests.support.services import ROOT


def service(name: str) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((ROOT / "ops/compose.yaml").read_text())["services"][name]
    return made


def variable(setting: str) -> str:
    """Kafka's image takes a setting as a variable: log.dirs is KAFKA_LOG_DIRS."""
    return "KAFKA_" + setting.upper().replace(".", "_")


def test_kafkas_image_is_of_the_version_of_the_jars():
    pom = xml.etree.ElementTree.parse(ROOT / "ops/kafka/pom.xml")
    versions = {one.findtext("artifactId"): one.findtext("version") for one in pom.iter("dependency")}
    assert service("kafka")["image"] == f"apache/kafka:{versions['kafka_2.13']}"


def test_kafka_has_every_setting_of_the_services_and_none_of_another_value(tmp_path):
    wanted = _kafka._properties(tmp_path, 9092, {})
    found = service("kafka")["environment"]
    own = ("KAFKA_HEAP_OPTS", "KAFKA_LOG_DIRS", "KAFKA_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS")
    assert {*found} - {"KAFKA_HEAP_OPTS"} == {variable(name) for name in wanted}
    for name, value in wanted.items():
        if variable(name) not in own:
            assert found[variable(name)] == value, name
    assert found["KAFKA_HEAP_OPTS"] == f"-Xmx{_kafka.HEAP_MIB}m"


def test_postgres_has_the_settings_user_and_database_of_the_services():
    found = service("postgres")
    assert found["command"] == ["postgres", *(p for n, v in _postgres.SETTINGS.items() for p in ("-c", f"{n}={v}"))]
    assert found["environment"]["POSTGRES_USER"] == _postgres.USER
    assert found["environment"]["POSTGRES_DB"] == _postgres.DATABASE


def test_no_port_is_open_to_other_machines():
    for name in ("kafka", "postgres"):
        assert all(port.startswith("127.0.0.1:") for port in service(name)["ports"])


def test_everything_that_stays_is_in_a_volume():
    named = yaml.safe_load((ROOT / "ops/compose.yaml").read_text())["volumes"]
    used = [volume for name in ("kafka", "postgres") for volume in service(name)["volumes"]]
    assert {volume.partition(":")[0] for volume in used} == {*named}


def test_the_pom_names_no_place_to_get_things_from():
    text = (ROOT / "ops/kafka/pom.xml").read_text()
    assert "://" not in text
    assert "repositor" not in text
