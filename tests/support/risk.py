"""Messages for the rules of risk, in few words, and a state that knows one market."""

from __future__ import annotations

import itertools
from typing import Any

from streams.risk.rules import RiskState, Told

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
NOW_NS = 20_000 * DAY_NS + 12 * 3600 * SECOND_NS  # noon, UTC
WINDOW_NS = 300 * SECOND_NS
MARGIN_NS = 60 * SECOND_NS
BTC, ETH, EUR = "BTC/USD", "ETH/USD", "BTC/EUR"
MARKET = {"instruments": {BTC: [1, "USD", 0], ETH: [2, "USD", 0], EUR: [1, "EUR", 0]}}


class Desk:
    """A RiskState and what it said last; makes messages whose numbers rise by themselves."""

    def __init__(self, **limits: Any) -> None:
        self.state = RiskState(WINDOW_NS, MARGIN_NS)
        self.count = itertools.count(1)
        self.seq = 0
        self.now_ns = NOW_NS
        self.told = Told()
        self.learn(**MARKET)
        if limits:
            self.limit(limits)

    # ---- Folds ----

    def learn(self, **facts: Any) -> Told:
        self.told = Told()
        self.state.learn(facts, self.told)
        return self.told

    def price(self, symbol: str = BTC, last: int = 0, bid: int = 0, ask: int = 0) -> Told:
        self.seq += 1
        return self.learn(prices={symbol: [self.seq, last, bid, ask, self.now_ns]})

    def limit(self, limits: dict[str, Any], account: int = 1, firm: int = 1, resume: bool = False, **more: Any) -> Told:
        number = next(self.count)
        change = {
            "place": f"risk.limits:0:{number}", "who": "admin", "nonce": f"limits{number}", "timestamp_ns": self.now_ns,
            "firm": firm, "account": account, "limits": limits, "resume": resume, "code": "",
        }  # fmt: skip
        self.told = Told()
        self.state.change(change | more, self.now_ns, self.told)
        return self.told

    def send(self, *orders: dict[str, Any]) -> Told:
        self.told = Told()
        self.state.orders(orders, self.now_ns, self.told)
        return self.told

    def report(self, *events: dict[str, Any]) -> Told:
        self.told = Told()
        self.state.executions(events, self.told)
        return self.told

    # ---- In few words ----

    def code(self, *args: Any, **more: Any) -> str:
        """Send one new order; the code, empty if it passed."""
        told = self.send(self.new(*args, **more))
        assert len(told.passed) + len(told.refused) == 1
        return told.refused[0]["code"] if told.refused else ""

    def trade(self, side: str, lots: int, ticks: int, symbol: str = BTC, account: int = 1, **more: Any) -> Told:
        """An order that was entered and filled at once, past the stream."""
        return self.report(self.filled(side, lots, ticks, symbol, account=account, done=True, remaining_lots=0, **more))

    def new(
        self,
        side: str = "buy",
        lots: int = 1,
        ticks: int = 100,
        symbol: str = BTC,
        account: int = 1,
        firm: int = 1,
        **more: Any,
    ) -> dict[str, Any]:
        return self._order(
            account, firm, action="new", symbol=symbol, instrument=1, side=side, order_type="limit",
            time_in_force="good_till_cancelled", self_trade_prevention="cancel_taker", post_only=False,
            price_ticks=ticks, quantity_lots=lots, client_order_id=0,
        ) | more  # fmt: skip

    def cancel(self, account: int = 1, firm: int = 1, symbol: str = BTC, order_id: int = 1) -> dict[str, Any]:
        return self._order(account, firm, action="cancel", symbol=symbol, instrument=1, order_id=order_id)

    def replace(
        self, lots: int, ticks: int, account: int = 1, firm: int = 1, symbol: str = BTC, **more: Any
    ) -> dict[str, Any]:
        return (
            self._order(
                account, firm, action="replace", symbol=symbol, instrument=1, quantity_lots=lots, price_ticks=ticks
            )
            | more
        )

    def _order(self, account: int, firm: int, **more: Any) -> dict[str, Any]:
        number = next(self.count)
        return {
            "place": {"topic": "orders.submitted", "partition": 0, "offset": number, "index": 0}, "key_id": "trader",
            "timestamp_ns": self.now_ns, "nonce": f"{number:032x}", "appended_ns": self.now_ns,
            "firm": firm, "account": account,
        } | more  # fmt: skip

    def event(self, name: str, account: int = 1, firm: int = 1, **more: Any) -> dict[str, Any]:
        self.seq += 1
        return {
            "type": name, "shard": 0, "seq": self.seq, "n": 0, "received_ns": self.now_ns, "firm": firm,
            "account": account, "key": 1, "report_number": self.seq, "code": "none",
        } | more  # fmt: skip

    def accepted(self, order: dict[str, Any], **more: Any) -> dict[str, Any]:
        event = self.event("accepted", order["account"], order["firm"])
        told = {name: order[name] for name in ("symbol", "side", "price_ticks", "quantity_lots", "client_order_id")}
        return event | told | {
            "instrument": 1, "order_id": event["seq"], "remaining_lots": order["quantity_lots"], "done": False,
            "nonce": order["nonce"],
        } | more  # fmt: skip

    def on(self, name: str, accepted: dict[str, Any], lots: int, remaining_lots: int, **more: Any) -> dict[str, Any]:
        """An event on an order that was accepted."""
        event = self.event(name, accepted["account"], accepted["firm"])
        names = ("symbol", "instrument", "side", "order_id", "client_order_id", "price_ticks")
        return event | {field: accepted[field] for field in names} | {
            "quantity_lots": lots, "remaining_lots": remaining_lots, "done": remaining_lots == 0, "fee_units": 0,
        } | more  # fmt: skip

    def filled(
        self, side: str, lots: int, ticks: int, symbol: str = BTC, account: int = 1, firm: int = 1, **more: Any
    ) -> dict[str, Any]:
        event = self.event("filled", account, firm)
        scale, quote, _ = MARKET["instruments"][symbol]
        return event | {
            "symbol": symbol, "instrument": 1, "side": side, "order_id": event["seq"], "client_order_id": 0,
            "price_ticks": ticks, "quantity_lots": lots, "notional_units": lots * ticks * scale, "fee_units": 0,
            "quote": quote, "trade_id": event["seq"],
        } | more  # fmt: skip
