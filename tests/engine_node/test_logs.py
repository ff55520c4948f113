"""The log: one JSON object a line, off the caller's thread, bounded, without secrets."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import orjson
import pytest

from engine_node.errors import SettingsError
from engine_node.logs import Log


def lines_of(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_an_entry_is_one_json_line_with_time_level_event_and_fields(tmp_path: Path) -> None:
    log = Log.open(str(tmp_path / "log"), level="info", queue_max=100, base={"node": 3})
    log.info("session_began", key=7, address="10.0.0.1")
    log.close()
    (line,) = lines_of(tmp_path / "log")
    assert isinstance(line.pop("time_ns"), int)
    assert line == {"level": "info", "event": "session_began", "node": 3, "key": 7, "address": "10.0.0.1"}


def test_levels_below_the_least_are_not_written(tmp_path: Path) -> None:
    log = Log.open(str(tmp_path / "log"), level="warning", queue_max=100)
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    log.close()
    assert [line["event"] for line in lines_of(tmp_path / "log")] == ["c", "d"]


def test_an_error_brings_code_message_detail_and_hint(tmp_path: Path) -> None:
    log = Log.open(str(tmp_path / "log"), level="info", queue_max=100)
    log.error("start_failed", SettingsError("x must be 1, was 2", detail="line 3", hint="set it"), phase="load")
    log.error("start_failed", ValueError("odd"))
    log.close()
    first, second = lines_of(tmp_path / "log")
    assert (first["error"], first["message"], first["detail"], first["hint"], first["phase"]) == (
        "settings", "x must be 1, was 2", "line 3", "set it", "load",
    )  # fmt: skip
    assert (second["error"], second["message"]) == ("ValueError", "odd")


def test_bytes_and_fields_named_like_secrets_are_withheld(tmp_path: Path) -> None:
    log = Log.open(str(tmp_path / "log"), level="info", queue_max=100)
    log.info("x", data=b"\x01" * 32, client_secret="hunter2", key_passphrase="hunter2", nested={"inner": b"hunter2"})
    log.close()
    text = (tmp_path / "log").read_text()
    assert "hunter2" not in text
    assert '"data":"[32 bytes]"' in text
    assert text.count("[withheld]") == 2


def test_a_full_queue_drops_counts_and_tells(tmp_path: Path) -> None:
    reader, writer = os.pipe()  # nobody reads it at first: the writer thread blocks
    log = Log(writer, queue_max=100)
    for index in range(20_000):
        log.info("flood", index=index, filler="x" * 100)
    dropped = log.dropped_count
    assert dropped > 0
    collected = bytearray()
    drain = threading.Thread(target=lambda: collected.extend(b"".join(iter(lambda: os.read(reader, 65536), b""))))
    drain.start()
    log.info("after")
    log.close(5)
    os.close(writer)
    drain.join(5)
    os.close(reader)
    told = [orjson.loads(line) for line in collected.splitlines()]
    count = sum(line["count"] for line in told if line["event"] == "log_dropped")
    assert count >= dropped
    assert sum(line["event"] != "log_dropped" for line in told) + count == 20_001


def test_a_caller_is_never_held_up_by_a_stuck_writer() -> None:
    reader, writer = os.pipe()
    log = Log(writer, queue_max=1000)
    began = time.monotonic()
    for _ in range(10_000):
        log.info("x", filler="y" * 200)
    assert not log.flush(0.05)
    assert time.monotonic() - began < 5
    os.close(reader)  # the blocked write fails and the thread goes on
    log.close(5)
    assert log.lost_count > 0
    os.close(writer)


def test_what_cannot_be_encoded_is_told_and_not_raised(tmp_path: Path) -> None:
    log = Log.open(str(tmp_path / "log"), level="info", queue_max=100)
    log.info("big", value=1 << 80)
    log.info("path", value=tmp_path)
    log.close()
    first, second = lines_of(tmp_path / "log")
    assert first["event"] == "big"
    assert "unwritable" in first
    assert second["value"] == str(tmp_path)


def test_a_log_file_that_cannot_be_opened_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="log_file must be writable"):
        Log.open(str(tmp_path / "none" / "log"), level="info", queue_max=100)
