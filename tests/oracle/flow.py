"""Commands that make interesting things happen: few accounts, few prices, small quantities, sometimes an extreme.

A step is drawn without looking at the state (so that what Hypothesis shrinks stays readable), and becomes records when
it is played: only then it is known which orders are open and which client sequence comes next.

    draw_step(choice) -> Step      choice: random.Random or Hypothesis, behind two methods
    records_of(step, state) -> bytes
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from schemas import vocabulary
from schemas.vocabulary import (
    PRICE_TICKS_MAX,
    QUANTITY_LOTS_MAX,
    UNITS_MAX,
    UNITS_PER_LOT_MAX,
    Account,
    AccountLimits,
    Asset,
    BalanceFloor,
    Cancel,
    ClockTick,
    Code,
    Deposit,
    Digest,
    FeePayout,
    FeeTier,
    Halt,
    HaltAction,
    HaltScope,
    Instrument,
    InstrumentLimits,
    InstrumentState,
    Logoff,
    Logon,
    MassCancel,
    NewOrder,
    Nonce,
    OrderLink,
    OrderOption,
    OrderTerms,
    OrderType,
    PriceStep,
    Record,
    Refused,
    Replace,
    SelfTradePrevention,
    Term,
    Text,
    TimeInForce,
    TradeBust,
    TradeCorrection,
    TradingState,
    Withdrawal,
)
from tests.oracle import commands, groups, special
from tests.oracle.choice import Choice, some_price, some_quantity, sometimes, usually
from tests.oracle.digest import digest
from tests.oracle.state import OrderState, State

ASSETS, INSTRUMENTS, ACCOUNTS, KEYS = 3, 3, 3, 3  # numbers in use: 1 .. these
OPTIONS = {  # capacities end just behind the numbers in use, so that "beyond capacity" is one step away
    "asset_count_max": ASSETS + 1,
    "instrument_count_max": INSTRUMENTS + 1,
    "account_count_max": ACCOUNTS + 1,
    "key_count_max": KEYS + 1,
    "nonce_window_ns": 1000,
}
START_NS = 1_700_000_000_000_000_000
NAME_BYTES = 36
RICH_UNITS = 2**60


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command to be. Numbers that depend on the state are filled in by records_of."""

    command: commands.Closing
    key: int = 1
    elapsed_ns: int = 1  # since the record before
    text: bytes | None = None  # of a text prefix
    nonce: tuple[int, int] | None = None  # of a prefix or logon: number, and age in ns (below zero: from the future)
    recent_trade: int | None = None  # which of the last trades a bust or correction names, modulo their count
    open_order: int | None = None  # which open order of any account the command names, modulo their count
    by_client_number: bool = False
    void_prefixes: int = 0  # prefixes before it that belong to nothing: see VOID_PREFIXES
    terms: OrderTerms | None = None  # of a prefix
    link: int | None = None  # the action of a link prefix, which names the open order
    due_ns: int | None = None  # when the order expires or the auction ends, from the time of receipt on
    prefixes_turned: bool = False  # their order
    set_byte: tuple[int, int, int] | None = None  # damage: which record from the end, offset in its command, value
    client_sequence_error: int = 0
    digest_error: int = 0

    def __repr__(self) -> str:
        """Only what is not as usual, so that a failing run can be read."""
        parts = [str(self.command)]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "command" and value != field.default:
                parts.append(f"{field.name}={value!r}")
        return f"Step({', '.join(parts)})"


# ---- drawing


def some_account(choice: Choice) -> int:
    return usually(choice, (1, 2, 3), (0, ACCOUNTS + 1, 2**32 - 1), one_in=60)


def some_instrument(choice: Choice) -> int:
    return usually(choice, (1, 1, 1, 2, 3), (0, INSTRUMENTS + 1, 2**32 - 1), one_in=60)


def some_asset(choice: Choice) -> int:
    return usually(choice, (1, 2, 3), (0, ASSETS + 1, 2**32 - 1), one_in=40)


def some_units(choice: Choice) -> int:
    extremes = (0, -1, UNITS_MAX, UNITS_MAX - 1, 2**63 - 1, -(2**63), 2**40)
    return usually(choice, (100, 1000, 1, 37, 50_000), extremes, one_in=12)


def some_client_number(choice: Choice) -> int:
    return choice.one_of((0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 2**64 - 1))


def some_limit(choice: Choice, usual: Sequence[int]) -> int:
    return usually(choice, (0, 0, 0, 0, *usual), (-1, 2**63 - 1), one_in=60)


def new_order(choice: Choice) -> commands.Closing:
    kinds = (OrderType.LIMIT,) * 8 + (OrderType.MARKET,) * 2 + (OrderType.MARKET_BY_QUOTE,)
    order_type = choice.one_of(kinds)
    good_till_cancelled = (TimeInForce.GOOD_TILL_CANCELLED,) * 4
    at_once = (TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL)
    lasts = choice.one_of(at_once if order_type == OrderType.MARKET else good_till_cancelled + at_once)
    if order_type == OrderType.MARKET_BY_QUOTE:
        lasts = TimeInForce.IMMEDIATE_OR_CANCEL
    if sometimes(choice, 40):
        lasts = choice.one_of(list(TimeInForce))
    post_only = sometimes(choice, 6 if lasts == TimeInForce.GOOD_TILL_CANCELLED else 60)
    capped = order_type == OrderType.LIMIT or not sometimes(choice, 3)
    by_quote = order_type == OrderType.MARKET_BY_QUOTE
    return NewOrder(
        account=some_account(choice),
        instrument=some_instrument(choice),
        price_ticks=some_price(choice) if capped else 0,
        quantity_lots=special.some_amount(choice) if by_quote else some_quantity(choice),
        client_order_id=some_client_number(choice),
        side=usually(choice, (1, 2), (0, 3, 255), one_in=80),
        order_type=usually(choice, (order_type,), (0, 9), one_in=120),
        time_in_force=usually(choice, (lasts,), (0, 4), one_in=120),
        self_trade_prevention=usually(choice, list(SelfTradePrevention), (0, 6), one_in=120),
        options=OrderOption.POST_ONLY if post_only else usually(choice, (0,), (2, 255), one_in=120),
    )


def some_order_name(choice: Choice) -> dict[str, int]:
    """An order by its id or by a client's number; sometimes both or neither."""
    order_id, client_number = choice.number(0, 60), some_client_number(choice)
    if order_id and client_number and not sometimes(choice, 20):
        client_number = 0
    return {"order_id": order_id, "target_client_order_id": client_number}


def cancel(choice: Choice) -> commands.Closing:
    return Cancel(
        account=some_account(choice),
        instrument=some_instrument(choice),
        **some_order_name(choice),
        client_order_id=some_client_number(choice),
    )


def replace(choice: Choice) -> commands.Closing:
    return Replace(
        account=some_account(choice),
        instrument=some_instrument(choice),
        **some_order_name(choice),
        price_ticks=some_price(choice),
        quantity_lots=some_quantity(choice),
    )


def mass_cancel(choice: Choice) -> commands.Closing:
    return MassCancel(
        account=some_account(choice),
        instrument=choice.one_of((0, some_instrument(choice))),
        side=usually(choice, (0, 1, 2), (3, 255), one_in=30),
        client_order_id=some_client_number(choice),
    )


def asset(choice: Choice) -> commands.Closing:
    return Asset(asset=some_asset(choice), decimals=usually(choice, (2,), (18, 19, 255)))


def instrument(choice: Choice) -> commands.Closing:
    """1 is a usual one, 2 has a common asset with it, 3 has units so large that amounts come to their end."""
    number = some_instrument(choice)
    base, quote, base_units, quote_units = {2: (3, 2, 3, 7), 3: (3, 1, UNITS_PER_LOT_MAX, UNITS_PER_LOT_MAX)}.get(
        number, (1, 2, 1, 1)
    )
    taker = usually(choice, (300, 0, 33_333, 100_000), (-1, 100_001, 2**31 - 1))
    extreme_makers = (-100_001, 100_001, -(2**31), -taker - 1)
    return Instrument(
        instrument=number,
        base_asset=usually(choice, (base,), (0, quote, ASSETS + 1)),
        quote_asset=usually(choice, (quote,), (0, base, 1)),
        maker_fee_ppm=usually(choice, (100, 0, -300, -33_333, 50_000, -taker), extreme_makers),
        taker_fee_ppm=taker,
        trading_state=usually(choice, (TradingState.OPEN,), (0, *TradingState, 9)),
        base_units_per_lot=usually(choice, (base_units,), (0, UNITS_PER_LOT_MAX + 1, 2**64 - 1)),
        quote_units_per_tick_lot=usually(choice, (quote_units,), (0, UNITS_PER_LOT_MAX + 1, 2**64 - 1)),
    )


def instrument_limits(choice: Choice) -> commands.Closing:
    return InstrumentLimits(
        instrument=some_instrument(choice),
        collar_ppm=usually(choice, (0, 0, 200_000, 100_000, 333_333, 1_000_000), (1_000_001, 2**32 - 1)),
        quantity_lots_min=some_limit(choice, (0, 1, 2)),
        quantity_lots_max=some_limit(choice, (0, 5, 7)),
        notional_units_min=usually(choice, (0, 0, 0, 0, 20), (-1, UNITS_MAX, UNITS_MAX + 1), one_in=60),
        reference_price_ticks=usually(choice, (0, 10, 11), (-1, PRICE_TICKS_MAX, PRICE_TICKS_MAX + 1, 1)),
    )


def first_firm(number: int) -> int:
    """The firm that an account is defined with: the first one is its own, the others are of one."""
    return 7 if number > 1 else 0


def account(choice: Choice) -> commands.Closing:
    number = some_account(choice)
    return Account(
        account=number,
        firm=usually(choice, (first_firm(number),), (0, 1, 7, 2**32 - 1)),
        fee_tier=usually(choice, (0, 1, 2, 7), (8, 255)),
    )


def account_limits(choice: Choice) -> commands.Closing:
    return AccountLimits(
        account=some_account(choice),
        open_orders_max=choice.one_of((0, 0, 0, 1, 3, 2**32 - 1)),
        order_rate_max=choice.one_of((0, 0, 0, 0, 1, 3)),
        order_rate_window_ms=choice.one_of((0, 1, 2, 2**32 - 1)),
        notional_units_max=some_limit(choice, (0, 60)),
        position_lots_max=some_limit(choice, (0, 6, 12)),
        quantity_lots_max=some_limit(choice, (0, 6)),
    )


def deposit(choice: Choice) -> commands.Closing:
    return Deposit(
        account=some_account(choice),
        asset=some_asset(choice),
        amount_units=some_units(choice),
        reference=some_client_number(choice),
    )


def withdrawal(choice: Choice) -> commands.Closing:
    return Withdrawal(
        account=some_account(choice),
        asset=some_asset(choice),
        amount_units=some_units(choice),
        reference=some_client_number(choice),
    )


def fee_payout(choice: Choice) -> commands.Closing:
    return FeePayout(
        account=some_account(choice),
        asset=some_asset(choice),
        amount_units=usually(choice, (1, 1, 2, 5), (0, -1, 1000, 2**63 - 1)),
        reference=some_client_number(choice),
    )


def fee_tier(choice: Choice) -> commands.Closing:
    taker = usually(choice, (300, 0, 33_333, 100_000), (-1, 100_001, 2**31 - 1))
    return FeeTier(
        instrument=some_instrument(choice),
        maker_fee_ppm=usually(choice, (0, 200, -300, 50_000, -taker), (-100_001, 100_001, -(2**31), -taker - 1)),
        taker_fee_ppm=taker,
        tier=usually(choice, (1, 2, 7), (0, 8, 255)),
    )


def price_step(choice: Choice) -> commands.Closing:
    """Mostly ends the table, lest few orders be on it."""
    ends = not sometimes(choice, 2)
    return PriceStep(
        instrument=some_instrument(choice),
        step=usually(choice, (0, 0, 1, 2), (7, 8, 255)),
        from_price_ticks=0 if ends else usually(choice, (0, 8, 10, 11), (-1, PRICE_TICKS_MAX, PRICE_TICKS_MAX + 1)),
        tick_multiple=0 if ends else usually(choice, (1, 2), (-1, PRICE_TICKS_MAX, PRICE_TICKS_MAX + 1)),
        lot_multiple=usually(choice, (0 if ends else 2, 0 if ends else 1), (0, -1, QUANTITY_LOTS_MAX + 1)),
    )


def balance_floor(choice: Choice) -> commands.Closing:
    return BalanceFloor(
        account=some_account(choice),
        asset=some_asset(choice),
        floor_units=usually(choice, (0, -50, -500, -(2**30)), (1, -UNITS_MAX, -UNITS_MAX - 1, -(2**63), -(2**61))),
    )


def trade_bust(choice: Choice) -> commands.Closing:
    return TradeBust(instrument=some_instrument(choice), trade_id=choice.number(0, 60))


def trade_correction(choice: Choice) -> commands.Closing:
    return TradeCorrection(
        instrument=some_instrument(choice),
        trade_id=choice.number(0, 60),
        price_ticks=some_price(choice),
        quantity_lots=usually(choice, (1, 2, 3), (0, -1, QUANTITY_LOTS_MAX, 2**63 - 1)),
    )


def halt(choice: Choice) -> commands.Closing:
    """Mostly resumes, lest nothing trades any more."""
    scope = usually(choice, list(HaltScope), (0, 9))
    return Halt(
        target=0 if scope == HaltScope.EVERYTHING and not sometimes(choice, 10) else choice.one_of((1, 2, 3, 7, 0, 4)),
        scope=scope,
        action=usually(choice, (*(HaltAction.RESUME,) * 14, HaltAction.HALT, HaltAction.KILL), (0, 9)),
    )


def logon(choice: Choice) -> commands.Closing:
    return Logon(
        session=choice.number(0, 3),
        account=choice.one_of((1, 2, 3, 0, 2**32 - 1)),
        options=usually(choice, (1, 0), (2, 255)),
    )


def logoff(choice: Choice) -> commands.Closing:
    return Logoff(session=choice.number(0, 3), reason=usually(choice, (1, 2, 3, 4, 5, 6, 7), (0, 8)))


def refused(choice: Choice) -> commands.Closing:
    codes = (Code.KIND_UNKNOWN, Code.KIND_FORBIDDEN, Code.ACCOUNT_FORBIDDEN)
    return Refused(
        account=some_account(choice),
        instrument=some_instrument(choice),
        client_order_id=some_client_number(choice),
        code=choice.one_of(codes),
        refused_kind=choice.one_of((1, 99)),
    )


def term(choice: Choice) -> commands.Closing:
    return Term(term=choice.number(1, 5), node=choice.number(0, 2), nonce_window_ns=choice.number(0, 2) * 700)


def clock_tick(choice: Choice) -> commands.Closing:
    return ClockTick()


def state_digest(choice: Choice) -> commands.Closing:
    return Digest()


DRAWS: tuple[Callable[[Choice], commands.Closing], ...] = (
    *((new_order,) * 130),
    *((cancel,) * 6),
    *((replace,) * 14),
    *((mass_cancel,) * 2),
    *((deposit,) * 7),
    *((withdrawal,) * 2),
    *((instrument,) * 3),
    *((instrument_limits,) * 2),
    *((account_limits,) * 2),
    *((halt,) * 3),
    *((logon,) * 2),
    *((logoff,) * 2),
    *((account,) * 2),
    *((fee_payout,) * 2),
    *((trade_bust,) * 2),
    *((trade_correction,) * 2),
    fee_tier,
    price_step,
    balance_floor,
    *((clock_tick,) * 6),
    *((special.calm,) * 24),
    *((special.countdown_cancel,) * 2),
    *((special.instrument_state,) * 5),
    *((special.circuit_breaker,) * 2),
    asset,
    refused,
    term,
    state_digest,
)


BUSY_DRAWS: tuple[Callable[[Choice], commands.Closing], ...] = (  # few limits and halts: orders of all kinds that meet
    *((new_order,) * 130),
    *((cancel,) * 5),
    *((replace,) * 12),
    *((deposit,) * 12),
    *((clock_tick,) * 6),
    *((special.calm,) * 16),
    *((special.instrument_state,) * 8),
    *((halt,) * 2),
    special.countdown_cancel,
    mass_cancel,
    special.circuit_breaker,
    trade_bust,
)


def draw_step(choice: Choice, draws: Sequence[Callable[[Choice], commands.Closing]] = DRAWS) -> Step:
    draw = choice.one_of(draws)
    recent = draw in (trade_bust, trade_correction) and not sometimes(choice, 10)
    command, terms, link = draw(choice), None, None
    if isinstance(command, NewOrder):
        command, terms = special.with_terms(choice, command)
        link = special.some_link(choice)
    elif sometimes(choice, 100):
        terms, link = OrderTerms(), choice.one_of((None, 1, 2))
    names_order = (draw in (cancel, replace) and not sometimes(choice, 10)) or link is not None
    return Step(
        command=command,
        key=usually(choice, (1, 2, 3), (0, KEYS + 1, 2**32 - 1), one_in=80),
        elapsed_ns=usually(choice, (1, 0, 100, 700), (10**6, 10**9, -1), one_in=20),
        text=some_text(choice) if draw in (asset, instrument) or sometimes(choice, 20) else None,
        nonce=(choice.number(0, 15), some_age(choice)) if draw is logon or sometimes(choice, 8) else None,
        open_order=choice.number(0, 7) if names_order else None,
        recent_trade=choice.number(0, 9) if recent else None,
        by_client_number=names_order and sometimes(choice, 4),
        terms=terms,
        link=link,
        due_ns=special.some_due(choice, command, terms),
        prefixes_turned=sometimes(choice, 4),
        void_prefixes=choice.number(1, len(VOID_PREFIXES) - 1) if sometimes(choice, 30) else 0,
        set_byte=some_damage(choice) if sometimes(choice, 25) else None,
        client_sequence_error=choice.one_of((1, -1, 5)) if sometimes(choice, 100) else 0,
        digest_error=choice.one_of((0, 0, 1)),
    )


def some_damage(choice: Choice) -> tuple[int, int, int]:
    """Mostly in the closing record, sometimes in a prefix; at its last bytes, which are often unused, or anywhere."""
    offset = choice.number(40, 47) if sometimes(choice, 2) else choice.number(0, 47)
    return choice.one_of((0, 0, 1)), offset, choice.number(0, 255)


def some_text(choice: Choice) -> bytes:
    good = (b"A", b"BTC-USD", b"x" * NAME_BYTES)
    return choice.one_of((b"", b"a b", b"a\0b", b"\xff")) if sometimes(choice, 10) else choice.one_of(good)


def some_age(choice: Choice) -> int:
    return usually(choice, (0, 500, -500), (1000, 1001, -1000, -1001, 10**9), one_in=8)


# ---- playing

VOID_TEXT, VOID_NONCE = Text(text=b"V" * NAME_BYTES), Nonce(timestamp_ns=START_NS, nonce=bytes(16))
VOID_PREFIXES: tuple[list[list[commands.Command]], ...] = (  # each list begins at the same client sequence anew
    [],
    [[VOID_TEXT]],
    [[VOID_TEXT, VOID_NONCE]],
    [[VOID_NONCE, VOID_TEXT], [VOID_NONCE]],
    [[OrderTerms(trigger=1)], [OrderLink(), OrderTerms(), VOID_TEXT, VOID_NONCE]],
)


def prelude() -> list[Step]:
    """A small market: assets, instruments, accounts, money; account 3 is rich, so that it can buy at any price."""
    name = b"A"
    steps = [Step(command=Term(term=1, node=1), key=0)]
    steps += [Step(command=Asset(asset=number, decimals=2), text=name) for number in (1, 2, 3)]
    for number, base, quote, base_units, quote_units, maker, taker in (
        (1, 1, 2, 1, 1, -300, 33_333),
        (2, 3, 2, 3, 7, 100, 300),
        (3, 3, 1, UNITS_PER_LOT_MAX, UNITS_PER_LOT_MAX, 50_000, 100_000),
    ):
        definition = Instrument(
            instrument=number,
            base_asset=base,
            quote_asset=quote,
            maker_fee_ppm=maker,
            taker_fee_ppm=taker,
            trading_state=TradingState.OPEN,
            base_units_per_lot=base_units,
            quote_units_per_tick_lot=quote_units,
        )
        steps.append(Step(command=definition, text=name))
    for number in (1, 2, 3):
        steps.append(Step(command=Account(account=number, firm=first_firm(number))))
        steps += [
            Step(command=Deposit(account=number, asset=held, amount_units=units if number < 3 else RICH_UNITS))
            for held, units in ((1, 200), (2, 2000), (3, 500))
        ]
    return steps


def records_of(step: Step, state: State) -> bytes:
    """The records of a step, as they must look in this state (or must not, if the step says so)."""
    received_ns = max((state.received_ns or START_NS) + step.elapsed_ns, 0)
    client_sequence = state.keys[step.key].last_client_sequence + 1 if step.key in state.keys else 1
    client_sequence = max(client_sequence + step.client_sequence_error, 0)
    group: list[commands.Command] = [*prefixes_of(step, state, received_ns), fill_in(step, state, received_ns)]
    data = b""
    void = [] if key_of(step) == 0 else VOID_PREFIXES[step.void_prefixes]
    for commands_together in (*void, group):
        for place, command in enumerate(commands_together):
            number = client_sequence_of(step, command, client_sequence + place)
            numbered = dataclasses.replace(command, client_sequence=number)
            data += Record(command=numbered.pack(), key=key_of(step), received_ns=received_ns).pack()
    return damaged(data, step.set_byte)


def key_of(step: Step) -> int:
    """Most system records have none, and those that name one must."""
    if isinstance(step.command, Term | ClockTick | Digest):
        return 0
    return step.key


def client_sequence_of(step: Step, command: commands.Command, client_sequence: int) -> int:
    if key_of(step) == 0 or not groups.uses_client_sequence(command.KIND):
        return 0
    return client_sequence


def prefixes_of(step: Step, state: State, received_ns: int) -> list[commands.Command]:
    prefixes: list[commands.Command] = []
    if step.text is not None:
        prefixes.append(Text(text=step.text.ljust(NAME_BYTES, b"\0")))
    if step.nonce is not None and not isinstance(step.command, Logon):
        number, age_ns = step.nonce
        prefixes.append(Nonce(timestamp_ns=max(received_ns - age_ns, 0), nonce=nonce_bytes(number)))
    if step.terms is not None:
        due = isinstance(step.command, NewOrder) and step.due_ns is not None
        prefixes.append(dataclasses.replace(step.terms, expire_ns=due_at(step, received_ns) if due else 0))
    if step.link is not None:
        prefixes.append(OrderLink(action=step.link, **name_of_order(step, state)))
    return prefixes[::-1] if step.prefixes_turned else prefixes


def due_at(step: Step, received_ns: int) -> int:
    return max(received_ns + (step.due_ns or 0), 0)


def nonce_bytes(number: int) -> bytes:
    return number.to_bytes(8, "little") + (number * 3).to_bytes(8, "little")


def fill_in(step: Step, state: State, received_ns: int) -> commands.Closing:
    """The step's command with what depends on the state."""
    command = step.command
    if isinstance(command, Term) and command.term != 1:
        return dataclasses.replace(command, term=state.term + command.term - 1)
    if isinstance(command, Digest):
        return Digest(state_digest=digest(state) + step.digest_error & 2**64 - 1)
    if isinstance(command, Logon) and step.nonce is not None:
        number, age_ns = step.nonce
        return dataclasses.replace(command, timestamp_ns=max(received_ns - age_ns, 0), nonce=nonce_bytes(number))
    if isinstance(command, TradeBust | TradeCorrection) and step.recent_trade is not None and state.trades:
        names = list(state.trades)
        instrument, trade_id = names[-1 - step.recent_trade % len(names)]
        return dataclasses.replace(command, instrument=instrument, trade_id=trade_id)
    if isinstance(command, InstrumentState) and step.due_ns is not None:
        return dataclasses.replace(command, auction_ends_ns=due_at(step, received_ns))
    order = order_named(step, state)
    if order is not None and isinstance(command, Cancel | Replace):
        place = {"account": order.account, "instrument": order.instrument}
        return dataclasses.replace(command, **place, **name_of_order(step, state))
    if order is not None and isinstance(command, NewOrder) and command.client_order_id != 5:
        return dataclasses.replace(command, account=order.account, instrument=order.instrument, side=order.side)
    return command


def order_named(step: Step, state: State) -> OrderState | None:
    """The open order that a step means, if there is any."""
    if step.open_order is None or not state.orders:
        return None
    return sorted(state.orders.values(), key=lambda order: order.id)[step.open_order % len(state.orders)]


def name_of_order(step: Step, state: State) -> dict[str, int]:
    """By its id or by the client's number."""
    order = order_named(step, state)
    if order is None:
        return {"order_id": 3, "target_client_order_id": 0}
    by_client = step.by_client_number and order.client_order_id > 0
    return {
        "order_id": 0 if by_client else order.id,
        "target_client_order_id": order.client_order_id if by_client else 0,
    }


def damaged(data: bytes, set_byte: tuple[int, int, int] | None) -> bytes:
    """One byte is another; in the only record, if there is no such one before it."""
    if set_byte is None:
        return data
    from_end, offset, value = set_byte
    first = max(len(data) - (from_end + 1) * vocabulary.RECORD_BYTES, 0)
    place = first + offset
    return data[:place] + bytes([value]) + data[place + 1 :]
