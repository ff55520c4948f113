"""The function: an event of Secrets Manager, of the schedule or of a person in, an answer out.

{"Step": "createSecret", "SecretId": …, "ClientRequestToken": …}      Secrets Manager
{"action": "drive"}                                                   every 5 minutes
{"action": "rotate", "secret_id": …, "dry_run": false}                a person
{"action": "install"}                                                 a person, once, when the database is there
{"action": "status"} or {"action": "status", "secret_id": …}          a person
"""

from __future__ import annotations

import asyncio
import os
import secrets as system_random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from functions.common.aws import Clients, read_secret, tell_alert, tell_failure
from functions.common.errors import EventInvalid
from functions.common.log import logger
from functions.common.runtime import now_ns
from functions.common.settings import load, need, need_object
from functions.rotation.database import Administrator
from functions.rotation.doors import EngineDoor, GatewayDoor, TlsDoor
from functions.rotation.errors import DriveFailed, RotationBusy, RotationUnfinished
from functions.rotation.kinds import Kind
from functions.rotation.kinds.api_key import ApiKey
from functions.rotation.kinds.cookie import Cookie
from functions.rotation.kinds.database import Database
from functions.rotation.kinds.kafka import Kafka
from functions.rotation.kinds.tls import Tls
from functions.rotation.rotation import MINUTE_NS, SECOND_NS, Outcome, Rotation, Rules, each, text_of
from functions.rotation.settings import Settings
from functions.rotation.steps import step_named
from functions.rotation.store import Store

__all__ = ["handle"]

LOG = logger("rotation")
CLIENTS = Clients()  # kept while Lambda keeps the process


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Parse the event, call the use case, shape the answer; a failure is also told by SNS, then raised."""
    settings = load(Settings, os.environ)
    clients = CLIENTS
    try:
        return asyncio.run(_answer(need_object(event), settings, clients))
    except RotationUnfinished as error:
        LOG.info("rotation unfinished", extra={"waiting": error.waiting})
        raise  # Secrets Manager tries again, and so does drive, which also sees when it takes too long
    except RotationBusy as error:
        LOG.info("rotation busy", extra={"why": str(error)})
        raise  # nothing failed: whoever is at it goes on, and tells people itself
    except DriveFailed:
        raise  # each was told of
    except Exception as error:
        _tell(clients, settings, _subject(event), error)
        raise


async def _answer(event: Mapping[str, Any], settings: Settings, clients: Clients) -> dict[str, Any]:
    need(settings, "environment", "database_host", "database_admin_secret")
    async with Administrator(settings, lambda: read_secret(clients, settings.database_admin_secret)) as book:
        rules = Rules(
            environment=settings.environment,
            required_holders=settings.required_holders,
            silent_ns=settings.holder_silent_s * SECOND_NS,
            newcomer_ns=settings.newcomer_s * SECOND_NS,
            settle_ns=settings.settle_s * SECOND_NS,
            login_ns=settings.session_hours * 60 * MINUTE_NS,
        )
        rotation = Rotation(Store(clients), book, _kinds(settings, clients, book), rules, now_ns)
        if "Step" in event:
            step = step_named(event["Step"])
            done = await rotation.step(step, text_of(event, "SecretId"), text_of(event, "ClientRequestToken"))
            return _said(done)
        if "dry_run" in event and event.get("action") != "rotate":
            raise EventInvalid("dry_run must stand beside action rotate only", hint="status changes nothing either")
        match event.get("action"):
            case "drive":
                return await _drive(rotation, settings, clients)
            case "install":
                return await _all(rotation.install, rotation.listed(), settings, clients)
            case "rotate":
                dry_run = event.get("dry_run", False)
                if not isinstance(dry_run, bool):
                    raise EventInvalid("dry_run must be true or false, is neither")
                return _said(await rotation.rotate(text_of(event, "secret_id"), dry_run=dry_run))
            case "status":
                named = [text_of(event, "secret_id")] if "secret_id" in event else rotation.listed()
                return {"secrets": [(await rotation.status(secret)).to_json() for secret in named]}
            case other:
                raise EventInvalid(
                    f"an event must have a Step, or action drive, rotate, status or install; was {str(other)[:40]!r}",
                    hint="see event.example.json",
                )


async def _drive(rotation: Rotation, settings: Settings, clients: Clients) -> dict[str, Any]:
    try:
        return await _all(rotation.drive, rotation.listed(), settings, clients)
    finally:
        for secret, text in rotation.urgent.items():
            if text:
                _alert(clients, settings, f"{secret} must change", f"{secret}: {text}")


async def _all(
    work: Callable[[str], Awaitable[Outcome]], secrets: Sequence[str], settings: Settings, clients: Clients
) -> dict[str, Any]:
    failed: list[str] = []

    def failure(secret: str, error: Exception) -> None:
        failed.append(secret)
        _tell(clients, settings, f"rotation of {secret} failed", error)

    outcomes = await each(work, secrets, failure)
    for outcome in outcomes:
        _said(outcome)
        age_ns = now_ns() - outcome.since_ns
        allowed_minutes = settings.unfinished_alert_minutes
        if outcome.kind in (ApiKey.name, Cookie.name):
            allowed_minutes += settings.session_hours * 60
        if outcome.state == "unfinished" and age_ns > allowed_minutes * MINUTE_NS:
            overdue = f"unfinished for {age_ns // MINUTE_NS} minutes; the old secret works on"
            waiting = "".join(f"\n- {who}" for who in outcome.waiting)
            _alert(clients, settings, f"rotation of {outcome.secret} waits", f"{outcome.secret}: {overdue}{waiting}")
    if failed:
        raise DriveFailed(
            f"every secret must go on, {len(failed)} of {len(failed) + len(outcomes)} failed",
            detail=", ".join(failed), hint="each was told of by an alert; the secrets in use are untouched",
        )  # fmt: skip
    return {"secrets": [outcome.to_json() for outcome in outcomes]}


def _said(outcome: Outcome) -> dict[str, Any]:
    answer = outcome.to_json()
    LOG.info("rotation", extra={"outcome": answer})
    return answer


def _tell(clients: Clients, settings: Settings, subject: str, error: Exception) -> None:
    more = "The secret in use is untouched and works on."
    tell_failure(clients, settings.alerts_topic_arn, LOG, f"{settings.environment}: {subject}", error, more=more)


def _alert(clients: Clients, settings: Settings, subject: str, text: str) -> None:
    tell_alert(clients, settings.alerts_topic_arn, LOG, f"Ironbook {settings.environment}: {subject}", text)


def _subject(event: Mapping[str, Any]) -> str:
    if not isinstance(event, dict):
        return "rotation failed"
    which = event.get("SecretId") or event.get("secret_id") or ""
    return f"rotation {event.get('Step') or event.get('action') or ''} {which} failed"[:90]


def _kinds(settings: Settings, clients: Clients, book: Administrator) -> dict[str, Kind]:
    """Those that these settings allow."""

    def authority() -> dict[str, Any]:
        return read_secret(clients, settings.ca_secret)

    def certificate() -> str:
        return str(authority().get("certificate", "")) if settings.ca_secret else ""

    draw = system_random.token_bytes
    engine = EngineDoor(settings.engine_addresses, now_ns) if settings.engine_addresses else None
    gateway = GatewayDoor(settings.gateway_url, certificate, now_ns) if settings.gateway_url else None
    kinds: list[Kind] = [ApiKey(draw, engine, gateway), Cookie(draw), Database(draw, book)]
    if settings.ca_secret:
        kinds.append(Tls(authority, TlsDoor(), now_ns))
    if settings.kafka_bootstrap:
        from functions.rotation.kafka_users import BrokerUsers, MskUsers  # librdkafka takes a while to load

        need(settings, "kafka_admin_secret")

        def login() -> dict[str, Any]:
            return read_secret(clients, settings.kafka_admin_secret)

        if settings.kafka_user_secret_prefix:
            kinds.append(Kafka(draw, MskUsers(settings, login, clients)))
        else:
            kinds.append(Kafka(draw, BrokerUsers(settings, login)))
    return {kind.name: kind for kind in kinds}
