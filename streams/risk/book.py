"""The figures of a firm: what its accounts hold, have open and reserved, and have made. Whole numbers only. Pure.

Everything is kept up to date by differences, in two places at once: with the account and with its firm.

    Price     a symbol's market: last price, middle
      │ mark
    Cell      an account (or the firm) in a symbol: position, open lots and units of each side
      │ sums
    Ledger    an account (or the firm) in a quote asset: size and sum of positions, open units, cash

Exposure is in units of the quote asset; accounts that trade against several quote assets have a ledger for each, and a
limit holds for each by itself: nothing is converted.

    position   lots × mark × units of a tick and lot     mark: the last price; before any trade the middle of the quotes
    open       remaining lots × worth × units of a tick and lot, worth fixed when the order is taken:
               a buy's own price, the higher of price and mark of a sell (it may trade far above its limit)
    gross      Σ |position| + open buys + open sells
    net        the greater of Σ position + open buys and open sells − Σ position
    profit     Σ position + cash; cash is what fills brought less what they cost and their fees. This is realised and
               unrealised profit less fees, to the unit, without an average cost that must be rounded.
"""

from __future__ import annotations

from typing import Any

from streams.risk.limits import Limits


class Price:
    """The market of a symbol, as far as it was told."""

    __slots__ = ("holders", "last_ticks", "middle_doubled", "quote", "scale", "seq", "shard", "symbol")

    def __init__(self, symbol: str, scale: int, quote: str, shard: int) -> None:
        self.symbol = symbol
        self.shard = shard
        self.scale = scale  # quote units of a tick and lot
        self.quote = quote
        self.seq = 0
        self.last_ticks = 0
        self.middle_doubled = 0  # bid + ask; twice the one there is; 0: no quotes
        self.holders: dict[Cell, None] = {}  # accounts' cells with a position, in the order in which they came to it

    @property
    def mark_ticks(self) -> int:
        """What a position is worth a lot; 0: unknown."""
        return self.last_ticks or self.middle_doubled // 2


class Ledger:
    """An account, or the firm, in a quote asset."""

    __slots__ = (
        "buy_units", "cash_units", "day_open_units", "peak_units", "position_units", "quote", "sell_units",
        "size_units",
    )  # fmt: skip

    def __init__(self, quote: str) -> None:
        self.quote = quote
        self.position_units = 0
        self.size_units = 0
        self.buy_units = 0
        self.sell_units = 0
        self.cash_units = 0
        self.day_open_units = 0
        self.peak_units = 0

    @property
    def gross_units(self) -> int:
        """Positions and open orders, without sign."""
        return self.size_units + self.buy_units + self.sell_units

    @property
    def profit_units(self) -> int:
        """Realised and unrealised, less fees."""
        return self.position_units + self.cash_units

    def look(self) -> tuple[int, int]:
        """The day's loss and the fall from the peak, after the peak has risen if it must."""
        profit = self.position_units + self.cash_units
        if profit > self.peak_units:
            self.peak_units = profit
        return self.day_open_units - profit, self.peak_units - profit


class Cell:
    """An account, or the firm, in a symbol."""

    __slots__ = (
        "buy_lots", "buy_units", "ledger", "position_lots", "position_units", "price", "scope", "sell_lots",
        "sell_units", "size_units", "up",
    )  # fmt: skip

    def __init__(self, scope: Scope, price: Price, ledger: Ledger, up: Cell | None) -> None:
        self.scope = scope
        self.price = price
        self.ledger = ledger
        self.up = up
        self.position_lots = 0
        self.position_units = 0
        self.size_units = 0
        self.buy_lots = 0
        self.buy_units = 0
        self.sell_lots = 0
        self.sell_units = 0

    def open_buy(self, lots: int, units: int) -> None:
        """Open or reserved buys change by so much, here and with the firm."""
        self.buy_lots += lots
        self.buy_units += units
        self.ledger.buy_units += units
        up = self.up
        if up is not None:
            up.buy_lots += lots
            up.buy_units += units
            up.ledger.buy_units += units

    def open_sell(self, lots: int, units: int) -> None:
        """Open or reserved sells change by so much, here and with the firm."""
        self.sell_lots += lots
        self.sell_units += units
        self.ledger.sell_units += units
        up = self.up
        if up is not None:
            up.sell_lots += lots
            up.sell_units += units
            up.ledger.sell_units += units

    def open(self, buy_lots: int, buy_units: int, sell_lots: int, sell_units: int) -> None:
        """Both."""
        if buy_lots or buy_units:
            self.open_buy(buy_lots, buy_units)
        if sell_lots or sell_units:
            self.open_sell(sell_lots, sell_units)

    def hold(self, lots: int, cash_units: int) -> None:
        """The position changes by so much, and the cash."""
        if not self.position_lots:
            self.price.holders[self] = None
        self.position_lots += lots
        if not self.position_lots:
            del self.price.holders[self]
        self.ledger.cash_units += cash_units
        if self.up is not None:
            self.up.position_lots += lots
            self.up.ledger.cash_units += cash_units
        self.value()

    def value(self) -> None:
        """The position is worth what the mark says."""
        units = self.position_lots * self.price.mark_ticks * self.price.scale
        change, size_change = units - self.position_units, abs(units) - self.size_units
        cell: Cell | None = self
        while cell is not None:
            cell.position_units += change
            cell.size_units += size_change
            cell.ledger.position_units += change
            cell.ledger.size_units += size_change
            cell = cell.up

    @property
    def gross_units(self) -> int:
        """Position and open orders, without sign."""
        return self.size_units + self.buy_units + self.sell_units

    def room_lots(self, buy: bool) -> int:
        """How much an order of that side could reduce, behind the orders that will."""
        if buy:
            return -self.position_lots - self.buy_lots
        return self.position_lots - self.sell_lots


class Scope:
    """What limits hold for: an account, or a firm as a whole (number 0)."""

    __slots__ = (
        "cancel_count", "cancel_window", "cells", "engine_position_lots_max", "firm_number", "halted", "ledgers",
        "limits", "number", "order_count", "order_window", "raised", "reduce_only", "stopped",
        "watched",
    )  # fmt: skip

    def __init__(self, number: int, firm_number: int) -> None:
        self.number = number
        self.firm_number = firm_number
        self.limits: Limits | None = None
        self.stopped = False  # it is halted, or may only reduce
        self.watched = False  # it is stopped, or has limits
        self.halted = ""  # why; empty: it is not
        self.reduce_only = ""
        self.raised: set[str] = set()  # limits that are broken and were told
        self.cells: dict[str, Cell] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.order_window = self.order_count = 0
        self.cancel_window = self.cancel_count = 0
        self.engine_position_lots_max = 0  # as the engine had it when risk first changed it

    def settle(self) -> None:
        """After limits, halted or reduce_only were set."""
        self.stopped = bool(self.halted or self.reduce_only)
        self.watched = self.stopped or self.limits is not None

    @property
    def name(self) -> str:
        """As texts say it."""
        return f"account {self.number}" if self.number else f"firm {self.firm_number}"

    def cell(self, price: Price, up: Scope | None) -> Cell:
        """Its cell in a symbol."""
        found = self.cells.get(price.symbol)
        if found is None:
            ledger = self.ledgers.get(price.quote)
            if ledger is None:
                ledger = self.ledgers[price.quote] = Ledger(price.quote)
            above = up.cell(price, None) if up is not None else None
            found = self.cells[price.symbol] = Cell(self, price, ledger, above)
        return found


class Order:
    """An order that the engine has open."""

    __slots__ = ("buy", "cell", "client_order_id", "filled_lots", "remaining_lots", "units", "worth_ticks")

    def __init__(self, cell: Cell, buy: bool, client_order_id: int) -> None:
        self.cell = cell
        self.buy = buy
        self.client_order_id = client_order_id
        self.worth_ticks = 0
        self.remaining_lots = 0
        self.filled_lots = 0
        self.units = 0

    def become(self, remaining_lots: int) -> None:
        """So much of it is open now."""
        units = remaining_lots * self.worth_ticks * self.cell.price.scale
        if self.buy:
            self.cell.open_buy(remaining_lots - self.remaining_lots, units - self.units)
        else:
            self.cell.open_sell(remaining_lots - self.remaining_lots, units - self.units)
        self.remaining_lots = remaining_lots
        self.units = units


class Firm(Scope):
    """A firm with its accounts, their open orders, and how far it has read each shard."""

    __slots__ = ("accounts", "by_client_id", "marks", "orders")

    def __init__(self, number: int) -> None:
        super().__init__(0, number)
        self.accounts: dict[int, Scope] = {}
        self.orders: dict[int, Order] = {}  # shard << 64 | order id
        self.by_client_id: dict[tuple[int, int], int] = {}  # account, client order id -> order, of those open
        self.marks: dict[int, tuple[int, int]] = {}  # shard -> (seq, n) of the last event applied

    def account(self, number: int) -> Scope:
        """An account of it; new if it was not heard of."""
        found = self.accounts.get(number)
        if found is None:
            found = self.accounts[number] = Scope(number, self.firm_number)
        return found

    def scopes(self) -> list[Scope]:
        """Itself and its accounts."""
        return [self, *self.accounts.values()]


def worth(price: Price, buy: bool, ticks: int) -> int:
    """What an order is counted at, a lot: see above. 0: unknown."""
    if buy and ticks:
        return ticks
    return max(ticks, price.mark_ticks)


# ---- As JSON ---------------------------------------------------------------------------------------------------------


def dump_scope(scope: Scope) -> dict[str, Any]:
    """A scope without what follows from its accounts and orders."""
    return {
        "limits": scope.limits.named if scope.limits is not None else None,
        "halted": scope.halted,
        "reduce_only": scope.reduce_only,
        "raised": sorted(scope.raised),
        "rates": [scope.order_window, scope.order_count, scope.cancel_window, scope.cancel_count],
        "engine_position_lots_max": scope.engine_position_lots_max,
        "positions": {cell.price.symbol: cell.position_lots for cell in scope.cells.values()},
        "ledgers": {own.quote: [own.cash_units, own.day_open_units, own.peak_units] for own in scope.ledgers.values()},
    }


def load_scope(scope: Scope, data: dict[str, Any]) -> None:
    """What dump_scope said, but positions and ledgers, which need the prices."""
    scope.limits = Limits(data["limits"]) if data["limits"] is not None else None
    scope.halted, scope.reduce_only = data["halted"], data["reduce_only"]
    scope.raised = set(data["raised"])
    scope.order_window, scope.order_count, scope.cancel_window, scope.cancel_count = data["rates"]
    scope.engine_position_lots_max = data["engine_position_lots_max"]
    scope.settle()


def dump_firm(firm: Firm) -> dict[str, Any]:
    """A firm, for a snapshot."""
    orders = [
        [key, order.cell.scope.number, order.cell.price.symbol, order.buy, order.client_order_id, order.worth_ticks,
         order.remaining_lots, order.filled_lots]
        for key, order in firm.orders.items()
    ]  # fmt: skip
    accounts = {str(number): dump_scope(account) for number, account in firm.accounts.items()}
    marks = [[shard, *mark] for shard, mark in firm.marks.items()]
    return {"firm": firm.firm_number, "own": dump_scope(firm), "accounts": accounts, "orders": orders, "marks": marks}


def load_firm(data: dict[str, Any], prices: dict[str, Price]) -> Firm:
    """What dump_firm said."""
    firm = Firm(data["firm"])
    firm.marks = {shard: (seq, n) for shard, seq, n in data["marks"]}
    load_scope(firm, data["own"])
    for number, told in data["accounts"].items():
        account = firm.account(int(number))
        load_scope(account, told)
        for symbol, lots in told["positions"].items():
            cell = account.cell(prices[symbol], firm)
            if lots:
                cell.hold(lots, 0)
        _load_ledgers(account, told)
    _load_ledgers(firm, data["own"])
    for key, number, symbol, buy, client_order_id, worth_ticks, remaining_lots, filled_lots in data["orders"]:
        order = Order(firm.account(number).cell(prices[symbol], firm), buy, client_order_id)
        order.worth_ticks, order.filled_lots = worth_ticks, filled_lots
        order.become(remaining_lots)
        firm.orders[key] = order
        if client_order_id:
            firm.by_client_id[number, client_order_id] = key
    return firm


def _load_ledgers(scope: Scope, told: dict[str, Any]) -> None:
    for quote, (cash_units, day_open_units, peak_units) in told["ledgers"].items():
        ledger = scope.ledgers[quote]
        ledger.cash_units, ledger.day_open_units, ledger.peak_units = cash_units, day_open_units, peak_units
