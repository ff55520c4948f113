"""A slow, obvious recount of everything against the figures that are kept by differences, on random streams.

The engine is a few lines: orders that were passed reach it sooner or later, are accepted or refused, fill, are
cancelled and replaced. Events come twice, in blocks, late; the state is dumped and loaded in between.
"""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.risk.book import Ledger, Scope
from streams.risk.rules import RiskState
from tests.support.risk import BTC, ETH, EUR, MARGIN_NS, MARKET, SECOND_NS, WINDOW_NS, Desk

LIMITS = {
    "gross_exposure_units": 60_000, "net_exposure_units": 40_000, "daily_loss_units": 5_000, "drawdown_units": 6_000,
    "order_rate": 20, "order_window_ms": 1000, "price_distance_ppm": 300_000,
    "actions": {"daily_loss": "reduce_only", "drawdown": "warn"},
}  # fmt: skip


class Venue:
    """An engine that does whatever chance says with what reached it."""

    def __init__(self, desk: Desk, chance: random.Random) -> None:
        self.desk = desk
        self.chance = chance
        self.waiting: list[dict[str, Any]] = []
        self.open: dict[int, tuple[dict[str, Any], int]] = {}  # order id -> how it was accepted, what remains
        self.seen: list[dict[str, Any]] = []
        self.gave_up: list[str] = []
        self.fills: list[dict[str, Any]] = []

    def step(self) -> list[dict[str, Any]]:
        """One thing happens."""
        if self.waiting and self.chance.random() < 0.6:
            return self._take(self.waiting.pop(self.chance.randrange(len(self.waiting))))
        if self.open:
            order_id = self.chance.choice(sorted(self.open))
            accepted, remaining = self.open[order_id]
            if self.chance.random() < 0.7:
                return self._fill(order_id, accepted, self.chance.randint(1, remaining))
            return [self._left("cancelled", order_id, accepted, remaining, 0)]
        return []

    def _take(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        desk, dice = self.desk, self.chance.random()
        if dice < 0.1:
            self.gave_up.append(order["nonce"])
            return []
        if dice < 0.3 or (order["action"] == "replace" and order.get("order_id") not in self.open):
            return [self._refused(order, "insufficient_funds")]
        if order["action"] == "replace":
            accepted, remaining = self.open[order["order_id"]]
            filled = accepted["quantity_lots"] - remaining
            if order["quantity_lots"] <= filled:
                return [self._refused(order, "replace_quantity_filled")]
            accepted = accepted | {"quantity_lots": order["quantity_lots"], "price_ticks": order["price_ticks"]}
            left = order["quantity_lots"] - filled
            self.open[order["order_id"]] = accepted, left
            return [desk.on("replaced", accepted, order["quantity_lots"], left, nonce=order["nonce"])]
        accepted = desk.accepted(order)
        self.open[accepted["order_id"]] = accepted, order["quantity_lots"]
        return [accepted]

    def _refused(self, order: dict[str, Any], code: str) -> dict[str, Any]:
        return self.desk.event("rejected", order["account"], nonce=order["nonce"], code=code, kind=order["action"])

    def _fill(self, order_id: int, accepted: dict[str, Any], lots: int) -> list[dict[str, Any]]:
        remaining = self.open[order_id][1] - lots
        scale, quote, _ = MARKET["instruments"][accepted["symbol"]]
        ticks = max(1, accepted["price_ticks"] + self.chance.randint(-5, 5))
        event = self._left("filled", order_id, accepted, lots, remaining) | {
            "price_ticks": ticks, "notional_units": lots * ticks * scale, "fee_units": self.chance.randint(-2, 5),
            "quote": quote,
        }  # fmt: skip
        self.fills.append(event)
        return [event]

    def _left(self, name: str, order_id: int, accepted: dict[str, Any], lots: int, remaining: int) -> dict[str, Any]:
        if remaining:
            self.open[order_id] = accepted, remaining
        else:
            del self.open[order_id]
        return self.desk.on(name, accepted, lots, remaining)


def recount(state: RiskState, scope: Scope, accounts: list[Scope], quote: str) -> dict[str, int]:
    """A ledger from all positions, open orders and reservations there are."""
    numbers = {account.number for account in accounts}
    found = dict.fromkeys(("position_units", "size_units", "buy_units", "sell_units"), 0)
    for account in accounts:
        for symbol, cell in account.cells.items():
            price = state.prices[symbol]
            if price.quote == quote:
                units = cell.position_lots * price.mark_ticks * price.scale
                found["position_units"] += units
                found["size_units"] += abs(units)
    for order in state.firms[scope.firm_number].orders.values():
        price = order.cell.price
        if order.cell.scope.number in numbers and price.quote == quote:
            found["buy_units" if order.buy else "sell_units"] += order.remaining_lots * order.worth_ticks * price.scale
    for cell, _, buy_units, _, sell_units in state.reservations.values():
        if cell.scope.number in numbers and cell.price.quote == quote and cell.scope.firm_number == scope.firm_number:
            assert buy_units >= 0
            assert sell_units >= 0
            found["buy_units"] += buy_units
            found["sell_units"] += sell_units
    return found


def check(state: RiskState, venue: Venue) -> None:
    """Every figure is what a recount gives, and positions and cash are what the fills say."""
    firm = state.firms[1]
    for scope, accounts in [(firm, list(firm.accounts.values())), *((own, [own]) for own in firm.accounts.values())]:
        for quote, ledger in scope.ledgers.items():
            expected = recount(state, scope, accounts, quote)
            assert {name: getattr(ledger, name) for name in expected} == expected, (scope.name, quote)
            assert ledger.cash_units == cash_of(venue.fills, {own.number for own in accounts}, quote)
            gross = sum(cell.gross_units for cell in scope.cells.values() if cell.price.quote == quote)
            assert gross == ledger.gross_units
            assert profit_of(state, venue.fills, {own.number for own in accounts}, quote) == ledger.profit_units
    for account in firm.accounts.values():
        for symbol, cell in account.cells.items():
            assert cell.position_lots == position_of(venue.fills, account.number, symbol)
            open_lots = [order for order in firm.orders.values() if order.cell is cell]
            held = [own for own in state.reservations.values() if own[0] is cell]
            assert cell.buy_lots == sum(o.remaining_lots for o in open_lots if o.buy) + sum(own[1] for own in held)
            assert cell.sell_lots == sum(o.remaining_lots for o in open_lots if not o.buy) + sum(own[3] for own in held)
    for order_id, (accepted, remaining) in venue.open.items():
        order = firm.orders[order_id]
        assert (order.remaining_lots, order.cell.scope.number) == (remaining, accepted["account"])
    assert len(firm.orders) == len(venue.open)


def position_of(fills: list[dict[str, Any]], account: int, symbol: str) -> int:
    return sum(
        fill["quantity_lots"] if fill["side"] == "buy" else -fill["quantity_lots"]
        for fill in fills
        if fill["account"] == account and fill["symbol"] == symbol
    )


def cash_of(fills: list[dict[str, Any]], accounts: set[int], quote: str) -> int:
    return sum(
        (-fill["notional_units"] if fill["side"] == "buy" else fill["notional_units"]) - fill["fee_units"]
        for fill in fills
        if fill["account"] in accounts and fill["quote"] == quote
    )


def profit_of(state: RiskState, fills: list[dict[str, Any]], accounts: set[int], quote: str) -> int:
    """Realised and unrealised at average cost, in exact fractions: what the cash flow must come to."""
    total = Fraction(0)
    for account in accounts:
        for symbol in (BTC, ETH, EUR):
            lots, cost, realised = 0, Fraction(0), Fraction(0)
            scale, own, _ = MARKET["instruments"][symbol]
            if own != quote:
                continue
            for fill in fills:
                if fill["account"] != account or fill["symbol"] != symbol:
                    continue
                realised -= fill["fee_units"]
                change = fill["quantity_lots"] if fill["side"] == "buy" else -fill["quantity_lots"]
                closing = min(abs(lots), abs(change)) * (1 if change > 0 else -1) if lots * change < 0 else 0
                if closing:
                    part = cost * -closing / lots
                    realised += -closing * fill["price_ticks"] * scale - part
                    cost -= part
                lots += change
                cost += (change - closing) * fill["price_ticks"] * scale
            total += realised + lots * state.prices[symbol].mark_ticks * scale - cost
    assert total.denominator == 1
    return int(total)


def random_order(desk: Desk, venue: Venue, chance: random.Random) -> dict[str, Any]:
    account, symbol = chance.choice((1, 1, 2)), chance.choice((BTC, BTC, ETH, EUR))
    if venue.open and chance.random() < 0.2:
        order_id = chance.choice(sorted(venue.open))
        accepted = venue.open[order_id][0]
        lots, ticks = chance.randint(1, 60), chance.randint(80, 120)
        return desk.replace(lots, ticks, accepted["account"], symbol=accepted["symbol"], order_id=order_id)
    if chance.random() < 0.1:
        return desk.cancel(account)
    side = chance.choice(("buy", "sell"))
    lots, ticks = chance.randint(1, 50), chance.randint(80, 120)
    return desk.new(side, lots, ticks, symbol, account, client_order_id=chance.choice((0, 7)))


def run(seed: int, step_count: int) -> None:
    chance = random.Random(seed)
    desk = Desk()
    venue = Venue(desk, chance)
    for account in (1, 2, 0):
        if chance.random() < 0.7:
            desk.limit(LIMITS, account=account)
    late: list[dict[str, Any]] = []
    for _ in range(step_count):
        desk.now_ns += chance.randint(0, SECOND_NS // 10)
        if chance.random() < 0.5:
            orders = [random_order(desk, venue, chance) for _ in range(chance.randint(1, 4))]
            told = desk.send(*orders, *orders[: chance.randint(0, 1)])
            fresh = {order["nonce"]: order for order in told.passed if order["action"] != "cancel"}
            venue.waiting += fresh.values()
        late += [event for _ in range(chance.randint(0, 4)) for event in venue.step()]
        if chance.random() < 0.2:
            ticks = chance.randint(85, 115)
            last = ticks if chance.random() < 0.5 else 0
            desk.price(chance.choice((BTC, ETH, EUR)), last=last, bid=ticks - 1, ask=ticks + 1)
        if chance.random() < 0.5:
            desk.report(*late)
            desk.report(*late[-3:])
            late = []
            desk.state.freed([{"stage": "submitter", "nonce": nonce} for nonce in venue.gave_up], desk.now_ns)
            venue.gave_up = []
            if 1 in desk.state.firms:
                check(desk.state, venue)
        if chance.random() < 0.05:
            desk.state = RiskState.load(desk.state.dump(), WINDOW_NS, MARGIN_NS)
    settle(desk, venue, late)


def settle(desk: Desk, venue: Venue, late: list[dict[str, Any]]) -> None:
    """Everything is reported: nothing is reserved any more."""
    while venue.waiting:
        late += venue.step()
    desk.report(*late)
    desk.state.freed([{"stage": "submitter", "nonce": nonce} for nonce in venue.gave_up], desk.now_ns)
    assert not desk.state.reservations
    if 1 in desk.state.firms:
        check(desk.state, venue)


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_figures_kept_by_differences_are_those_of_a_recount(seed):
    run(seed, 60)


def test_a_long_stream_keeps_every_figure():
    run(1, 500)


# ---- The decision ----------------------------------------------------------------------------------------------------

REFUSING = {
    1: {"gross_exposure_units": 20_000, "net_exposure_units": 9_000, "drawdown_units": 900},
    2: {"concentration_ppm": 700_000, "concentration_floor_units": 8_000, "daily_loss_units": 500},
    0: {"gross_exposure_units": 30_000, "net_exposure_units": 15_000, "price_distance_ppm": 150_000},
}


def expected_code(state: RiskState, order: dict[str, Any]) -> str:
    """The code of a new order, from a recount of everything, limit by limit in the order in which codes win."""
    firm = state.firms[1]
    account, price = firm.account(order["account"]), state.prices[order["symbol"]]
    buy, lots, ticks = order["side"] == "buy", order["quantity_lots"], order["price_ticks"]
    units = lots * (ticks if buy else max(ticks, price.mark_ticks)) * price.scale
    position = account.cells[price.symbol].position_lots if price.symbol in account.cells else 0
    same = [
        (own.buy, own.remaining_lots)
        for own in firm.orders.values()
        if own.cell.scope is account and own.cell.price is price
    ]
    for cell, buy_lots, _, sell_lots, _ in state.reservations.values():
        if cell.scope is account and cell.price is price:
            same += [(True, buy_lots), (False, sell_lots)]
    against = (-position if buy else position) - sum(left for side, left in same if side is buy)
    for scope, accounts in ((account, [account]), (firm, list(firm.accounts.values()))):
        found = broken_limits(state, scope, accounts, price.symbol, buy, units) if lots > against else []
        limits = REFUSING[scope.number]
        doubled = price.middle_doubled or 2 * price.last_ticks
        beyond = (2 * ticks - doubled if buy else doubled - 2 * ticks) * 1_000_000
        if doubled and beyond > limits.get("price_distance_ppm", 10**12) * doubled:
            found.append("price_too_far")
        if found:
            return found[0]
    return ""


def broken_limits(
    state: RiskState, scope: Scope, accounts: list[Scope], symbol: str, buy: bool, units: int
) -> list[str]:
    """Limits in money that a scope would break, in the order in which codes win."""
    quote, limits = state.prices[symbol].quote, REFUSING[scope.number]
    now = recount(state, scope, accounts, quote)
    gross = now["size_units"] + now["buy_units"] + now["sell_units"] + units
    net = now["position_units"] + now["buy_units"] if buy else now["sell_units"] - now["position_units"]
    ledger = scope.ledgers.get(quote, Ledger(quote))
    profit = now["position_units"] + ledger.cash_units
    found = []
    if gross > limits.get("gross_exposure_units", gross):
        found.append("gross_exposure_exceeded")
    if net + units > limits.get("net_exposure_units", net + units):
        found.append("net_exposure_exceeded")
    if "concentration_ppm" in limits and gross >= limits["concentration_floor_units"]:
        own = scope.cells[symbol].gross_units if symbol in scope.cells else 0
        if (own + units) * 1_000_000 > limits["concentration_ppm"] * gross:
            found.append("concentration_exceeded")
    if ledger.day_open_units - profit > limits.get("daily_loss_units", 10**12):
        found.append("daily_loss_exceeded")
    if ledger.peak_units - profit > limits.get("drawdown_units", 10**12):
        found.append("drawdown_exceeded")
    return found


def decide(seed: int, step_count: int) -> set[str]:
    """Orders one by one on a random stream; the codes that there were."""
    chance = random.Random(seed)
    desk = Desk()
    venue = Venue(desk, chance)
    for account, limits in REFUSING.items():
        desk.limit(limits, account=account)
    codes = set()
    for _ in range(step_count):
        order = random_order(desk, venue, chance)
        if order["action"] == "new":
            expected = expected_code(desk.state, order)
            told = desk.send(order)
            code = told.refused[0]["code"] if told.refused else ""
            assert code == expected, order
            codes.add(code)
            venue.waiting += told.passed
        desk.report(*(event for _ in range(2) for event in venue.step()))
        venue.gave_up.clear()
        if chance.random() < 0.3:
            ticks = chance.randint(85, 115)
            desk.price(chance.choice((BTC, ETH, EUR)), last=ticks, bid=ticks - 1, ask=ticks + 1)
    return codes


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_every_order_has_the_code_that_a_recount_of_everything_gives(seed):
    decide(seed, 80)


def test_the_random_orders_meet_every_limit():
    codes = set().union(*(decide(seed, 150) for seed in range(4)))
    assert codes == {
        "", "gross_exposure_exceeded", "net_exposure_exceeded", "concentration_exceeded", "daily_loss_exceeded",
        "drawdown_exceeded", "price_too_far",
    }  # fmt: skip


def test_the_recount_would_notice_a_figure_that_is_off_by_one():
    desk = Desk()
    venue = Venue(desk, random.Random(0))
    venue.waiting += desk.send(desk.new("buy", 10, 100)).passed
    ledger: Ledger = desk.state.firms[1].ledgers["USD"]
    check(desk.state, venue)
    ledger.buy_units += 1
    with pytest.raises(AssertionError):
        check(desk.state, venue)
