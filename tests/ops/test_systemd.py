"""The service units fit what they start: arguments, signals, exit codes, limits."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from engine_node import server, settings
from engine_node.__main__ import _parser
from gateway import settings as gateway_settings
from ironbook.cli._app import run
from ironbook.secret_store import run as secret_store_run
from ironbook.secret_store import settings as secret_store_settings
from tests.support.gateway import Stack, new_request_id

UNITS = Path(__file__).resolve().parents[2] / "ops" / "systemd"
UNIT, GATEWAY = UNITS / "ironbook-engine.service", UNITS / "ironbook-gateway.service"
SECRETS, RETENTION = UNITS / "ironbook-secrets.service", UNITS / "ironbook-retention.service"


def values(name: str, unit: Path = UNIT) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def test_the_command_is_one_that_the_engine_node_takes() -> None:
    (command,) = values("ExecStart")
    words = command.split()
    assert words[1:4] == ["-P", "-m", "engine_node"]
    chosen = _parser().parse_args(words[4:])
    assert (chosen.command, chosen.settings) == ("run", Path("/etc/ironbook/engine.toml"))


def test_its_environment_holds_known_settings_and_no_secret() -> None:
    variables = dict(line.split("=", 1) for line in values("Environment"))
    chosen = settings.load(environment=variables)
    assert chosen.data_directory == f"/var/lib/{values('StateDirectory')[0]}" == values("WorkingDirectory")[0]
    assert chosen.key_passphrase == ""


def test_a_stop_has_more_time_than_the_engine_takes_at_most() -> None:
    assert int(values("TimeoutStopSec")[0]) * 1000 > settings.Settings().stop_timeout_ms


def test_only_a_start_that_cannot_succeed_is_not_tried_again() -> None:
    prevented = {int(code) for code in values("RestartPreventExitStatus")[0].split()}
    assert server.EXIT_START_FAILED in prevented
    assert prevented.isdisjoint({server.EXIT_BUG, server.EXIT_INPUT_OUTPUT, 0})


def test_its_limits_allow_what_the_settings_can_ask() -> None:
    assert values("LimitMEMLOCK") == ["infinity"]
    assert values("LimitRTPRIO") == ["99"]
    assert int(values("LimitNOFILE")[0]) >= settings.Settings().connection_count_max + 256


def test_the_gateways_command_and_environment_are_ones_that_it_takes() -> None:
    assert values("ExecStart", GATEWAY)[0].split()[1:] == ["-P", "-m", "gateway", "run"]
    variables = dict(line.split("=", 1) for line in values("Environment", GATEWAY))
    chosen = gateway_settings.load(variables)
    assert int(values("LimitNOFILE", GATEWAY)[0]) >= chosen.connection_count_max + 256


def test_the_gateway_beside_the_engine_reads_what_the_engine_keeps_to_its_user() -> None:
    engine = dict(line.split("=", 1) for line in values("Environment"))
    chosen = gateway_settings.load(dict(line.split("=", 1) for line in values("Environment", GATEWAY)))
    assert (values("User", GATEWAY), values("Group", GATEWAY)) == (values("User"), values("Group"))
    assert chosen.data == engine["IRONBOOK_ENGINE_DATA_DIRECTORY"]
    assert chosen.key_passphrase_file == engine["IRONBOOK_ENGINE_KEY_PASSPHRASE_FILE"]
    assert str(chosen.state_path) == f"/var/lib/{values('StateDirectory', GATEWAY)[0]}"
    assert values("ProtectSystem", GATEWAY) == ["strict"]
    assert values("PrivateUsers", GATEWAY) == ["yes"]
    assert not values("ReadWritePaths", GATEWAY), "so the state directory is all that it can write to"


def test_a_gateway_that_is_told_what_its_unit_says_writes_to_its_state_directory_alone(tmp_path: Path) -> None:
    said = {line.partition("=")[0] for line in values("Environment", GATEWAY)}
    assert said == {"IRONBOOK_GATEWAY_DATA", "IRONBOOK_GATEWAY_STATE_DIRECTORY", "IRONBOOK_KEY_PASSPHRASE_FILE"}
    state = tmp_path / "state"
    state.mkdir()
    stack = Stack(tmp_path, state_directory=state, state_file="", cookie_secret_file="", manage_keys="false")
    stack.state_path = state / "gateway.json"
    with stack:
        query = f"timestamp={stack.timestamp_ms()}"
        signature = stack.sign_v1("alice", "POST", "/api/v1/session", query, "{}")
        headers = {"X-MBX-APIKEY": "alice", "Content-Type": "application/json"}
        status, _, told = stack.exchange("POST", f"/api/v1/session?{query}&signature={signature}", "{}", headers)
        assert status == 201
        page = {"Cookie": told["set-cookie"].partition(";")[0], "Origin": stack.url}
        page["X-Ironbook-Request"] = new_request_id()
        assert stack.exchange("DELETE", "/api/v1/session", headers=page)[0] == 200
        body = {"timeout_ms": 60_000}
        assert stack.signed("alice", "POST", "/api/v1/controls/countdown", json=body)[0] == 200
        written = {path.name for path in state.iterdir()}
        assert written == {
            "gateway.json", "gateway.held.json", "gateway-countdowns.json", "gateway-ended.json", "cookie-secret",
        }  # fmt: skip
        assert written.isdisjoint(path.name for path in stack.node.directory.rglob("*"))


def test_the_secrets_come_before_who_reads_them_and_go_after() -> None:
    words = values("ExecStart", SECRETS)[0].split()
    assert words[1:6] == ["-P", "-m", "ironbook", "secrets", "follow"]
    chosen = secret_store_settings.load(UNITS.parent / "secrets.example.toml")
    assert words[6:] == ["--settings", "/etc/ironbook/secrets.toml"]
    assert str(chosen.directory) == f"/var/lib/{values('StateDirectory', SECRETS)[0]}"
    assert set(values("Before", SECRETS)[0].split()) == {UNIT.name, GATEWAY.name}
    assert values("Type", SECRETS) == ["notify"]
    assert values("User", SECRETS) == values("User") == values("User", GATEWAY), "files are for their owner alone"
    assert list(chosen.held_files) == [
        f"/var/lib/{values('StateDirectory', unit)[0]}/*.held.json" for unit in (UNIT, GATEWAY)
    ]
    assert int(values("TimeoutStopSec", SECRETS)[0]) > secret_store_run.STOP_TIMEOUT_S * 2


def test_retention_runs_a_command_that_there_is_and_waits_for_the_next_hour(capsys: pytest.CaptureFixture[str]) -> None:
    words = re.sub(r"\$\{\w+\}", "10", values("ExecStart", RETENTION)[0]).split()
    assert words[0].endswith("/ironbook")
    assert run([*words[1:], "--archive", "/nowhere"]) == 1
    assert "a journal must be there to be read" in capsys.readouterr().out, "it was understood as far as that"
    assert values("User", RETENTION) == values("User"), "or it could not see which segments are open"
    assert values("OnUnitInactiveSec", RETENTION.with_suffix(".timer")) == ["1h"]


@pytest.mark.parametrize("source", [UNIT, GATEWAY, SECRETS, RETENTION], ids=lambda unit: unit.stem)
def test_systemd_itself_finds_nothing_wrong(source: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / source.name
    unit.write_text(
        source.read_text()
        .replace("/opt/ironbook/bin/python", "/bin/true")
        .replace("/opt/ironbook/bin/ironbook", "/bin/true")
    )
    ran = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Unknown" not in ran.stderr
    assert "Failed to parse" not in ran.stderr
