"""What `ironbook tape` and `ironbook demo` look like: rich text for people, plain text where there is no terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ._book import BUY, SELL, QueueBook
from ._files import Progress as ReadProgress
from ._outcome import CASH, client_name
from ._venue import CASH_DECIMALS, CASH_NAME, Balance
from .player import Fill, Played, Player, price_text, time_text

if TYPE_CHECKING:
    from ._desk import Desk
    from ._pipeline_demo import Check
    from ._source import Source
    from .commands import Proof

REFRESH_S = 0.1
LEVELS_SHOWN = 8
BAR_CELLS = 20
BALANCE_ROWS_MAX = 24


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """What to call while a tape plays: `read` when the file was read on, `told` after each message."""

    read: ReadProgress
    told: Callable[[Played], None]


class Show:
    """Prints to `out` what stays, to `err` what moves."""

    def __init__(self, out: Console, err: Console) -> None:
        self.out = out
        self.err = err

    def demo(self, source: Source) -> None:
        """The first lines of a demonstration."""
        self.out.print("[bold]Ironbook[/bold]: signed orders in, fills out, one journal that every reader replays\n")
        self.out.print(f"  flow      {source.message_count:,} messages of {source.name}", highlight=False)

    def tape(self, source: Source, pace: str) -> None:
        """What is played, and how."""
        count = f"{source.message_count:,} messages, " if source.message_count else ""
        what = source.name if source.kind == "flow" else f"{source.name} ({source.kind})"
        self.out.print(f"  tape      {what}: {count}tick {price_text(source.step)}, pace {pace}", highlight=False)

    def desk(self, desk: Desk) -> None:
        """Which engine, which clients."""
        if desk.node is not None:
            host, port = desk.node.address
            self.out.print(f"  engine    process {desk.node.pid} on {host}:{port}, fresh", highlight=False)
        makers = len(desk.venue.accounts) - 1
        self.out.print(
            f"  clients   1 taker, {makers} makers: HMAC-signed frames over TCP, an account each", highlight=False
        )

    @contextlib.contextmanager
    def progress(self, source: Source, player: Player, ladder: bool) -> Iterator[Moved]:
        """A progress bar while a tape plays, with the book beside it if wanted; nothing where there is no terminal."""
        if not self.err.is_terminal:
            yield Moved(lambda read, total: None, lambda played: None)
            return
        bar = Progress(
            TextColumn("  {task.description}"), BarColumn(40), TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[said]}"), TimeRemainingColumn(), console=self.err,
        )  # fmt: skip
        task = bar.add_task("playing", total=source.message_count or None, said="")
        drawn_s = 0.0

        def read(done: int, total: int) -> None:
            if not source.message_count:
                bar.update(task, completed=done, total=total)

        def picture() -> RenderableType:
            if not ladder or not player.books:
                return bar
            symbol, book = next(iter(player.books.items()))
            return Group(ladder_panel(symbol, book), bar)

        def told(played: Played) -> None:
            nonlocal drawn_s
            if played.messages & 15:
                return
            now_s = time.monotonic()
            if now_s - drawn_s < REFRESH_S:
                return
            drawn_s = now_s
            agreed = f"{played.executions_agreed:,}/{played.executions_checked:,} agreed"
            bar.update(task, said=f"{played.commands:,} orders, {agreed}")
            if source.message_count:
                bar.update(task, completed=played.messages)
            live.update(picture(), refresh=True)

        with Live(picture(), console=self.err, auto_refresh=False, transient=True) as live:
            yield Moved(read, told)

    def played(self, played: Played) -> None:
        """What came of it."""
        out = self.out
        out.print()
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column()
        rejects = ", ".join(f"{count:,} {name}" for name, count in sorted(played.reject_codes.items()))
        checked = played.executions_checked
        agreed = f"{played.executions_agreed:,} of {checked:,}"
        share = f" ({100 * played.executions_agreed / checked:.2f} %)" if checked else ""
        table.add_row("messages", f"{played.messages:,}")
        table.add_row("orders sent", f"{played.commands:,}, {played.orders_per_s:,} a second in lock-step")
        table.add_row("fills", f"{played.fills:,}")
        table.add_row("rejects", f"{played.rejected:,}" + (f" ({rejects})" if rejects else ""))
        table.add_row("executions", f"{agreed} agree with the tape{share}")
        if played.executions_unknown:
            table.add_row("", f"{played.executions_unknown:,} more name orders from before the tape: not sent")
        table.add_row("round trip", latency_text(played))
        table.add_row("outcome", played.outcome_digest)
        out.print(table, highlight=False)
        self._differences(played)

    def _differences(self, played: Played) -> None:
        differing = played.executions_checked - played.executions_agreed
        if not differing or not played.differences:
            return
        shown = len(played.differences)
        self.out.print(
            f"\n[bold]Differences[/bold]: the first {shown} of {differing:,}, as they stay in the book", highlight=False
        )
        for difference in played.differences:
            self.out.print(Text(difference.text()), soft_wrap=True)

    def balances(self, balances: list[Balance]) -> None:
        """Every account's, at a replica and by the reports; nothing where there is no replica."""
        if not balances:
            return
        moved = [balance for balance in balances if balance.change or balance.locked]
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in ("account", "asset"):
            table.add_column(name, no_wrap=True)
        for name in ("by fills, fees", "free", "locked", ""):
            table.add_column(name, justify="right", no_wrap=True)
        for balance in moved[:BALANCE_ROWS_MAX]:
            cash = balance.asset == CASH
            numbers = (balance.change, balance.free, balance.locked)
            texts = [units_text(number, CASH_DECIMALS if cash else 0) for number in numbers]
            sign = "✓" if balance.reconciles else "✗"
            table.add_row(client_name(balance.client), CASH_NAME if cash else balance.asset or "shares", *texts, sign)
        self.out.print("\n[bold]Balances[/bold] at a replica of the journal; with what clients were told they add up")
        self.out.print(table, highlight=False)
        if len(moved) > BALANCE_ROWS_MAX:
            self.out.print(f"  and {len(moved) - BALANCE_ROWS_MAX:,} more, all of which reconcile", highlight=False)

    def ladder(self, symbol: str, book: QueueBook) -> None:
        """The book as it stands."""
        self.out.print(ladder_panel(symbol, book))

    def fills(self, recent: Iterable[tuple[int, Fill]]) -> None:
        """The last fills."""
        self.out.print("\n[bold]Last fills[/bold]")
        for time_ns, fill in recent:
            traded = f"{fill.quantity:>6,} @ {price_text(fill.price)}"
            self.out.print(f"  {time_text(time_ns)}  {fill.symbol}  {traded}  hit order {fill.maker}", highlight=False)

    def note(self, text: str) -> None:
        """What happened on the way."""
        self.out.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    def topics(self, counts: Mapping[str, int]) -> None:
        """How many events each topic has."""
        self.out.print("\n[bold]Events on topics[/bold]")
        for name, count in counts.items():
            self.out.print(f"  {name:<20} {count:>10,}", highlight=False)

    def checks(self, checks: Sequence[Check], elapsed_s: float) -> None:
        """Totals of the journal beside those of the database."""
        self.out.print("\n[bold]Totals[/bold] of the journal, replayed, and of PostgreSQL")
        for check in checks:
            sign = "✓" if check.agrees else "✗"
            journal, pipeline = (
                f"{len(value):,} alike" if isinstance(value, dict) and check.agrees else
                f"{len(value):,}" if isinstance(value, dict) else f"{value:,}"
                for value in (check.journal, check.pipeline)
            )  # fmt: skip
            self.out.print(f"  {check.what:<24} {journal:>14} {pipeline:>14}  {sign}", highlight=False)
        self.out.print(f"\nDone in {elapsed_s:.1f} s; everything is stopped, its directory removed.", highlight=False)

    def proof(self, proof: Proof, elapsed_s: float) -> None:
        """The last lines of a demonstration."""
        self.out.print("\n[bold]Journal[/bold] replayed from its first record into an empty core")
        self.out.print(
            f"  {proof.records:,} records, digest {proof.digest}: the engine's own when it stopped", highlight=False
        )
        self.out.print(f"\nDone in {elapsed_s:.1f} s; the engine is stopped, its directory removed.", highlight=False)


def latency_text(played: Played) -> str:
    """Percentiles in words."""
    names = {"p50": "p50", "p99": "p99", "p999": "p99.9"}
    return ", ".join(f"{names[name]} {value:,.1f} µs" for name, value in played.latencies.to_json().items())


def units_text(units: int, decimals: int) -> str:
    """An amount as people write it, two digits behind the point at most (cut, not rounded); whole if it has none."""
    if not decimals:
        return f"{units:,}"
    whole, part = divmod(abs(units), 10**decimals)
    return f"{'-' if units < 0 else ''}{whole:,}.{part * 100 // 10**decimals:02d}"


def ladder_panel(symbol: str, book: QueueBook) -> Panel:
    """The best levels of both sides, asks above bids, with bars for their size."""
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", width=BAR_CELLS)
    table.add_column(justify="right", width=8)
    table.add_column(justify="center", width=12)
    table.add_column(justify="left", width=8)
    table.add_column(justify="left", width=BAR_CELLS)
    asks = [(price, sum(level.values())) for price, level in sorted(book.levels[SELL].items())[:LEVELS_SHOWN]]
    bids = [
        (price, sum(level.values())) for price, level in sorted(book.levels[BUY].items(), reverse=True)[:LEVELS_SHOWN]
    ]
    most = max((size for _, size in asks + bids), default=1)
    for price, size in reversed(asks):
        bar = "█" * max(1, size * BAR_CELLS // most)
        table.add_row("", "", f"[red]{price_text(price)}[/red]", f"{size:,}", f"[red]{bar}[/red]")
    for price, size in bids:
        bar = "█" * max(1, size * BAR_CELLS // most)
        table.add_row(f"[green]{bar}[/green]", f"{size:,}", f"[green]{price_text(price)}[/green]", "", "")
    return Panel(table, title=symbol or "book", subtitle=f"{len(book.orders):,} orders", expand=False)
