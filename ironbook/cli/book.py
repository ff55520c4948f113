"""`ironbook book`: one book as a ladder, live from a replica: it asks the engine for nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ironbook import Side, TradingState, Units
from ironbook.cli._output import JsonOption, say_json, stdout
from ironbook.cli._place import DATA, DataOption, Names, Pulse, as_of, note_engine, open_replica
from schemas.vocabulary import REPORT_BYTES, EventKind
from schemas.vocabulary import Report as WireReport

TRADES_SHOWN = 8
BAR_WIDTH = 24
_FRAME_S = 0.1


def book(
    symbol: Annotated[str, typer.Argument(help="Symbol or number.", show_default=False)],
    depth: Annotated[int, typer.Option(help="Price levels on each side.", min=1, max=1000)] = 10,
    once: Annotated[bool, typer.Option("--once", help="Show it once and stop.")] = False,
    seconds: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    at: Annotated[int | None, typer.Option(help="As it was behind the record of this sequence; once.")] = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Show a book as a ladder, live until Ctrl-C.

    Examples:

      ironbook book BTC/USD

      ironbook book BTC/USD --once --depth 5 --json

      ironbook book BTC/USD --at 1000000
    """
    with open_replica(data, at=at) as replica:
        names = Names(replica.core)
        found = names.instrument(symbol)
        number, units = int(found["instrument"]), names.units(found)
        pulse = Pulse(data)

        def take() -> dict[str, Any]:
            return snapshot(replica.core, number, units, depth) | {"engine_running": pulse()}

        trades: list[dict[str, Any]] = []
        if once or at is not None:
            running = note_engine(data, replica.core, json) if at is None else pulse()
            shown = snapshot(replica.core, number, units, depth) | {"engine_running": running}
            say_json(shown) if json else stdout.print(ladder(shown, trades, noted=True))
            return
        deadline_s = None if seconds is None else time.monotonic() + seconds

        def trade(events: bytes) -> None:
            _take_trades(events, number, units, trades)

        _show(_pictures(replica, take, trade, deadline_s), json, trades)


def _show(pictures: Iterator[dict[str, Any]], as_json: bool, trades: list[dict[str, Any]]) -> None:
    if as_json:
        for shown in pictures:
            say_json(shown)
        return
    first = ladder(next(pictures), trades)
    with Live(first, console=stdout, auto_refresh=False, screen=stdout.is_terminal) as live:
        for shown in pictures:
            live.update(ladder(shown, trades), refresh=True)


def _pictures(
    replica: Any, take: Callable[[], dict[str, Any]], trade: Callable[[bytes], None], deadline_s: float | None
) -> Iterator[dict[str, Any]]:
    """The book, and again when it or the engine's being there has changed: at most one a frame."""
    shown = take()
    yield shown
    while deadline_s is None or time.monotonic() < deadline_s:
        step = replica.step()
        while step is not None:
            trade(step.events)
            step = replica.step()
        now = take()
        if (now["sequence"], now["engine_running"]) != (shown["sequence"], shown["engine_running"]):
            shown = now
            yield now
        time.sleep(_FRAME_S)


def _take_trades(events: bytes, number: int, units: Units, trades: list[dict[str, Any]]) -> None:
    for offset in range(0, len(events), REPORT_BYTES):
        if events[offset] == EventKind.TRADE:
            event = WireReport.unpack(events, offset)
            if event.instrument == number:
                side = "sell" if event.flags & 1 else "buy"
                price, quantity = units.price_text(event.price_ticks), units.quantity_text(event.quantity_lots)
                trades.append({"side": side, "price": price, "quantity": quantity, "trade_id": event.reference})
    del trades[:-TRADES_SHOWN]


def snapshot(core: Any, number: int, units: Units, depth: int) -> dict[str, Any]:
    """The best levels of both sides as decimal texts."""
    found = core.instrument(number)

    def levels(side: Side) -> list[dict[str, Any]]:
        return [
            {"price": units.price_text(price), "quantity": units.quantity_text(lots), "lots": lots, "orders": orders}
            for price, lots, orders in core.levels(number, int(side), depth)
        ]

    reference = int(found["reference_price_ticks"])
    return {
        "symbol": str(found["name"]),
        "state": TradingState(found["trading_state"]).name.lower(),
        "sequence": core.sequence(),
        "received_ns": core.received_ns(),
        "reference": units.price_text(reference) if reference else "",
        "bids": levels(Side.BUY),
        "asks": levels(Side.SELL),
    }


def ladder(shown: dict[str, Any], trades: list[dict[str, Any]], *, noted: bool = False) -> RenderableType:
    """Asks above, bids below, best ones in the middle; bars in proportion to the quantity.

    noted  that no engine is running was said elsewhere
    """
    most = max((level["lots"] for level in shown["asks"] + shown["bids"]), default=1)
    made = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for name in ("orders", "quantity", "price"):
        made.add_column(name, justify="right", no_wrap=True, overflow="fold")
    made.add_column("", min_width=1)  # the only one that can become narrower

    def row(level: dict[str, Any], colour: str) -> None:
        bar = "█" * max(1, round(BAR_WIDTH * level["lots"] / most))
        made.add_row(
            str(level["orders"]),
            level["quantity"],
            Text(level["price"], style=f"bold {colour}"),
            Text(bar, style=colour, no_wrap=True, overflow="crop"),
        )

    for level in reversed(shown["asks"]):
        row(level, "red")
    made.add_row("", "", Text(_spread(shown), style="dim"), "")
    for level in shown["bids"]:
        row(level, "green")
    title = Text.assemble(
        (shown["symbol"], "bold"), f"  {shown['state']}  ", (f"last {shown['reference']}", "dim"),
        (f"  sequence {shown['sequence']}", "dim"),
    )  # fmt: skip
    parts: list[RenderableType] = [title, made]
    if not shown["engine_running"] and not noted:
        parts.insert(0, Text(as_of(shown["received_ns"]), style="bold yellow"))
    if trades:
        parts.append(Text("trades", style="dim"))
        parts.extend(
            Text(f"  {t['side']:<4} {t['quantity']:>12} @ {t['price']}", style="green" if t["side"] == "buy" else "red")
            for t in reversed(trades)
        )
    return Group(*parts)


def _spread(shown: dict[str, Any]) -> str:
    if not shown["asks"] or not shown["bids"]:
        return "-" if shown["asks"] or shown["bids"] else "empty"
    return "· · ·"
