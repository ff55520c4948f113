"""`ironbook up`: first start, second start, wrong starts, and graceful ends."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import orjson

from engine_node.replica import Replica
from ironbook.cli.up import format_log_line
from tests.ironbook.cli.conftest import Up


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
    up = Up(data, "--level", "process")
    said = b""
    while b"Ctrl-C" not in said:
        line = up.first_line()
        assert line, up.stop()
        said += line
    code, _, log = up.stop(signal.SIGINT)
    assert code == 0
    assert b"Ironbook listens at 127.0.0.1:" in said
    assert f"ironbook accounts show 1 --data {data}".encode() in said
    assert "set up" in log
    assert "ready" in log
    assert (data / "passphrase").read_text().strip() not in log + said.decode()
    assert "{" not in log.splitlines()[0]


def test_a_second_engine_in_a_directory_and_a_wrong_setting_say_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = Up(data, "--json", "--level", "process", "--no-demo")
    address = ready(first)["address"]
    code, out, _ = Up(data, "--json").end()
    assert code == 1
    assert orjson.loads(out)["error"] == "engine_failed"
    assert str(address) in orjson.loads(out)["detail"]
    assert first.stop()[0] == 0
    code, out, err = Up(tmp_path / "other", "--json", "--level", "paper").end()
    assert code == 1
    assert "survival_level" in out + err
    code, out, _ = Up(tmp_path / "third", "--json", "--listen", "nowhere").end()
    assert code == 1
    assert orjson.loads(out)["error"] == "engine_failed"


def test_an_engine_that_dies_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    up = Up(data, "--json", "--level", "process", "--no-demo")
    ready(up)
    pid = orjson.loads((data / "engine.json").read_bytes())["pid"]
    assert pid != up.process.pid
    os.kill(pid, signal.SIGKILL)
    code, out, _ = up.end()
    assert code == 1
    assert "-9" in orjson.loads(out)["message"]


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
