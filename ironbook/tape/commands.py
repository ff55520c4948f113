"""`ironbook tape` and `ironbook demo`: the bodies, and what they show.

The functions fit typer as they stand; the command line registers them. What people look at goes to the terminal
(progress to standard error); with `--json` standard output gets one line, and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from engine_node._engine import Core
from engine_node.replica import Replica
from engine_node.snapshots import list_snapshots

from ._book import QueueBook
from ._desk import Desk, local_desk, remote_desk
from ._gateway_demo import compare_depth, gateway_of
from ._show import Show
from ._source import Source, file_source, flow_source
from ._venue import CASH_NAME, Balance, VenueOptions
from .errors import TapeFailed, TapeOptions
from .flow import FlowOptions
from .player import Player, PlayOptions, parse_pace, price_text

DEMO_CASH_UNITS = 10**9 * 10**6
DEMO_SHARES = 10**7
DEMO_MAKERS = 3
SIGNED_PAIRS = 100  # signed orders on the topic, in pairs that meet
ALL_SYMBOLS = 16_384  # more than NASDAQ has stock locates

FileArgument = Annotated[
    Path | None,
    typer.Argument(help="LOBSTER message file (csv) or NASDAQ ITCH 5.0, gzip or not. Without one: a seeded flow."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line, and nothing else.")]
SeedOption = Annotated[int, typer.Option(help="Seed of the made-up order flow.")]


def tape(
    file: FileArgument = None,
    address: Annotated[
        str,
        typer.Option(help="host:port of an engine. Without it a fresh engine node is started, and stopped at the end."),
    ] = "",
    key: Annotated[
        list[Path] | None,
        typer.Option(help="With --address: key file of a sender (the first is the taker) or of an admin. Repeat it."),
    ] = None,
    account: Annotated[
        list[int] | None,
        typer.Option(help="With --address and a delegate's key: accounts to send for, the taker's first."),
    ] = None,
    first_instrument: Annotated[int, typer.Option(help="With --address: number of the first symbol's instrument.")] = 1,
    first_asset: Annotated[int, typer.Option(help="With --address: number of the money; shares follow.")] = 1,
    pace: Annotated[
        str, typer.Option(help="flat (lock-step, as fast as it goes), recorded, or a multiple: 20x, 0.5x.")
    ] = "flat",
    format_: Annotated[str, typer.Option("--format", help="auto, lobster or itch.")] = "auto",
    symbol: Annotated[str, typer.Option(help="ITCH: play this symbol only.")] = "",
    stock_locate: Annotated[int, typer.Option(help="ITCH: play this stock locate only.")] = 0,
    tick: Annotated[int, typer.Option(help="Ten-thousandths of the currency in a tick; 0: chosen from the tape.")] = 0,
    makers: Annotated[int, typer.Option(help="Accounts that resting orders are spread over (fresh engine only).")] = 3,
    level: Annotated[
        str, typer.Option(help="What an acknowledgement survives: process or disk (fresh engine only).")
    ] = "process",
    differences: Annotated[int, typer.Option(help="How many differences to show and explain.")] = 10,
    seed: SeedOption = 1,
    orders: Annotated[int, typer.Option(help="Messages of the made-up order flow.")] = 20_000,
    json: JsonOption = False,
) -> None:
    """Play recorded order flow through signed clients, and compare each execution with what the tape says.

    The next command leaves when everything that the one before it caused has come back. A recorded execution of a
    visible order whose arrival is on the tape is sent as an immediate-or-cancel order at its price and quantity; it
    agrees if it makes exactly one fill: with the recorded order, at the recorded price, for the recorded quantity.
    """
    if level not in ("process", "disk"):
        raise TapeOptions(f"a level must be process or disk, was {level!r}")
    play_options = PlayOptions(speed=parse_pace(pace), differences_shown=max(differences, 0))
    if file is None:
        source = flow_source(orders, FlowOptions(seed=seed))
    else:
        source = file_source(file, format_, tick, symbol, stock_locate)
    show = Show(Console(quiet=json), Console(stderr=True, quiet=json))
    show.tape(source, pace)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_by_signals())
        if address:
            options = VenueOptions(
                step=source.step, first_instrument=first_instrument, first_asset=first_asset,
                cash_units_per_account=10**16, shares_per_account=10**10,
            )  # fmt: skip
            desk = stack.enter_context(remote_desk(address, key or [], account or [], options))
        else:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ironbook-tape-")))
            settings = (_capacities(makers) if source.many_symbols else {}) | {"survival_level": level}
            desk = stack.enter_context(local_desk(directory, makers, VenueOptions(step=source.step), settings))
        show.desk(desk)
        player = _play(desk, source, play_options, show)
        balances = _reconcile(desk, player)
    played = player.played
    show.played(played)
    show.balances(balances)
    if json:
        print(orjson.dumps(played.to_json()).decode())


def demo(
    seed: SeedOption = 7,
    orders: Annotated[int, typer.Option(help="Messages of the made-up order flow.")] = 12_000,
    kafka: Annotated[
        str | None,
        typer.Option(help="Through Kafka into PostgreSQL: brokers, host:port; `local`, or nothing: starts both."),
    ] = None,
    tape_file: Annotated[
        Path | None, typer.Option("--tape", help="With --kafka: a recorded tape instead of the made-up flow.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Start an engine node, trade with signed clients, show book, fills, balances and latency, verify the journal.

    With --kafka everything goes on through the publisher, the topics and the workers into PostgreSQL, signed orders
    come in on a topic as well, and the totals there must be those of the journal; exit code 1 if they are not.
    """
    began_s = time.monotonic()
    source = flow_source(orders, FlowOptions(seed=seed))
    if kafka is not None:
        _demo_kafka(kafka, source if tape_file is None else file_source(tape_file, "auto", 0, "", 0), json)
        return
    options = VenueOptions(step=source.step, cash_units_per_account=DEMO_CASH_UNITS, shares_per_account=DEMO_SHARES)
    show = Show(Console(quiet=json), Console(stderr=True, quiet=json))
    show.demo(source)
    with stopped_by_signals(), tempfile.TemporaryDirectory(prefix="ironbook-demo-") as name:
        directory = Path(name)
        with local_desk(directory, DEMO_MAKERS, options) as desk, demo_gateway(desk, show) as url:
            show.desk(desk)
            show.note(f"gateway   {url}/ shows it while it runs")
            player = _play(desk, source, PlayOptions(), show, ladder=True)
            balances = _reconcile(desk, player)
            levels = compare_depth(directory, url)
        proof = verify(directory)
    played = player.played
    for symbol, book in player.books.items():
        show.ladder(symbol, book)
    show.fills(player.recent)
    show.played(played)
    show.balances(balances)
    show.proof(proof, time.monotonic() - began_s)
    show.note(f"the gateway's {levels:,} price levels over HTTP are those of the journal")
    if json:
        result = played.to_json() | {
            "commands": played.commands,
            "fills": played.fills,
            "balances_reconcile": all(balance.reconciles for balance in balances),
            "gateway_levels_equal": levels,
            "journal": dataclasses.asdict(proof),
            "elapsed_s": round(time.monotonic() - began_s, 1),
        }
        print(orjson.dumps(result).decode())


@contextlib.contextmanager
def demo_gateway(desk: Desk, show: Show) -> Iterator[str]:
    """The gateway of a desk's own engine node."""
    if desk.node is None:
        raise TapeOptions("a demonstration must have an engine node of its own")
    with gateway_of(desk.node, show.note) as url:
        yield url


def _demo_kafka(kafka: str, source: Source, as_json: bool) -> None:
    """The tape and signed orders through the whole pipeline. Raises TapeFailed if totals do not agree."""
    from . import _pipeline_demo as pipeline

    if source.many_symbols:
        raise TapeOptions("a demonstration's tape must be of one symbol, this one has many", hint="a LOBSTER file")
    began_s = time.monotonic()
    show = Show(Console(quiet=as_json), Console(stderr=True, quiet=as_json))
    options = VenueOptions(step=source.step, cash_units_per_account=DEMO_CASH_UNITS, shares_per_account=DEMO_SHARES)
    prefix = "" if kafka == "local" else f"demo-{secrets.token_hex(4)}."
    show.demo(source)
    with stopped_by_signals(), tempfile.TemporaryDirectory(prefix="ironbook-demo-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # the database's own user must come through
        with pipeline.pipeline_desk(directory, kafka, prefix, DEMO_MAKERS, options, show.note) as (desk, full, keys):
            show.desk(desk)
            player = _play(desk, source, PlayOptions(), show)
            show.played(player.played)
            symbol = f"{next(iter(player.books))}/{CASH_NAME}"
            price = price_text(player.recent[-1][1].price) if player.recent else "100.00"
            submitted = pipeline.submit(full, keys, symbol, price, SIGNED_PAIRS)
            show.note(f"{submitted} signed orders put on orders.submitted")
            checks = pipeline.settle(directory, submitted)
            counts = pipeline.count_topics(full)
    show.topics(counts)
    show.checks(checks, time.monotonic() - began_s)
    wrong = [check for check in checks if not check.agrees]
    if as_json:
        said = {check.what: check.agrees for check in checks}
        totals = {check.what: check.pipeline for check in checks if isinstance(check.pipeline, int)}
        result = {"reconciles": not wrong, "checks": said, "totals": totals, "topics": counts, "prefix": prefix}
        print(orjson.dumps(result | {"elapsed_s": round(time.monotonic() - began_s, 1)}).decode())
    if wrong:
        raise TapeFailed(
            f"{wrong[0].what} must be as in the journal, {wrong[0].journal}, were {wrong[0].pipeline}",
            detail=f"{len(wrong)} of {len(checks)} totals differ",
            hint="a bug, or the machine was too slow: run it again with fewer --orders",
        )


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does: the engine node is stopped, its directory removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A journal replayed from its beginning, against what the engine said when it stopped."""

    records: int
    digest: str  # 16 hexadecimal digits
    engine_digest: str


def verify(directory: Path) -> Proof:
    """Replay a stopped engine node's journal into an empty core. Raises TapeFailed if it comes to another state."""
    newest = list_snapshots(directory / "snapshots")
    if not newest:
        raise TapeFailed("an engine node must leave a snapshot when it stops, there is none", detail=str(directory))
    engine = max(newest, key=lambda snapshot: snapshot.sequence)
    with Replica.open(directory, use_snapshot=False, event_mask=0) as replica:
        replica.catch_up(engine.sequence)
        broken = replica.core.check()
        proof = Proof(
            records=replica.core.sequence(),
            digest=f"{replica.core.digest():016x}",
            engine_digest=f"{engine.digest:016x}",
        )
    if broken is not None or proof.digest != proof.engine_digest or proof.records != engine.sequence:
        raise TapeFailed(
            f"a fresh replay of the journal must come to the engine's state: digest {proof.engine_digest} at record "
            f"{engine.sequence}, was {proof.digest} at {proof.records}",
            detail=broken or str(directory),
            hint="a bug of the core: keep the journal",
        )
    return proof


def _play(desk: Desk, source: Source, options: PlayOptions, show: Show, *, ladder: bool = False) -> Player:
    player = Player(desk.traders, desk.venue, options)
    with show.progress(source, player, ladder) as moved:
        player.play(source.messages(moved.read), moved.told)
    return player


def _reconcile(desk: Desk, player: Player) -> list[Balance]:
    """Books and balances by the reports against those of a replica of the journal, where it can be read.

    Raises TapeFailed if they differ.
    """
    if desk.node is None:
        return []
    with Replica.open(desk.node.directory, event_mask=0) as replica:
        replica.catch_up()
        balances = desk.venue.balances(replica.core, player.played.balances)
        for instrument, symbol in desk.venue.symbols.items():
            _compare_book(replica.core, instrument, player.books[symbol], desk.venue.options.step)
    for balance in balances:
        if not balance.reconciles:
            raise TapeFailed(
                f"deposits and fills must make the engine's balance: {balance.deposited + balance.change} units, was "
                f"{balance.free} free and {balance.locked} locked",
                detail=f"client {balance.client}, {balance.asset}",
                hint="a bug: keep the journal",
            )
    return balances


def _compare_book(core: Core, instrument: int, book: QueueBook, step: int) -> None:
    """The clients' picture of a book against the engine's. Raises TapeFailed."""
    for side, levels in book.levels.items():
        told = {price: (sum(level.values()), len(level)) for price, level in levels.items()}
        found = {
            price * step: (quantity, count) for price, quantity, count in core.levels(instrument, side, len(told) + 1)
        }
        if told != found:
            price = min(price for price in told.keys() | found.keys() if told.get(price) != found.get(price))
            raise TapeFailed(
                f"reports must make the engine's book: (shares, orders) {told.get(price)} at {price_text(price)}, "
                f"was {found.get(price)}",
                detail=f"instrument {instrument}, side {side}",
                hint="nobody else may trade in it; otherwise a bug: keep the journal",
            )


def _capacities(makers: int) -> dict[str, Any]:
    """Of a fresh engine that is to hold every symbol of a market."""
    pairs = ALL_SYMBOLS * (makers + 2)
    return {
        "asset_count_max": ALL_SYMBOLS + 2,
        "instrument_count_max": ALL_SYMBOLS + 1,
        "balance_count_max": pairs,
        "position_count_max": pairs,
        "order_count_max": 1 << 22,
        "level_count_max": 1 << 21,
        "ladder_count_max": 1 << 21,
    }
