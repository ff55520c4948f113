"""`ironbook risk` against a running worker: set, show, resume, and refusals that say why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from ironbook import Key
from ironbook.cli._app import run
from tests.streams.risk.stage import Stage

pytestmark = pytest.mark.timeout(300)  # starts a worker, on a machine that may be busy
Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def stage(kafka: str, topic_prefix: str, tmp_path: Path) -> Stage:
    return Stage(kafka, topic_prefix, tmp_path)


@pytest.fixture
def call(stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(key: Key, *arguments: str) -> tuple[int, Any]:
        path = tmp_path / "key.json"
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_bytes(orjson.dumps({"key_id": key.key_id, "secret": key.secret.hex()}))
        capsys.readouterr()
        own = () if "show" in arguments else ("--key", str(path), "--wait", "60")
        code = run(["risk", *arguments, *own, "--kafka", stage.kafka, "--prefix", stage.prefix, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out)

    return call


def test_limits_are_set_shown_and_lifted_and_a_key_that_is_no_admin_s_is_refused(stage: Stage, call: Call) -> None:
    limits = ("limits", "set", "--account", "1", "daily_loss_units=9_999", "--action", "daily_loss=halt")
    with stage.worker() as worker:
        worker.wait_ready()
        code, audit = call(stage.admin, *limits)
        assert (code, audit["what"]) == (0, "limits_changed")
        assert audit["after"] == {"daily_loss_units": 9999, "actions": {"daily_loss": "halt"}}
        code, audit = call(stage.trader, *limits)
        assert (code, audit["what"], audit["code"]) == (3, "limits_refused", "kind_forbidden")
        code, audit = call(stage.admin, "limits", "set", "--firm", "2", "--account", "0", "order_rate=5")
        assert (code, audit["code"]) == (3, "schema_invalid")
        code, audit = call(stage.admin, "resume", "--account", "1")
        assert (code, audit["before"]) == (0, {"daily_loss_units": 9999, "actions": {"daily_loss": "halt"}})
        assert audit["after"] == audit["before"] | {"resume": True}
        code, shown = call(stage.admin, "limits", "show")
        assert (code, [audit["account"] for audit in shown["audits"]]) == (0, [1])
        assert len(call(stage.admin, "limits", "show", "--history")[1]["audits"]) == 4
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("limits", "set", "--account", "1", "weather=1"), "a limit must be a known one"),
        (("limits", "set", "--account", "1", "order_rate"), "NAME=NUMBER"),
        (("limits", "set", "--account", "1", "order_rate=1.5"), "a whole number"),
        (("limits", "set", "--account", "1", "--action", "drawdown"), "LIMIT=ACTION"),
        (("limits", "set", "--account", "0"), "must say which"),
        (("resume", "--account", "0"), "must say which"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_sent(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["risk", *arguments, "--kafka", "127.0.0.1:1", "--json"]) == 1
    assert says in json.loads(capsys.readouterr().out)["message"]
