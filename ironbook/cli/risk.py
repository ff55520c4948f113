"""`ironbook risk`: limits of accounts and firms, set by signed envelopes while the stream runs.

set, resume ──▶ envelope signed by an admin's key ──▶ risk.limits ──▶ the worker of risk ──▶ risk.audit ──▶ answer
show        ◀── the newest change of each account and firm ◀─────────────────────────────────┘
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.markup import escape

from ironbook import InputInvalid, RequestTimeout
from ironbook.cli._kafka import Cluster, KafkaOption, LoginOption, PrefixOption, find_kafka
from ironbook.cli._output import JsonOption, show, table
from ironbook.cli._place import ADMIN_KEY, DATA, DataOption, KeyOption, find_key

if TYPE_CHECKING:
    from ironbook import Key
    from schemas.events import Audit

app = typer.Typer(
    help="Risk of the stream: limits, what was done about them, and lifting it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
limits = typer.Typer(help="Limits of an account or a firm.", no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(limits, name="limits")

TOPIC, ANSWERS = "risk.limits", "risk.audit"
EXIT_REFUSED = 3
Account = Annotated[int, typer.Option(help="Whose limits; 0: of the firm as a whole.", min=0)]
Firm = Annotated[int | None, typer.Option(help="Its firm; default: the account's own number.", min=1)]
Wait = Annotated[float, typer.Option(help="How many seconds to wait for the worker's answer.", min=0.1)]


@limits.command("set")
def set_limits(
    account: Account,
    names: Annotated[
        list[str] | None, typer.Argument(help="NAME=NUMBER, for example daily_loss_units=250000.", show_default=False)
    ] = None,
    action: Annotated[
        list[str] | None, typer.Option(help="LIMIT=warn|refuse|reduce_only|halt, for example daily_loss=halt.")
    ] = None,
    firm: Firm = None,
    wait: Wait = 15.0,
    key: KeyOption = None,
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Set limits: exactly these hold from now on, and a limit that is not named is none.

    Example:  ironbook risk limits set --account 1 daily_loss_units=250000 --action daily_loss=halt
    """
    wanted: dict[str, Any] = dict(_number(text) for text in names or ())
    if action:
        wanted["actions"] = dict(_pair(text, "LIMIT=ACTION") for text in action)
    body = {"firm": _firm(account, firm), "account": account, "limits": wanted}
    cluster = find_kafka(data, kafka, prefix, login)
    _tell(asyncio.run(_change(cluster, find_key(data, key, ADMIN_KEY), body, wait)), json)


@limits.command("show")
def show_limits(
    account: Annotated[int | None, typer.Option(help="Only this account; 0: firms as a whole.", min=0)] = None,
    history: Annotated[bool, typer.Option("--history", help="Every change and action, oldest first.")] = False,
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Show the limits that hold, or the whole history: who changed what and when, and what risk did.

    Example:  ironbook risk limits show --history
    """
    audits = asyncio.run(_audits(find_kafka(data, kafka, prefix, login)))
    if not history:
        audits = list({(a.firm, a.account): a for a in audits if a.what == "limits_changed"}.values())
    audits = [audit for audit in audits if account in (None, audit.account)]
    columns = ("time", "firm", "account", "who", "what", "limits")
    rows = [(_time(a.time_ns), a.firm, a.account or "all", a.who, _what(a), _limits_text(a.after)) for a in audits]
    listed = table("", columns, rows, right=("firm", "account"))
    show(json, {"audits": [audit.to_dict() for audit in audits]}, lambda console: console.print(listed))


@app.command("resume")
def resume(
    account: Account,
    firm: Firm = None,
    wait: Wait = 15.0,
    key: KeyOption = None,
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Lift a halt or reduce-only that risk set; the limits stay. What still breaks one is stopped again at once.

    Example:  ironbook risk resume --account 1
    """
    cluster = find_kafka(data, kafka, prefix, login)
    number = _firm(account, firm)
    held: dict[str, Any] = {}
    for audit in asyncio.run(_audits(cluster)):
        if (audit.firm, audit.account, audit.what) == (number, account, "limits_changed"):
            held = {name: value for name, value in audit.after.items() if name != "resume"}
    body = {"firm": number, "account": account, "limits": held, "resume": True}
    _tell(asyncio.run(_change(cluster, find_key(data, key, ADMIN_KEY), body, wait)), json)


def _tell(audit: Audit, as_json: bool) -> None:
    whose = f"account {audit.account}" if audit.account else f"firm {audit.firm}"
    done = audit.what == "limits_changed"
    said = f"limits of {whose}: {_limits_text(audit.after)}" if done else f"refused: {audit.code}"
    show(as_json, audit.to_dict(), lambda console: console.print(escape(said), soft_wrap=True))
    if not done:
        raise typer.Exit(EXIT_REFUSED)


async def _audits(cluster: Cluster) -> list[Audit]:
    """All that are kept, in the order of their times; what came twice once."""
    from ironbook.subscribe import Subscription, events

    found: dict[str, Audit] = {}
    async with Subscription(
        cluster.servers, ANSWERS, prefix=cluster.prefix, from_="beginning", security=cluster.security
    ) as audits:
        async for item in audits.until_now():
            if isinstance(item, events.Audit):
                found[item.audit_id] = item
    return sorted(found.values(), key=lambda audit: audit.time_ns)


async def _change(cluster: Cluster, key: Key, body: dict[str, Any], wait_s: float) -> Audit:
    """Send an envelope, and wait for what became of it. Raises RequestTimeout."""
    from ironbook import sign_limits
    from ironbook._kafka import SCHEMA_VERSION, aiokafka
    from ironbook.subscribe import Subscription, events

    async with Subscription(cluster.servers, ANSWERS, prefix=cluster.prefix, security=cluster.security) as audits:
        envelope = sign_limits(key, body, timestamp_ns=time.time_ns(), nonce=uuid.uuid4().hex)
        producer = aiokafka().AIOKafkaProducer(acks="all", enable_idempotence=True, **cluster.options())
        await producer.start()
        try:
            place = await producer.send_and_wait(
                cluster.prefix + TOPIC, orjson.dumps([envelope]), key=str(body["firm"]).encode(),
                headers=[("schema", f"{TOPIC}/{SCHEMA_VERSION}".encode())],
            )  # fmt: skip
        finally:
            await producer.stop()
        wanted = f"{TOPIC}:{place.partition}:{place.offset}:0"
        try:
            async with asyncio.timeout(wait_s):
                async for item in audits:
                    if isinstance(item, events.Audit) and item.audit_id == wanted:
                        return item
        except TimeoutError:
            pass
        raise RequestTimeout(
            f"the worker of risk must answer within {wait_s:g} s, did not",
            detail=f"the change is on the topic at {wanted}, and is taken when the worker runs",
            hint="`ironbook workers` shows who runs; `ironbook risk limits show` what holds",
        )


def _firm(account: int, firm: int | None) -> int:
    if firm is None and account == 0:
        raise InputInvalid("limits of a firm as a whole must say which", hint="--firm NUMBER --account 0")
    return account if firm is None else firm


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputInvalid(f"what is set must be {form}, was {text[:60]!r}", hint="`ironbook risk limits set --help`")
    return name, value


def _number(text: str) -> tuple[str, int]:
    from schemas.topics import load_topics

    name, value = _pair(text, "NAME=NUMBER")
    known = sorted(set(load_topics().data["limit_names"]) - {"actions"})
    if name not in known:
        raise InputInvalid(f"a limit must be a known one, was {name[:60]!r}", hint=f"known are {', '.join(known)}")
    digits = value.replace("_", "")
    if not (digits.isascii() and digits.isdigit()):
        raise InputInvalid(f"{name} must be a whole number, was {value[:60]!r}", hint="amounts are in quote units")
    return name, int(digits)


def _what(audit: Audit) -> str:
    return audit.what if audit.code is None else f"{audit.what} {audit.code}"


def _limits_text(after: dict[str, Any] | None) -> str:
    if not after:
        return "none"
    named = [f"{name}={value}" for name, value in after.items() if name != "actions"]
    named += [f"{name}: {action}" for name, action in after.get("actions", {}).items()]
    return ", ".join(named)


def _time(time_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns / 1e9))
