"""What EventBridge hands each function: the module's own schedules, put into moto's and read back, are understood."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from functions.common.invoke import invoke
from functions.reporting.run import REPORTS
from tests.support.aws import ACCOUNT, REGION, Aws
from tests.support.services import ROOT

WRITTEN = json.loads((ROOT / "terraform/modules/functions/schedules.json").read_text())
REPORT_SCHEDULE = "cron(0 2 * * ? *)"  # a variable of the module
SHARD = 3  # main.tf repeats each_shard for every one and puts its number into the event; its tests say so
SCHEDULES = WRITTEN["once"] | {
    name: schedule | {"event": schedule["event"] | {"shard": SHARD}} for name, schedule in WRITTEN["each_shard"].items()
}


@pytest.fixture
def scheduled(aws: Aws) -> Callable[[str], dict[str, Any]]:
    """The event that a schedule's target gets, as EventBridge has it."""
    events = aws.client("events")

    def event_of(name: str) -> dict[str, Any]:
        schedule = SCHEDULES[name]
        events.put_rule(Name=name, ScheduleExpression=schedule["when"] or REPORT_SCHEDULE, State="ENABLED")
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{schedule['function']}"
        put = events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn, "Input": json.dumps(schedule["event"])}])
        assert put["FailedEntryCount"] == 0
        (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
        assert target["Arn"] == arn
        event: dict[str, Any] = json.loads(target["Input"])
        return event

    return event_of


@pytest.fixture
def settle(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)

    def setter(**settings: str) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"IRONBOOK_FUNCTION_{name.upper()}", value)

    return setter


def test_each_schedule_is_of_a_function_that_is_tested_here() -> None:
    assert {schedule["function"] for schedule in SCHEDULES.values()} == {
        "archiver", "canary", "reporting", "rotation", "verifier"
    }  # fmt: skip
    assert set(SCHEDULES) == {
        "archive-minute", "canary-minutely", "report-daily", "rotation-drive", "verify-daily", "verify-full"
    }  # fmt: skip


def test_the_daily_report_is_of_yesterday_with_everything_in_it(
    scheduled: Callable[[str], dict[str, Any]], settle: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def run(settings: Any, request: Any, clients: Any) -> dict[str, Any]:
        asked.append(request)
        return {"link": ""}

    monkeypatch.setattr("functions.reporting.handler.run", run)
    monkeypatch.setattr("functions.reporting.handler.now_ns", lambda: 1_795_312_800_000_000_000)  # 2026-11-22 02:00
    invoke("reporting", scheduled("report-daily"))
    (request,) = asked
    assert (request.day, request.partial, request.reports) == ("2026-11-21", False, tuple(sorted(REPORTS)))


def test_the_drive_goes_on_with_every_secret_of_the_environment(
    aws: Aws, scheduled: Callable[[str], dict[str, Any]], settle: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {"ironbook:kind": "cookie", "ironbook:environment": "ironbook-dev", "ironbook:holders": ""}
    aws.client("secretsmanager").create_secret(
        Name="ironbook-dev/cookie", SecretString="{}", Tags=[{"Key": key, "Value": tags[key]} for key in tags]
    )

    @contextlib.asynccontextmanager
    async def administrator(*given: Any) -> AsyncIterator[None]:  # a drive without a database
        yield None

    driven = []

    async def drive(self: Any, secret: str) -> Any:
        driven.append(secret)
        return Rest()

    settle(environment="ironbook-dev", database_host="nowhere", database_admin_secret="arn")
    monkeypatch.setattr("functions.rotation.handler.Administrator", administrator)
    monkeypatch.setattr("functions.rotation.handler.Rotation.drive", drive)
    assert invoke("rotation", scheduled("rotation-drive")) == {"secrets": [{"state": "rest"}]}
    assert len(driven) == 1
    assert "ironbook-dev/cookie" in driven[0]


@dataclasses.dataclass
class Rest:
    state: str = "rest"
    since_ns: int = 0
    kind: str = "cookie"

    def to_json(self) -> dict[str, Any]:
        return {"state": self.state}


def test_the_canary_orders_the_symbol_of_its_settings(
    scheduled: Callable[[str], dict[str, Any]], settle: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = []

    def run(gateway: Any, symbol: str, *rest: Any) -> dict[str, Any]:
        ordered.append(symbol)
        return {"order_us": 1, "cancel_us": 1}

    settle(gateway_url="https://nowhere", key_secret="arn", symbol="BTCUSD")
    monkeypatch.setattr("functions.canary.handler.run", run)
    monkeypatch.setattr("functions.canary.handler.Gateway", lambda *given: None)
    invoke("canary", scheduled("canary-minutely"))
    assert ordered == ["BTCUSD"]


def test_the_archiver_archives_the_schedules_shard_and_flushes_nothing(
    scheduled: Callable[[str], dict[str, Any]], settle: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Archiver:
        def __init__(self, *, shard: int, **rest: Any) -> None:
            self.shard = shard

        async def run(self, *, flush: bool) -> dict[str, Any]:
            asked.append((self.shard, flush))
            return {"another_archiver": True}

    settle(archive_bucket="archive", kafka="nowhere:9092")
    for name, value in {"Archiver": Archiver, "bucket": None, "journal_topic": None}.items():
        monkeypatch.setattr(f"functions.archiver.handler.{name}", value or (lambda *given: None))
    invoke("archiver", scheduled("archive-minute"))
    assert asked == [(SHARD, False)]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that only keeps what it was asked, beside itself."""
    path = tmp_path / "program"
    path.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\necho \'{{"sound":true,"complete":true}}\'\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("name", "begins"), [("verify-daily", "--resume"), ("verify-full", "--full-pass")])
def test_the_verifier_resumes_each_day_and_goes_on_with_its_pass(
    scheduled: Callable[[str], dict[str, Any]], settle: Callable[..., None], program: Path, name: str, begins: str
) -> None:
    settle(archive_bucket="archive", program=str(program))
    invoke("verifier", scheduled(name))
    words = program.with_name("asked").read_text().split()
    assert words[words.index("--shard") + 1] == str(SHARD)
    assert {"--resume", "--full-pass"} & set(words) == {begins}
