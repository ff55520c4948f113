"""A day's report as one HTML file: the headline, numbers, pictures, tables. Needs nothing else, runs nothing.

The same figures give the same bytes: no time of making, no random names. Every text that comes from elsewhere (symbols,
assets, clients' names in errors) is escaped, and the page's own policy forbids scripts, pictures and links to anything
but its own sheet, known by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any
from urllib.parse import quote

from functions.reporting.best_execution import Group
from functions.reporting.figures import AccountSymbol, Figures, SymbolDay
from functions.reporting.market import decimal_text, rounded
from functions.reporting.pictures import duration, pictures
from functions.reporting.reconciliation import Reconciliation
from functions.reporting.sketch import Sketch

__all__ = ["render"]

ROWS_MAX = 60
QUOTES_MAX = 4
LONG = 13  # characters of a number that get smaller ones
STYLE = resources.files("functions.reporting").joinpath("style.css").read_text(encoding="utf-8")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

Cell = tuple[str, str]  # text, class


def render(
    found: Figures, *, title: str = "Ironbook", files: Sequence[Mapping[str, Any]] = (), notes: Sequence[str] = ()
) -> str:
    """The whole page. files: name, bytes, rows, sha256 of what lies beside it. notes: more lines below the headline."""
    day = day_text(found.reference.day)
    head = f"{title}: report of {day}"
    parts = [
        f"<header><h1>{escape(head)}</h1>{''.join(_about(found))}</header>",
        "<main>",
        _headline(found.reconciliation, notes),
        '<nav aria-label="Parts of this page">'
        '<a href="#pictures">Pictures</a><a href="#profit">Profit and loss</a><a href="#symbols">Symbols</a>'
        '<a href="#orders">Orders</a><a href="#execution">Best execution</a>'
        '<a href="#reconciliation">Reconciliation</a>' + ('<a href="#files">Files</a>' if files else "") + "</nav>",
        _numbers(found),
        f'<section id="pictures"><h2>Pictures</h2><div class="pictures">{"".join(pictures(found))}</div></section>',
        _profits(found),
        _symbols(found),
        _orders(found),
        _execution(found),
        _reconciliation(found),
        _files(files),
        "</main>",
    ]
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(head)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def day_text(day: str) -> str:
    """2026-11-22 for people."""
    year, month, number = day.split("-")
    return f"{int(number)} {MONTHS[int(month) - 1]} {year}"


def _about(found: Figures) -> Iterable[str]:
    sequences = ", ".join(f"record {seq:,} of shard {shard}" for shard, seq in found.sequences.items())
    upto = f" Up to {sequences}." if sequences else ""
    partial = " The day is not over: figures so far." if found.reference.partial else ""
    yield f'<p class="muted">All times UTC.{escape(upto)}{partial}</p>'


def _headline(result: Reconciliation, notes: Sequence[str]) -> str:
    kind, word = "good", "Reconciled"
    if not result.ok:
        kind, word = "bad", "Does not reconcile"
    elif not result.with_engine:
        kind, word = "warn", "Not held against the engine"
    lines = "".join(f"<p>{escape(text)}</p>" for text in (result.headline, *result.notes, *notes))
    parts = [f'<section class="headline {kind}" aria-label="Reconciliation"><strong>{word}</strong>{lines}</section>']
    if not result.ok:
        parts.append(_differences(result))
    return "".join(parts)


def _differences(result: Reconciliation) -> str:
    rows = []
    for one in result.differences[:ROWS_MAX]:
        who = str(one.account) if one.account else "–"
        sides = "; ".join(f"{said.source}: {said.text}" for said in one.said)
        told = f"{sides} — {one.note}" if sides and one.note else sides or one.note
        rows.append([(one.what, ""), (who, "n"), (one.subject, ""), (told, "wide"), (one.where, "wide")])
    heads = [("What", ""), ("Account", "n"), ("Asset or symbol", ""), ("What each side says", ""), ("Where", "")]
    return table("What differs" + cut(len(rows), result.difference_count, "in the file reconciliation"), heads, rows)


def _numbers(found: Figures) -> str:
    orders = sum(group.counts["orders"] for group in found.by_symbol)
    filled = sum(group.counts["filled_orders"] for group in found.by_symbol)
    trades = sum(symbol.trade_count for symbol in found.symbols)
    said = [
        ("Trades", f"{trades:,}", counted(sum(1 for symbol in found.symbols if symbol.trade_count), "symbol")),
        *(("Turnover", amount, quote) for quote, amount in _by_quote(found, "notional_units")),
        *(("Fees less rebates", amount, quote) for quote, amount in _by_quote(found, "fees_units")),
        ("Orders", f"{orders:,}", f"{found.rejected_count:,} commands refused"),
        ("Filled", f"{percent(filled, orders)}", f"{filled:,} orders with a fill"),
        ("Accounts", f"{len({row.account for row in found.accounts}):,}", f"{found.execution_count:,} reports to them"),
    ]
    return '<dl class="numbers">' + "".join(
        f"<div><dt>{escape(name)}</dt><dd{of('long' if len(value) > LONG else '')}>{escape(value)}"
        f"{f'<small>{escape(more)}</small>' if more else ''}</dd></div>"
        for name, value, more in said
    ) + "</dl>"  # fmt: skip


def _by_quote(found: Figures, name: str) -> list[tuple[str, str]]:
    sums: dict[str, int] = {}
    for symbol in found.symbols:
        quote_name = symbol.instrument.quote
        sums[quote_name] = sums.get(quote_name, 0) + getattr(symbol, name)
    decimals = {symbol.instrument.quote: symbol.instrument.quote_decimals for symbol in found.symbols}
    return [(quote_name, trimmed(sums[quote_name], decimals[quote_name])) for quote_name in sorted(sums)][:QUOTES_MAX]


# ---- tables ----------------------------------------------------------------------------------------------------------


def _profits(found: Figures) -> str:
    traded = [row for row in found.accounts if row.fill_count or row.position_lots or row.net_units]
    shown = largest(traded)
    rows = []
    for row in shown:
        instrument = found.instruments[row.symbol]
        amounts = (row.realised_units, row.unrealised_units, -row.fees_units, row.net_units)
        rows.append([
            (str(row.account), "n"), (row.symbol, ""), (instrument.quantity(row.position_lots), "n"),
            (instrument.price(row.cost_units, row.position_lots), "n"),
            *((instrument.amount(units), signed(units)) for units in amounts),
            (row.quote, ""), (f"{row.winning_count:,} / {row.losing_count:,}", "n"),
        ])  # fmt: skip
    heads = [
        ("Account", "n"), ("Symbol", ""), ("Position", "n"), ("Average price", "n"), ("Realised", "n"),
        ("Unrealised", "n"), ("Fees", "n"), ("Net", "n"), ("In", ""), ("Won / lost", "n"),
    ]  # fmt: skip
    rows += _totals(found)
    caption = "At average cost; unrealised at the last price; fees as money, so what is paid is below zero"
    body = table(caption + cut(len(shown), len(traded), "in the file pnl"), heads, rows)
    return f'<section id="profit"><h2>Profit and loss</h2>{body}</section>'


def _totals(found: Figures) -> list[list[Cell]]:
    """A row for each quote asset, all accounts together."""
    sums: dict[str, list[int]] = {}
    for row in found.accounts:
        of_quote = sums.setdefault(row.quote, [0, 0, 0, 0])
        for index, units in enumerate((row.realised_units, row.unrealised_units, -row.fees_units, row.net_units)):
            of_quote[index] += units
    rows: list[list[Cell]] = []
    for quote_name in sorted(sums):
        decimals = found.decimals.get(quote_name, 0)
        texts = [(decimal_text(units, decimals), signed(units)) for units in sums[quote_name]]
        rows.append([("all", "n"), ("", ""), ("", ""), ("", ""), *texts, (quote_name, ""), ("", "")])
    return rows


def _symbols(found: Figures) -> str:
    most = sorted(found.symbols, key=lambda row: (-row.trade_count, row.instrument.symbol))[:ROWS_MAX]
    shown = sorted(most, key=lambda row: row.instrument.symbol)
    rows = []
    for row in shown:
        instrument = row.instrument
        prices = [instrument.ticks(ticks) if row.trade_count else "–" for ticks in _prices(row)]
        rows.append([
            (instrument.symbol, ""), (f"{row.trade_count:,}", "n"), (instrument.quantity(row.volume_lots), "n"),
            (percent(row.buy_volume_lots, row.volume_lots), "n"), (instrument.amount(row.notional_units), "n"),
            (instrument.price(row.notional_units, row.volume_lots), "n"), *((price, "n") for price in prices),
            (instrument.amount(row.fees_units), "n"), (instrument.quote, ""),
        ])  # fmt: skip
    heads = [
        ("Symbol", ""), ("Trades", "n"), ("Volume", "n"), ("Taken by buyers", "n"), ("Turnover", "n"), ("VWAP", "n"),
        ("Open", "n"), ("High", "n"), ("Low", "n"), ("Close", "n"), ("Fees", "n"), ("In", ""),
    ]  # fmt: skip
    body = table("As printed" + cut(len(shown), len(found.symbols), "in the file symbols"), heads, rows)
    return f'<section id="symbols"><h2>Symbols</h2>{body}</section>'


def _prices(row: SymbolDay) -> tuple[int, int, int, int]:
    return row.open_ticks, row.high_ticks, row.low_ticks, row.last_ticks


def _orders(found: Figures) -> str:
    shown = largest(found.accounts)
    rows = []
    for row in shown:
        instrument = found.instruments[row.symbol]
        rows.append([
            (str(row.account), "n"), (row.symbol, ""), (f"{row.order_count:,}", "n"),
            (percent(row.filled_order_count, row.order_count), "n"), (f"{row.cancelled_count:,}", "n"),
            (f"{row.rejected_count:,}", "n"), (instrument.quantity(row.ordered_lots), "n"),
            (instrument.quantity(row.filled_lots), "n"), (f"{row.fill_count:,}", "n"),
            (instrument.amount(row.volume_units), "n"), (percent(row.maker_units, row.volume_units), "n"),
            (instrument.amount(row.fees_units), "n"), (row.quote, ""),
        ])  # fmt: skip
    heads = [
        ("Account", "n"), ("Symbol", ""), ("Orders", "n"), ("With a fill", "n"), ("Cancelled", "n"), ("Refused", "n"),
        ("Ordered", "n"), ("Filled", "n"), ("Fills", "n"), ("Turnover", "n"), ("As maker", "n"), ("Fees", "n"),
        ("In", ""),
    ]  # fmt: skip
    caption = "Orders entered on the day; refused: commands that the engine refused"
    body = table(caption + cut(len(shown), len(found.accounts), "in the file fees"), heads, rows)
    return f'<section id="orders"><h2>Orders, volumes and fees</h2>{body}</section>'


def _execution(found: Figures) -> str:
    counts = {
        name: sum(group.counts[name] for group in found.by_symbol)
        for name in ("mid_orders", "trade_orders", "unmeasured_orders", "carried_fills")
    }
    said = (
        f"{counts['mid_orders']:,} orders were measured against the middle of best bid and best ask just before they "
        f"arrived, {counts['trade_orders']:,} against the last trade before that, {counts['unmeasured_orders']:,} "
        "not at all for want of either."
    )
    if not found.has_arrivals:
        said = (
            "The archive has no arrival prices of this day: orders were measured against the last trade before they "
            f"arrived ({counts['trade_orders']:,}), or not where there was none ({counts['unmeasured_orders']:,})."
        )
    if counts["carried_fills"]:
        said += f" {counts['carried_fills']:,} fills are of orders of an earlier day: against the day's VWAP only."
    if found.untracked_count:
        said += f" {found.untracked_count:,} orders were open above the bound of what is measured at one time."
    parts = [
        '<section id="execution"><h2>Best execution</h2><p>Above zero is what orders cost against the market, below '
        "zero what they gained; in millionths (ppm) of the amount, and as money. Interval: the VWAP of all trades from "
        f"an order’s arrival to its end. {escape(said)}</p>"
    ]
    for name, groups in (("Account", found.by_account), ("Symbol", found.by_symbol), ("Order type", found.by_type)):
        parts.append(f"<h3>By {name.lower()}</h3>" + _costs(name, groups) + _times(name, groups))
    return "".join(parts) + "</section>"


def _costs(name: str, groups: Sequence[Group]) -> str:
    shown = [group for group in groups if group.counts["fills"]][:ROWS_MAX]
    rows = []
    for group in shown:
        cells: list[Cell] = [(group.name, ""), (f"{group.counts['filled_orders']:,}", "n")]
        cells.append((decimal_text(group.counts["filled_units"], group.quote_decimals), "n"))
        cells.append((percent(group.counts["maker_units"], group.counts["filled_units"]), "n"))
        for which in ("arrival", "interval", "day"):
            part, units = group.ppm(which), group.cost_units(which)
            kind = signed(-units)
            cells.append(("–" if part is None else f"{part:+,}" if part else "0", kind))
            cells.append((decimal_text(units, group.quote_decimals) if part is not None else "–", kind))
        rows.append([*cells, (group.quote, "")])
    heads = [
        (name, ""), ("Orders filled", "n"), ("Turnover", "n"), ("As maker", "n"), ("Arrival, ppm", "n"),
        ("amount", "n"), ("Interval VWAP, ppm", "n"), ("amount", "n"), ("Day’s VWAP, ppm", "n"), ("amount", "n"),
        ("In", ""),
    ]  # fmt: skip
    caption = "Cost against the price at arrival, the VWAP meanwhile and the day’s"
    return table(caption + cut(len(shown), len(groups), "in the file best_execution"), heads, rows)


def _times(name: str, groups: Sequence[Group]) -> str:
    shown = [group for group in groups if group.spread.first_fill_ns.count][:ROWS_MAX]
    rows = []
    for group in shown:
        counts = group.counts
        rows.append([
            (group.name, ""), (percent(counts["immediate_orders"], counts["filled_orders"]), "n"),
            *((text, "n") for text in quantiles(group.spread.first_fill_ns)),
            *((text, "n") for text in quantiles(group.spread.done_ns)),
        ])  # fmt: skip
    measures = ("p50", "p90", "p99")
    heads = [
        (name, ""), ("Filled at once", "n"), *((f"First fill {measure}", "n") for measure in measures),
        *((f"Done {measure}", "n") for measure in measures),
    ]  # fmt: skip
    caption = "From the engine’s receipt of an order to its first fill, and to its end; orders with a fill"
    return table(caption, heads, rows)


def _reconciliation(found: Figures) -> str:
    result = found.reconciliation
    rows: list[list[Cell]] = [[(what, ""), (f"{count:,}", "n")] for what, count in result.checks.items()]
    rows.append([("differences", ""), (f"{result.difference_count:,}", "n")])
    parts = [table("What was compared, and how often", [("Compared", ""), ("Times", "n")], rows)]
    if found.statements:
        said: list[list[Cell]] = [
            [
                (str(one.shard), "n"), (f"{one.sequence:,}", "n"), (one.digest, ""), (f"{len(one.balances):,}", "n"),
                (f"{len(one.positions):,}", "n"), (f"{one.open_orders_count:,}", "n"),
            ]
            for one in found.statements
        ]  # fmt: skip
        heads = [
            ("Shard", "n"), ("As of record", "n"), ("State digest", ""), ("Balances", "n"), ("Positions", "n"),
            ("Open orders", "n"),
        ]  # fmt: skip
        parts.append(table("The engine’s ledger, replayed from the archived journal", heads, said))
        parts.append(_conservation(found))
    return f'<section id="reconciliation"><h2>Reconciliation</h2>{"".join(parts)}</section>'


def _conservation(found: Figures) -> str:
    rows: list[list[Cell]] = []
    for one in found.statements:
        accounts: dict[str, int] = {}
        for (_, asset), parts in one.balances.items():
            accounts[asset] = accounts.get(asset, 0) + sum(parts)
        for asset in sorted({*accounts, *one.deposits, *one.fees, *one.withdrawals}):
            sums = [side.get(asset, 0) for side in (one.deposits, accounts, one.fees, one.withdrawals)]
            decimals = found.decimals.get(asset, 0)
            rows.append([
                (asset, ""), (str(one.shard), "n"), *((decimal_text(units, decimals), "n") for units in sums),
                (decimal_text(sums[0] - sum(sums[1:]), decimals), "n"),
            ])  # fmt: skip
    heads = [
        ("Asset", ""), ("Shard", "n"), ("Deposits", "n"), ("Accounts", "n"), ("Fees", "n"), ("Withdrawals", "n"),
        ("Left over", "n"),
    ]  # fmt: skip
    caption = "Conservation: deposits are accounts, fees and withdrawals" + cut(min(len(rows), ROWS_MAX), len(rows), "")
    return table(caption, heads, rows[:ROWS_MAX])


def _files(files: Sequence[Mapping[str, Any]]) -> str:
    if not files:
        return ""
    items = []
    for file in files:
        name, count = str(file["name"]), file.get("rows")
        size = f"{int(file['bytes']):,} bytes" + (f", {int(count):,} rows" if count is not None else "")
        digest = f"<br><code>SHA-256 {escape(str(file['sha256']))}</code>" if file.get("sha256") else ""
        items.append(f'<li><a href="{escape(quote(name))}">{escape(name)}</a> ({size}){digest}</li>')
    return f'<section id="files"><h2>Files</h2><ul>{"".join(items)}</ul></section>'


# ---- small things ----------------------------------------------------------------------------------------------------


def table(caption: str, heads: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that scrolls within itself on a narrow page. The first cell of a row names it."""
    if not rows:
        return f'<p class="muted">{escape(caption)}: nothing.</p>'
    head = "".join(f'<th scope="col"{of(kind)}>{escape(text)}</th>' for text, kind in heads)
    body = []
    for row in rows:
        first, *rest = row
        cells = "".join(f"<td{of(kind)}>{escape(text)}</td>" for text, kind in rest)
        body.append(f'<tr><th scope="row"{of(first[1])}>{escape(first[0])}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def of(kind: str) -> str:
    """The attribute of a class, if there is one."""
    return f' class="{kind}"' if kind else ""


def signed(units: int) -> str:
    """The class of an amount of money: what came is a gain, what went a cost."""
    return "n gain" if units > 0 else "n cost" if units < 0 else "n"


def trimmed(units: int, decimals: int) -> str:
    """An amount without the zeros at its end, as far as they stand behind the second digit."""
    text = decimal_text(units, decimals)
    while decimals > 2 and text.endswith("0"):
        text, decimals = text[:-1], decimals - 1
    return text


def counted(count: int, what: str) -> str:
    """1 symbol, 2 symbols."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def percent(part: int, whole: int) -> str:
    """part of whole, with one digit behind the point."""
    return f"{decimal_text(rounded(part * 1000, whole), 1)} %" if whole else "–"


def cut(shown: int, count: int, where: str) -> str:
    """What the caption says when not everything is shown."""
    return f" (the {shown:,} largest of {count:,}; all are {where})" if shown < count else ""


def largest(rows: Sequence[AccountSymbol]) -> list[AccountSymbol]:
    """Those with the most volume, in the order of their accounts."""
    if len(rows) <= ROWS_MAX:
        return list(rows)
    kept = sorted(rows, key=lambda row: (-row.volume_units, row.account, row.symbol))[:ROWS_MAX]
    return sorted(kept, key=lambda row: (row.account, row.symbol))


def quantiles(spread: Sketch) -> list[str]:
    """p50, p90 and p99 as times."""
    found = [spread.quantile(part, 100) for part in (50, 90, 99)]
    return ["–" if value is None else duration(value) for value in found]
