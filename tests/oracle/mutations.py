"""Small deliberate breaks of the oracle: if the comparison did not notice one of them, it would prove nothing there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from schemas.vocabulary import PRICE_TICKS_MAX, Account, Code, Nonce, Side, TradeBust, TradeCorrection
from tests.oracle import (
    admin,
    book,
    busts,
    cancels,
    checks,
    groups,
    ledger,
    makers,
    matching,
    numbers,
    orders,
    rates,
    sweeps,
)
from tests.oracle.checks import halt_of_trading_faults
from tests.oracle.events import Events
from tests.oracle.matching import prevent_self_trade
from tests.oracle.state import AccountState, InstrumentState, OrderState, State, Step, Trade


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One name of one module, and what it is instead."""

    title: str
    module: ModuleType | type
    name: str
    instead: Any


def broken(title: str, module: ModuleType | type, name: str, instead: Callable[..., Any] | int) -> Mutation:
    if not hasattr(module, name):
        raise AttributeError(f"{module.__name__} must have {name}, or the mutation breaks nothing")
    return Mutation(title=title, module=module, name=name, instead=instead)


def any_price(levels: book.Levels, side: int) -> int | None:
    return next(iter(levels), None)


def account_halt_first(
    state: State, account: AccountState, instrument: InstrumentState, *, fits_call: bool
) -> Iterator[Code]:
    if account.halted:
        yield Code.ACCOUNT_HALTED
    yield from halt_of_trading_faults(state, account, instrument, fits_call=fits_call)


def own_orders_count(instrument: InstrumentState, taker: OrderState, wanted: int) -> int:
    side = numbers.other_side(taker.side)
    return sum(
        maker.rest
        for price, level in instrument.levels[side].items()
        for maker in level
        if numbers.at_price_or_better(taker.side, taker.price, price)
    )


def account_with_firm_as_said(state: State, events: Events, command: Account) -> None:
    state.accounts.setdefault(command.account, AccountState(firm=command.firm))
    events.applied(account=command.account)


def account_of_any_firm(
    state: State, command: Account, faults: Callable[[State, Account], Iterable[Code]] = checks.account_faults
) -> Iterable[Code]:
    return (code for code in faults(state, command) if code != Code.DEFINITION_CONFLICT)


def orders_of_every_key(state: State, events: Events, key: int, account: int, code: Code) -> None:
    cancels.cancel_each(state, events, sweeps.orders_in_turn(state, account), code)


def strictly_better(side: int, price_ticks: int, other_price_ticks: int) -> bool:
    return other_price_ticks < price_ticks if side == Side.BUY else other_price_ticks > price_ticks


def highest_buy_rounded_up(instrument: InstrumentState) -> int:
    price = numbers.divide_up(instrument.reference_price * (numbers.PPM + instrument.collar_ppm), numbers.PPM)
    return min(price, PRICE_TICKS_MAX)


def lowest_sell_rounded_down(instrument: InstrumentState) -> int:
    return max(instrument.reference_price * (numbers.PPM - instrument.collar_ppm) // numbers.PPM, 1)


def level_always_updated(prevent: Callable[..., bool]) -> Callable[..., bool]:
    def prevent_and_update(*arguments: Any) -> bool:
        prevent(*arguments)
        return True

    return prevent_and_update


def later_than_the_window_edge(state: State, nonce: Nonce, received_ns: int) -> bool:
    return abs(received_ns - nonce.timestamp_ns) < state.nonce_window()


def fee_of_each_fill_by_itself(notional_before: int, notional_of_fill: int, rate_ppm: int) -> int:
    return numbers.part_ppm(notional_of_fill, rate_ppm)


def need_without_the_unit(notional_left: int, maker_ppm: int, taker_ppm: int) -> int:
    return notional_left + numbers.part_ppm(notional_left, max(maker_ppm, taker_ppm, 0))


def need_at_taker_rate(notional_left: int, maker_ppm: int, taker_ppm: int) -> int:
    return notional_left + numbers.part_ppm(notional_left, taker_ppm) + 1


def price_from_one(price: int, least: int) -> Iterator[Code]:
    if not 1 <= price <= PRICE_TICKS_MAX:
        yield Code.PRICE_INVALID


def name_without_zero_bytes(text: bytes | None) -> bytes | None:
    return (text or b"").replace(b"\0", b"") or None


def own_rates(state: State, account: int, instrument: InstrumentState) -> tuple[int, int]:
    return instrument.maker_ppm, instrument.taker_ppm


def first_row_from_the_price(instrument: InstrumentState, price: int) -> Step:
    rows = [row for row in instrument.steps if row.from_price <= price]
    return rows[0] if rows else Step(from_price=0, tick=1, lot=1)


def free_alone(state: State, order: OrderState) -> int:
    return ledger.locked_balance(state, order).free


def corrected_with_the_fees_that_were(instrument: InstrumentState, trade: Trade, price: int, lots: int) -> Trade:
    return dataclasses.replace(trade, price=price, lots=lots)


def trade_kept(state: State, command: TradeBust | TradeCorrection) -> Iterator[Code]:
    if command.instrument not in state.instruments:
        yield Code.UNKNOWN_INSTRUMENT
    if (command.instrument, command.trade_id) not in state.trades:
        yield Code.UNKNOWN_TRADE


def effect_without_fees(instrument: InstrumentState, trade: Trade) -> busts.Effect:
    return busts.Effect(
        buyer_quote=-numbers.notional(trade.price, trade.lots, instrument.quote_units),
        seller_quote=numbers.notional(trade.price, trade.lots, instrument.quote_units),
        base=trade.lots * instrument.base_units,
        lots=trade.lots,
        fees=0,
    )


MUTATIONS = [
    broken("fees are rounded down", numbers, "part_ppm", lambda amount, rate: amount * rate // numbers.PPM),
    broken("each fill's fee is rounded by itself", numbers, "fee_increase", fee_of_each_fill_by_itself),
    broken("a rebate may exceed the taker's fee", ledger, "limited_rebate", lambda maker_fee, taker_fee: maker_fee),
    broken("a buy locks one unit less", numbers, "need_of_buy", need_without_the_unit),
    broken("a buy locks at the taker's rate only", numbers, "need_of_buy", need_at_taker_rate),
    broken("a lock stays when the rest falls", ledger, "lower_lock", lambda state, order: None),
    broken("last come, first served", makers, "first_of_level", lambda level: level[-1]),
    broken("any price is the best", book, "best_of", any_price),
    broken("a level is told unchanged", matching, "prevent_self_trade", level_always_updated(prevent_self_trade)),
    broken("no report says done", cancels, "done_flag", lambda order: 0),
    broken("equal prices do not meet", numbers, "at_price_or_better", strictly_better),
    broken("a larger total keeps its place", checks, "keeps_place", lambda order, new: new.price_ticks == order.price),
    broken("no replacement keeps its place", checks, "keeps_place", lambda order, new: False),
    broken("own orders fill a fill-or-kill", makers, "lots_to_get", own_orders_count),
    broken("the collar of a buy is rounded up", checks, "highest_buy", highest_buy_rounded_up),
    broken("the collar of a sell is rounded down", checks, "lowest_sell", lowest_sell_rounded_down),
    broken("a halted account wins over a halted market", checks, "halt_of_trading_faults", account_halt_first),
    broken("the least price of a market order is 1", checks, "price_faults", price_from_one),
    broken("a rate window of 0 ms is 1 ms", checks, "RATE_WINDOW_MS_DEFAULT", 1),
    broken("the edge of the nonce window is outside", checks, "within_window", later_than_the_window_edge),
    broken("five old nonces are dropped at once", admin, "NONCE_DROPS_MAX", 5),
    broken("a mass cancel goes by id alone", sweeps, "orders_in_turn", lambda state, account: state.orders_of(account)),
    broken("a logoff takes other keys' orders too", sweeps, "cancel_of_key", orders_of_every_key),
    broken("firm 0 stays firm 0", admin, "account", account_with_firm_as_said),
    broken("an account may move to another firm", checks, "account_faults", account_of_any_firm),
    broken("a prefix belongs to whatever follows", groups, "follows", lambda prefix, record: True),
    broken("any key is told its sequence", Events, "reference_for", lambda events, order: events.client_sequence),
    broken("another key is not told", orders, "tell_other_sender", lambda events, order, number: None),
    broken("a name may hold zero bytes", checks, "name_of", name_without_zero_bytes),
    broken("open lots do not count for the position", checks, "position_faults", lambda *arguments: iter(())),
    broken("every account pays the instrument's own rates", rates, "rates_of", own_rates),
    broken("the first row of the price steps rules", rates, "step_at", first_row_from_the_price),
    broken("no price is off the tick", rates, "tick_faults", lambda instrument, price: iter(())),
    broken("no quantity is off the lot", rates, "lot_faults", lambda instrument, price, lots: iter(())),
    broken("a floor gives no room", ledger, "spendable", free_alone),
    broken("a bust leaves the fees", busts, "effect_of", effect_without_fees),
    broken("a correction leaves the fees", busts, "corrected", corrected_with_the_fees_that_were),
    broken("a trade may be undone twice", busts, "trade_faults", trade_kept),
    broken("a bust asks nobody for money", busts, "change_faults", lambda *arguments: iter(())),
]
