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
    assert chosen.state_file.startswith(values("WorkingDirectory", GATEWAY)[0] + "/")
    assert int(values("LimitNOFILE", GATEWAY)[0]) >= chosen.connection_count_max + 256


def test_the_secrets_come_before_who_reads_them_and_go_after() -> None:
    words = values("ExecStart", SECRETS)[0].split()
    assert words[1:6] == ["-P", "-m", "ironbook", "secrets", "follow"]
    chosen = secret_store_settings.load(UNITS.parent / "secrets.example.toml")
    assert words[6:] == ["--settings", "/etc/ironbook/secrets.toml"]
    assert str(chosen.directory) == f"/var/lib/{values('StateDirectory', SECRETS)[0]}"
    assert set(values("Before", SECRETS)[0].split()) == {UNIT.name, GATEWAY.name}
    assert values("Type", SECRETS) == ["notify"]
    assert values("User", SECRETS) == values("User"), "files are for their owner alone"
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
