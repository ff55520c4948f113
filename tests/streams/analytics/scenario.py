"""Streams of events for the tests of analytics: small, random, and of the shapes that topics.json gives."""

from __future__ import annotations

import copy
import functools
import random
from typing import Any

from schemas.topics import load_topics

Event = dict[str, Any]
START_NS = 1_790_000_000_000_000_000
SYMBOLS = ("BTC/USD", "ETH/USD")


@functools.cache
def _examples() -> dict[tuple[str, str], Event]:
    return {
        (topic.name, event["type"]): event["example"]
        for topic in load_topics()
        for event in topic.data.get("events", ())
    }


def example(topic: str, kind: str, **changes: Any) -> Event:
    """The contract's example of an event, with changes."""
    return {**copy.deepcopy(_examples()[topic, kind]), **changes}


def instrument(symbol: str = "BTC/USD", **changes: Any) -> Event:
    """An instrument, as the topic has it."""
    return example("instruments", "instrument", symbol=symbol, instrument=1 + SYMBOLS.index(symbol), **changes)


INSTRUMENTS = {symbol: instrument(symbol) for symbol in SYMBOLS}


class Market:
    """A random market: accounts enter orders, which fill, rest and are cancelled; now and then a trade is busted."""

    def __init__(self, seed: int, accounts: int = 4, step_ns: int = 700_000_000) -> None:
        self.random = random.Random(seed)
        self.accounts, self.step_ns = accounts, step_ns
        self.seq, self.reports = 0, 0
        self.time_ns = START_NS
        self.trade_ids = dict.fromkeys(SYMBOLS, 0)
        self.executions: list[Event] = []
        self.trades: list[Event] = []
        self.open: list[Event] = []  # orders that rest
        self.done_fills: list[Event] = []

    def run(self, count: int) -> Market:
        """That many commands more."""
        for _ in range(count):
            self.seq += 1
            self.time_ns += self.random.randrange(self.step_ns)
            chance = self.random.random()
            if chance < 0.15 and self.open:
                self._cancel()
            elif chance < 0.2:
                self._reject()
            elif chance < 0.25 and self.done_fills:
                self._bust()
            else:
                self._enter()
        return self

    def _report(self, kind: str, account: int, n: int, **fields: Any) -> Event:
        self.reports += 1
        event = example("executions", kind, seq=self.seq, n=n, received_ns=self.time_ns, account=account, firm=account)
        event |= {"report_number": self.reports, **fields}
        self.executions.append(event)
        return event

    def _enter(self) -> None:
        symbol = self.random.choice(SYMBOLS)
        order = {
            "account": self.random.randrange(1, self.accounts + 1),
            "symbol": symbol,
            "instrument": 1 + SYMBOLS.index(symbol),
            "side": self.random.choice(("buy", "sell")),
            "order_id": self.seq,
            "client_order_id": self.random.choice((0, 2**64 - 1, self.seq)),
            "price_ticks": self.random.randrange(90, 111),
            "rest": self.random.randrange(1, 50),
        }
        quantity = order["rest"]
        self._order("accepted", order, 0, quantity, done=False)
        n = 1
        makers = [o for o in self.open if o["symbol"] == symbol and o["side"] != order["side"]]
        for maker in makers[:3]:
            if order["rest"] == 0:
                break
            n = self._trade(order, maker, n)
        self.open = [maker for maker in self.open if maker["rest"]]
        if order["rest"]:
            self.open.append(order)

    def _order(self, kind: str, order: Event, n: int, quantity: int, done: bool, **fields: Any) -> Event:
        names = ("symbol", "instrument", "side", "order_id", "client_order_id", "price_ticks")
        fields = {name: order[name] for name in names} | {"quantity_lots": quantity, "done": done} | fields
        return self._report(kind, order["account"], n, remaining_lots=order["rest"], **fields)

    def _trade(self, taker: Event, maker: Event, n: int) -> int:
        lots, price = min(taker["rest"], maker["rest"]), maker["price_ticks"]
        symbol = taker["symbol"]
        self.trade_ids[symbol] += 1
        trade_id, notional = self.trade_ids[symbol], lots * price
        for order, is_maker in ((maker, True), (taker, False)):
            order["rest"] -= lots
            fee = -(notional // 500) if is_maker else notional // 100 + 1
            fill = self._order(
                "filled", order, n, lots, done=order["rest"] == 0, price_ticks=price, trade_id=trade_id, maker=is_maker,
                notional_units=notional, fee_units=fee,
            )  # fmt: skip
            self.done_fills.append(fill)
            n += 1
        self.trades.append(
            example(
                "trades", "trade", seq=self.seq, n=n, received_ns=self.time_ns, symbol=symbol, trade_id=trade_id,
                instrument=taker["instrument"], price_ticks=price, quantity_lots=lots, side=taker["side"],
                price=f"{price}", notional_units=notional,
            )
        )  # fmt: skip
        return n + 1

    def _cancel(self) -> None:
        order = self.open.pop(self.random.randrange(len(self.open)))
        rest, order["rest"] = order["rest"], 0
        self._order("cancelled", order, 0, rest, done=True, code="cancelled_by_request")

    def _reject(self) -> None:
        self._report("rejected", self.random.randrange(1, self.accounts + 1), 0)

    def _bust(self) -> None:
        fill = self.done_fills.pop(self.random.randrange(len(self.done_fills)))
        sign = 1 if fill["side"] == "buy" else -1
        lots = self.random.choice((fill["quantity_lots"], 0, fill["quantity_lots"] // 2))
        price = fill["price_ticks"] + self.random.randrange(-3, 4)
        notional = lots * price
        fields = {name: fill[name] for name in ("symbol", "instrument", "side", "trade_id")}
        self._report(
            "adjustment", fill["account"], 1, **fields, price_ticks=price if lots else 0, quantity_lots=lots,
            position_change_lots=sign * (lots - fill["quantity_lots"]),
            amount_units=sign * (fill["notional_units"] - notional) + fill["fee_units"],
        )  # fmt: skip
        trade = {name: fill[name] for name in ("symbol", "instrument", "trade_id")}
        self.trades.append(
            example(
                "trades", "correction" if lots else "bust", seq=self.seq, n=0, received_ns=self.time_ns, **trade,
                price_ticks=price, quantity_lots=lots or fill["quantity_lots"],
            )
        )  # fmt: skip


def batches(events: list[Event], size: int) -> list[list[Event]]:
    """Copies of the events, so many a message."""
    return [copy.deepcopy(events[start : start + size]) for start in range(0, len(events), size)]
