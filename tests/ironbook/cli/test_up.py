"""`ironbook up`: first start, second start, wrong starts, and graceful ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from engine_node.replica import Replica
from ironbook.cli._app import run
from ironbook.cli.up import format_log_line
from tests.ironbook.cli.conftest import Up
from tests.support.node import ROOT


def ready(up: Up) -> dict[str, object]:
    line = up.first_line()
    found = orjson.loads(line)
    assert isinstance(found, dict)
    return found


def test_a_first_start_sets_everything_up_and_a_second_one_nothing_twice(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = Up(data, "--json", "--level", "process")
    said = ready(first)
    assert said["keys_made"] == ["admin", "demo-1", "demo-2"]
    assert said["commands_sent"] == 17
    for name in ("passphrase", "keys.ironbook", "client-keys/admin.json", "client-keys/demo-1.json"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600, name
    assert first.stop(signal.SIGINT)[0] == 0
    second = Up(data, "--json", "--level", "process")
    again = ready(second)
    assert (again["keys_made"], again["commands_sent"]) == ([], 0)
    code, out, _ = second.stop()
    assert (code, out) == (0, "")
    with Replica.open(data, use_snapshot=False) as replica:
        replica.catch_up()
        assert replica.core.balance(1, 1) == (10_000_000 * 10**6, 0)
        assert replica.core.check() is None


def test_a_start_that_was_interrupted_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data = tmp_path / "data"
    bare = Up(data, "--json", "--level", "process", "--no-demo")
    assert ready(bare)["commands_sent"] == 0
    assert bare.stop()[0] == 0
    whole = Up(data, "--json", "--level", "process")
    assert ready(whole)["commands_sent"] == 17
    assert whole.stop()[0] == 0


def test_people_see_a_readable_log_where_it_listens_and_what_to_try(tmp_path: Path) -> None:
    data = tmp_path / "data"
    up = Up(data, "--level", "process", IRONBOOK_ENGINE_COUNTERS_INTERVAL_S="1")
    said = b""
    while b"Ctrl-C" not in said:
        line = up.first_line()
        assert line, up.stop()
        said += line
    time.sleep(1.2)  # long enough for a line of counters, which people are not shown
    code, _, log = up.stop(signal.SIGINT)
    assert code == 0
    assert b"Ironbook listens at 127.0.0.1:" in said
    assert f"ironbook accounts show 1 --data {data}".encode() in said
    assert "set up" in log
    assert "ready" in log
    assert "counters" not in log
    assert (data / "passphrase").read_text().strip() not in log + said.decode()
    assert "{" not in log.splitlines()[0]


def test_a_second_engine_in_a_directory_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = Up(data, "--json", "--level", "process", "--no-demo")
    address = ready(first)["address"]
    code, out, _ = Up(data, "--json").end()
    assert code == 1
    assert orjson.loads(out)["error"] == "engine_failed"
    assert str(address) in orjson.loads(out)["detail"]
    assert first.stop()[0] == 0


def test_a_wrong_setting_is_told_once_by_the_option_that_gave_it_and_nothing_is_made(tmp_path: Path) -> None:
    code, out, err = Up(tmp_path / "one", "--json", "--level", "paper").end()
    said = orjson.loads(out)
    assert (code, said["error"], said["detail"], err) == (1, "settings", "option --level", "")
    assert "survival_level must be 'process' or 'disk' or 'cluster', was 'paper'" in said["message"]
    code, out, err = Up(tmp_path / "two", "--listen", "nonsense").end()
    assert (code, out, err.count("nonsense"), err.count("--listen")) == (1, "", 1, 1)
    assert "IRONBOOK_ENGINE" not in err
    assert "60 s" not in err
    assert not list(tmp_path.iterdir())


def test_all_wrong_lines_of_a_settings_file_are_told(tmp_path: Path) -> None:
    file = tmp_path / "engine.toml"
    file.write_text('idle_ms = 1\nnode = "x"\nunheard_of = 3\n')
    code, out, _ = Up(tmp_path / "data", "--json", "--settings", str(file)).end()
    assert code == 1
    for part in ("line 1", "line 2", "line 3", "idle_ms must be", "node must be", "unheard_of"):
        assert part in orjson.loads(out)["message"], part


def test_what_keeps_the_engine_from_starting_is_the_error_and_is_told_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, _, err = Up(tmp_path / "data", "--no-demo", "--level", "process", "--listen", address).end()
    assert code == 1
    assert err.count("in use") == 1, err
    assert "60 s" not in err


def test_an_engine_that_dies_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    up = Up(data, "--json", "--level", "process", "--no-demo")
    ready(up)
    pid = orjson.loads((data / "engine.json").read_bytes())["pid"]
    assert pid != up.process.pid
    os.kill(pid, signal.SIGKILL)
    code, out, _ = up.end()
    assert code == 1
    said = orjson.loads(out)
    assert "killed by signal 9" in said["message"]
    assert "`ironbook up` resumes: nothing acknowledged is lost" in said["hint"]


def test_a_log_line_is_shown_with_its_fields() -> None:
    line = format_log_line({"time_ns": 0, "level": "warning", "event": "slow", "count": 3, "where": "[here]"})
    assert "warning" in line
    assert "slow" in line
    assert "\\[here]" in line


def test_a_passphrase_from_the_environment_opens_the_key_file_and_is_written_nowhere(tmp_path: Path) -> None:
    data, passphrase = tmp_path / "data", "correct horse battery"
    up = Up(data, "--json", "--level", "process", "--no-demo", IRONBOOK_KEY_PASSPHRASE=passphrase)
    ready(up)
    code, out, log = up.stop()
    assert code == 0
    assert not (data / "passphrase").exists()
    assert passphrase not in out + log
    code, out, _ = Up(data, "--json", "--level", "process").end()
    assert (code, orjson.loads(out)["error"]) == (1, "passphrase_missing")
    code, out, _ = Up(data, "--json", "--level", "process", IRONBOOK_KEY_PASSPHRASE="wrong horse battery").end()
    assert (code, orjson.loads(out)["error"]) == (1, "passphrase_wrong")


def test_what_is_shown_without_an_engine_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    node = Up(data, "--json", "--level", "process")
    assert orjson.loads(node.first_line())["ready"]
    live = subprocess.Popen(
        [sys.executable, "-m", "ironbook", "book", "BTC/USD", "--seconds", "30", "--json", "--data", str(data)],
        cwd=ROOT, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert live.stdout is not None
    assert orjson.loads(live.stdout.readline())["engine_running"] is True
    node.stop()
    while orjson.loads(live.stdout.readline())["engine_running"]:
        pass  # what else the engine's end changed
    live.terminate()
    live.wait(10)
    live.stdout.close()
    capfd.readouterr()
    for command in (["book", "BTC/USD", "--once"], ["accounts", "show", "1"], ["watch", "--seconds", "0.1"]):
        assert run([*command, "--data", str(data)]) == 0
        out, err = capfd.readouterr()
        assert err.startswith("engine not running; as of "), command
        assert "engine not running" not in out
    for command in (["book", "BTC/USD", "--once"], ["accounts", "show", "1"], ["accounts", "list"], ["assets", "list"]):
        assert run([*command, "--data", str(data), "--json"]) == 0
        out, err = capfd.readouterr()
        assert (orjson.loads(out)["engine_running"], err) == (False, "")
