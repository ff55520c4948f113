"""The table of docs/reference/orders.md, "What goes with what", asked of the core cell by cell.

python -m tests.engine_node.core.test_order_kinds_page     writes the table into the page
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from engine_node import _engine
from schemas import vocabulary
from schemas.vocabulary import (
    REPORT_BYTES,
    Account,
    Asset,
    Code,
    Deposit,
    EventKind,
    Instrument,
    InstrumentState,
    LinkAction,
    NewOrder,
    OrderLink,
    OrderOption,
    OrderTerms,
    OrderType,
    Peg,
    Record,
    SelfTradePrevention,
    Side,
    TermOption,
    Text,
    TimeInForce,
    TradingState,
    Trigger,
)
from schemas.vocabulary import Report as WireReport

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "reference" / "orders.md"
BEGIN, END = "<!-- matrix -->", "<!-- end -->"
START_NS = 1_700_000_000_000_000_000
HOUR_NS = 3600 * 10**9
MAKER, TAKER = 1, 2


class Market:
    """A core with one instrument: last price 100, bids of 5 lots at 99, asks of 5 lots at 101; rich accounts."""

    def __init__(self) -> None:
        self.core = _engine.Core(reports_kept=0)
        self.client_sequence = 0
        self.send(Text(text=b"BTC".ljust(36, b"\0")), Asset(asset=1, decimals=0))
        self.send(Text(text=b"USD".ljust(36, b"\0")), Asset(asset=2, decimals=0))
        self.send(
            Text(text=b"BTC-USD".ljust(36, b"\0")),
            Instrument(
                instrument=1,
                base_asset=1,
                quote_asset=2,
                trading_state=TradingState.OPEN,
                base_units_per_lot=1,
                quote_units_per_tick_lot=1,
            ),
        )
        for account in (MAKER, TAKER):
            self.send(Account(account=account))
            for asset in (1, 2):
                self.send(Deposit(account=account, asset=asset, amount_units=10**9))
        self.enter(limit(MAKER, Side.SELL, 100))
        self.enter(limit(TAKER, Side.BUY, 100))
        self.enter(limit(MAKER, Side.BUY, 99))
        self.enter(limit(MAKER, Side.SELL, 101))
        self.open_order = self.enter(limit(TAKER, Side.BUY, 90))[0].order_id

    def send(self, *group: Any) -> list[WireReport]:
        records = b""
        for command in group:
            self.client_sequence += 1
            numbered = dataclasses.replace(command, client_sequence=self.client_sequence).pack()
            records += Record(command=numbered, key=1, received_ns=START_NS).pack()
        events = self.core.apply(records)
        return [WireReport.unpack(events, offset) for offset in range(0, len(events), REPORT_BYTES)]

    def enter(self, order: Order) -> list[WireReport]:
        prefixes = [part for part in (order.terms, order.link) if part is not None]
        return self.send(*prefixes, order.command)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A new order with its prefixes."""

    command: NewOrder
    terms: OrderTerms | None = None
    link: OrderLink | None = None

    def but(self, **fields: Any) -> Order:
        return dataclasses.replace(self, command=dataclasses.replace(self.command, **fields))

    def with_terms(self, **fields: Any) -> Order:
        terms = self.terms or OrderTerms()
        fields["options"] = fields.get("options", 0) | terms.options
        return dataclasses.replace(self, terms=dataclasses.replace(terms, **fields))

    def linked(self, market: Market, action: LinkAction) -> Order:
        return dataclasses.replace(self, link=OrderLink(order_id=market.open_order, action=action))


def limit(account: int, side: Side, price_ticks: int) -> Order:
    return Order(
        command=NewOrder(
            account=account,
            instrument=1,
            side=side,
            price_ticks=price_ticks,
            quantity_lots=5,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GOOD_TILL_CANCELLED,
            self_trade_prevention=SelfTradePrevention.CANCEL_TAKER,
        )
    )


BUY = limit(TAKER, Side.BUY, 101).but(quantity_lots=4)
IMMEDIATE = {"time_in_force": TimeInForce.IMMEDIATE_OR_CANCEL}
MARKET = BUY.but(order_type=OrderType.MARKET, **IMMEDIATE)
STOP = {"trigger": Trigger.STOP, "trigger_price_ticks": 103}
ROWS: dict[str, Order] = {
    "limit": BUY,
    "market": MARKET,
    "market by quote": MARKET.but(order_type=OrderType.MARKET_BY_QUOTE, quantity_lots=300),
    "iceberg": BUY.with_terms(display_lots=2),
    "hidden": BUY.with_terms(options=TermOption.HIDDEN),
    "all-or-none": BUY.with_terms(options=TermOption.ALL_OR_NONE),
    "minimum quantity": BUY.with_terms(minimum_lots=2),
    "pegged": BUY.with_terms(peg=Peg.OWN_BEST),
    "stop": MARKET.with_terms(**STOP),
    "stop-limit": BUY.with_terms(**STOP),
    "take-profit": MARKET.with_terms(trigger=Trigger.TAKE_PROFIT, trigger_price_ticks=95),
    "trailing stop": MARKET.with_terms(trigger=Trigger.TRAILING, offset_ticks=3),
}
COLUMNS: dict[str, Callable[[Market, Order], Order]] = {
    "GTC": lambda _, order: order.but(time_in_force=TimeInForce.GOOD_TILL_CANCELLED),
    "IOC": lambda _, order: order.but(**IMMEDIATE),
    "FOK": lambda _, order: order.but(time_in_force=TimeInForce.FILL_OR_KILL),
    "post-only": lambda _, order: order.but(
        options=OrderOption.POST_ONLY, price_ticks=98, time_in_force=TimeInForce.GOOD_TILL_CANCELLED
    ),
    "display": lambda _, order: order.with_terms(display_lots=2),
    "hidden": lambda _, order: order.with_terms(options=TermOption.HIDDEN),
    "all-or-none": lambda _, order: order.with_terms(options=TermOption.ALL_OR_NONE),
    "minimum": lambda _, order: order.with_terms(minimum_lots=2),
    "peg": lambda _, order: order.with_terms(peg=Peg.OWN_BEST),
    "expire": lambda _, order: order.with_terms(expire_ns=START_NS + HOUR_NS),
    "day": lambda _, order: order.with_terms(options=TermOption.DAY),
    "one cancels other": lambda market, order: order.linked(market, LinkAction.ONE_CANCELS_OTHER),
    "cancel first": lambda market, order: order.linked(market, LinkAction.CANCEL_FIRST),
    "in an auction": lambda market, order: auction(market, order),
}


def auction(market: Market, order: Order) -> Order:
    market.send(InstrumentState(instrument=1, trading_state=TradingState.AUCTION))
    return order


def answer(row: str, column: str) -> str:
    """`yes`, or the code."""
    market = Market()
    order = COLUMNS[column](market, ROWS[row])
    digest, fault = market.core.digest(), None
    reports = [event for event in market.enter(order) if event.key]
    fault = market.core.check()
    assert fault is None, fault
    refused = [event.code for event in reports if event.kind == EventKind.REJECTED]
    assert len(refused) < 2
    if refused:
        assert market.core.order(market.open_order) is not None or column == "cancel first"
        assert market.core.digest() != digest  # the client sequence and the report are counted
    return Code(refused[0]).name.lower() if refused else "yes"


def table() -> str:
    lines = ["| |" + "|".join(f" {column} " for column in COLUMNS) + "|", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in ROWS:
        cells = [answer(row, column) for column in COLUMNS]
        lines.append(f"| {row} | " + " | ".join(cell if cell == "yes" else f"`{cell}`" for cell in cells) + " |")
    return "\n".join(lines)


def test_the_page_says_what_the_core_answers() -> None:
    on_page = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert on_page == table(), "write it anew: python -m tests.engine_node.core.test_order_kinds_page"


@pytest.mark.parametrize(
    "enumeration",
    ["OrderType", "TimeInForce", "SelfTradePrevention", "Trigger", "LinkAction", "OrderOption", "TermOption"],
)
def test_every_word_of_the_wire_is_on_the_page(enumeration: str) -> None:
    page = PAGE.read_text()
    words = [member.name.lower() for member in getattr(vocabulary, enumeration) if member.value]
    missing = [word for word in words if f"`{word}`" not in page]
    assert not missing, f"{enumeration}: {missing} must stand in docs/reference/orders.md"


def test_every_field_of_the_terms_is_on_the_page() -> None:
    page = PAGE.read_text()
    fields = [field.name for field in dataclasses.fields(OrderTerms)]
    said = {"trigger", "peg", "options", "flags", "client_sequence"}
    missing = [name for name in fields if name not in said and f"`{name}`" not in page]
    assert not missing, f"{missing} must stand in docs/reference/orders.md"


def main() -> None:
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
