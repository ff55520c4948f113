"""`ironbook watch`: public events and reports from a replica, or the reports of a key from a session of its own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ironbook import Client, Options, Report, ResumeState, Side, amount_text
from ironbook.cli._kafka import KafkaOption, LoginOption, PrefixOption, find_kafka
from ironbook.cli._output import JsonOption, plural, say_json, stderr, stdout
from ironbook.cli._place import (
    DATA,
    AddressOption,
    DataOption,
    KeyOption,
    Names,
    Pulse,
    as_of,
    find_address,
    find_key,
    local_markets,
    open_key_file,
    open_replica,
)
from ironbook.cli._topic import topic_names, watch_topic
from ironbook.cli.orders import report_line
from schemas.vocabulary import REPORT_BYTES, Code, EventKind, Level3Action, TradingState
from schemas.vocabulary import Report as WireReport

_PUBLIC = frozenset(
    (
        EventKind.TRADE,
        EventKind.BOOK_UPDATE,
        EventKind.STATE,
        EventKind.LEVEL3,
        EventKind.INDICATIVE,
        EventKind.TRADE_BUST,
        EventKind.TRADE_CORRECTION,
    )
)


def watch(
    what: Annotated[
        str | None, typer.Argument(help="Only this symbol or number; or a topic, read from Kafka.", show_default=False)
    ] = None,
    key: KeyOption = None,
    log_on: Annotated[
        bool, typer.Option("--log-on", help="Take the key's reports from a session: ends another one of this key.")
    ] = False,
    after_report: Annotated[
        int | None, typer.Option(help="With --log-on: begin behind this report number; default: new ones only.")
    ] = None,
    level3: Annotated[bool, typer.Option("--level3", help="Single orders in the book too.")] = False,
    past: Annotated[bool, typer.Option("--past", help="Begin at the oldest record of the journal, or topic.")] = False,
    count: Annotated[int | None, typer.Option(help="Stop after so many events.", min=1)] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    data: DataOption = DATA,
    address: AddressOption = None,
    symbol: Annotated[str | None, typer.Option(help="Of a topic: only this symbol.")] = None,
    account: Annotated[int | None, typer.Option(help="Of a topic: only this account.")] = None,
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    json: JsonOption = False,
) -> None:
    """Show events as they happen: trades, book changes and halts; with --key the reports of that key.

    With the name of a topic (trades, executions, positions, …): what is published on it, by Kafka.

    Examples:

      ironbook watch BTC/USD

      ironbook watch --key demo-1 --json

      ironbook watch --key demo-1 --log-on --after-report 0 --address 10.0.0.5:7400

      ironbook watch positions --account 1 --kafka 10.0.0.5:9092
    """
    if what in topic_names():
        cluster = find_kafka(data, kafka, prefix, login)
        watch_topic(cluster, str(what), symbol, account, past=past, count=count, seconds=seconds, as_json=json)
        return
    deadline_s = None if seconds is None else time.monotonic() + seconds
    if log_on:
        _watch_session(data, address, key, after_report, count, deadline_s, json)
        return
    number = None
    if key is not None:
        number = open_key_file(data).load().find(key).number
    with open_replica(data) as replica:
        names = Names(replica.core)
    with open_replica(data) if not past else _whole_replica(data) as replica:
        stop = _stop(data, replica.core, deadline_s)
        for event in _events(replica, names, what or symbol, number, level3, count, stop):
            if event.instrument and event.instrument not in names.instruments:
                names = Names(replica.core)
            if json:
                say_json(event_json(event, names))
            else:
                stdout.print(event_line(event, names), soft_wrap=True)


def _stop(data: Path, core: Any, deadline_s: float | None) -> Callable[[], bool]:
    """Is the time over? Says on standard error, on the way, when the engine goes and when it is back."""
    pulse = Pulse(data)
    was_running = True

    def stop() -> bool:
        nonlocal was_running
        if pulse() != was_running:
            was_running = not was_running
            said = "engine running again" if was_running else as_of(core.received_ns())
            stderr.print(said, style="yellow", soft_wrap=True)
        return deadline_s is not None and time.monotonic() >= deadline_s

    return stop


def _whole_replica(data: Path) -> Any:
    from engine_node.replica import Replica

    return Replica.open(data, use_snapshot=False)


def _events(
    replica: Any,
    names: Names,
    symbol: str | None,
    key_number: int | None,
    level3: bool,
    count: int | None,
    stop: Callable[[], bool],
) -> Iterator[WireReport]:
    told = 0
    wanted = int(names.instrument(symbol)["instrument"]) if symbol is not None else None
    for step in replica.follow(stop):
        for offset in range(0, len(step.events), REPORT_BYTES):
            event = WireReport.unpack(step.events, offset)
            if wanted is not None and event.instrument != wanted:
                continue
            if key_number is not None:
                if event.key != key_number:
                    continue
            elif event.kind not in _PUBLIC or (event.kind == EventKind.LEVEL3 and not level3):
                continue
            yield event
            told += 1
            if count is not None and told >= count:
                return


def _watch_session(
    data: Path,
    address: str | None,
    key: str | None,
    after_report: int | None,
    count: int | None,
    deadline_s: float | None,
    as_json: bool,
) -> None:
    if key is None:
        raise typer.BadParameter("--log-on needs --key")
    resume = None if after_report is None else ResumeState(last_report_number=after_report, last_client_sequence=0)
    told, markets = 0, local_markets(data, address)
    sought: set[int] = set()  # instruments looked for a second time: not for each report
    options = Options(keep_alive=True)
    with Client(find_address(data, address), find_key(data, key, key), options=options, resume=resume) as client:
        while deadline_s is None or time.monotonic() < deadline_s:
            wait_s = 1.0 if deadline_s is None else max(0.0, min(1.0, deadline_s - time.monotonic()))
            for report in client.take_reports(timeout_s=wait_s):
                if as_json:
                    say_json(report.to_json())
                else:
                    market = markets.get(report.instrument)
                    if market is None and report.instrument not in (0, *sought):  # defined since then
                        sought.add(report.instrument)
                        markets = local_markets(data, address)
                        market = markets.get(report.instrument)
                    stdout.print(report_line(report, market, named=True), soft_wrap=True)
                told += 1
                if count is not None and told >= count:
                    return


def event_json(event: WireReport, names: Names) -> dict[str, Any]:
    """An event with names and decimal texts beside its numbers."""
    kind = EventKind(event.kind)
    said: dict[str, Any] = {
        "kind": kind.name.lower(),
        "sequence": event.sequence,
        "n": event.n,
        "received_ns": event.received_ns,
        "instrument": event.instrument,
        "account": event.account,
        "code": _code(kind, event.code),
        "side": Side(2 if event.flags & 1 else 1).name.lower(),
        "done": bool(event.flags & 4),
        "order_id": event.order_id,
        "client_order_id": event.client_order_id,
        "price_ticks": event.price_ticks,
        "quantity_lots": event.quantity_lots,
        "remaining_lots": event.remaining_lots,
        "reference": event.reference,
        "amount_units": event.amount_units,
        "report_number": event.report_number,
    }
    instrument = names.instruments.get(event.instrument)
    if instrument is not None and kind is not EventKind.BALANCE:
        units = names.units(instrument)
        said["symbol"] = str(instrument["name"])
        said["price"] = units.price_text(event.price_ticks)
        said["quantity"] = units.quantity_text(event.quantity_lots)
    return said


def _code(kind: EventKind, code: int) -> str:
    if kind is EventKind.STATE:
        return TradingState(code).name.lower()
    if kind is EventKind.LEVEL3:
        return Level3Action(code).name.lower()
    return Code(code).name.lower()


def event_line(event: WireReport, names: Names) -> str:
    """One event for people."""
    said = event_json(event, names)
    clock = time.strftime("%H:%M:%S", time.localtime(event.received_ns / 1e9))
    micros = event.received_ns // 1000 % 1_000_000
    head = f"[dim]{clock}.{micros:06d} {event.sequence:>10}[/] {escape(str(said.get('symbol', ''))):<10}"
    kind, price, quantity = said["kind"], said.get("price", ""), said.get("quantity", "")
    colour = "red" if said["side"] == "sell" else "green"
    if kind == "trade":
        return f"{head} [bold]trade[/]  [{colour}]{said['side']} {quantity} @ {price}[/] [dim]#{event.reference}[/]"
    if kind == "book_update":
        orders = plural(event.remaining_lots, "order")
        return f"{head} book   [{colour}]{said['side']} {price}: {quantity}[/] [dim]({orders})[/]"
    if kind == "state":
        whose = f"account {event.account}" if event.account else "instrument" if event.instrument else "everything"
        return f"{head} state  {whose} [bold]{said['code']}[/]"
    if kind == "level3":
        return f"{head} order  [{colour}]{said['code']} {event.order_id} {said['side']} {quantity} @ {price}[/]"
    if kind == "balance":
        return f"{head} {_balance(event, names)}"
    if kind == "indicative":
        return f"{head} {_indicative(event, said)}"
    if kind in ("trade_bust", "trade_correction"):
        done = "busted" if kind == "trade_bust" else "corrected to"
        return f"{head} [bold]trade[/]  #{event.reference} {done} {quantity} @ {price}"
    if kind == "adjustment":
        change = f"{event.remaining_lots:+d} lots, {event.amount_units:+d} units"
        return f"{head} adjust account {event.account} trade #{event.reference} [dim]{change}[/]"
    instrument = names.instruments.get(event.instrument)
    return f"{head} {report_line(_report(event), names.market(instrument) if instrument is not None else None)}"


def _indicative(event: WireReport, said: dict[str, Any]) -> str:
    """What an auction would give now."""
    if not event.price_ticks:
        return "auction nothing crosses"
    more = f"{said['side']} {event.remaining_lots} lots over" if event.remaining_lots else "balanced"
    return f"auction {said['quantity']} @ {said['price']} [dim]({more})[/]"


def _balance(event: WireReport, names: Names) -> str:
    """A deposit or withdrawal: `instrument` holds its asset."""
    asset = names.assets.get(event.instrument)
    if asset is None:
        return f"balance   account {event.account} {event.amount_units:+d} units of asset {event.instrument}"
    change, free = (amount_text(units, int(asset["decimals"])) for units in (event.amount_units, event.quantity_lots))
    sign = "+" if event.amount_units > 0 else ""
    return f"balance   account {event.account} {sign}{change} {escape(str(asset['name']))} [dim]free {free}[/]"


def _report(event: WireReport) -> Report:
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(Report)}
    return Report(**fields | {"kind": EventKind(event.kind), "code": Code(event.code)})
