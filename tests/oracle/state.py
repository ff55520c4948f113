"""What the exchange knows: plain records in plain dicts. Nothing here decides anything."""

from __future__ import annotations

import dataclasses
from dataclasses import field

from schemas.vocabulary import OrderType, Side, TimeInForce

DISPLAYED, HIDDEN, UNLIT, WAITING = range(4)  # the place of an open order, as the digest has it


@dataclasses.dataclass(slots=True, kw_only=True)
class Options:
    """Capacities (numbers run from 1 to capacity - 1) and the nonce window, as in core_options."""

    asset_count_max: int = 65
    instrument_count_max: int = 257
    account_count_max: int = 4097
    key_count_max: int = 257
    nonce_window_ns: int = 300 * 10**9


@dataclasses.dataclass(slots=True, kw_only=True)
class AssetState:
    name: bytes
    decimals: int
    supply_units: int = 0  # deposits less withdrawals
    fees_units: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class OrderState:
    id: int
    key: int  # that entered it
    account: int
    instrument: int
    side: int
    price: int
    rest: int
    filled: int = 0  # in its whole life
    client_order_id: int
    options: int
    self_trade_prevention: int
    maker_ppm: int
    taker_ppm: int
    priority: int = 0
    lock: int = 0  # quote units of a buy, base units of a sell
    maker_notional: int = 0  # since its present entry into the book
    taker_notional: int = 0  # since its present entry into the book
    order_type: int = OrderType.LIMIT
    time_in_force: int = TimeInForce.GOOD_TILL_CANCELLED
    amount_left: int = 0  # of a market_by_quote order: quote units still to spend or to receive
    place: int = DISPLAYED
    trigger: int = 0  # none from the moment it fires
    trigger_price: int = 0
    peak: int = 0
    offset: int = 0
    peg: int = 0
    term_options: int = 0
    display: int = 0  # of an iceberg: shown at a time
    reserve: int = 0  # of a resting iceberg: the part of its rest that it does not show
    expire_ns: int = 0
    linked: int = 0  # id of the order it is linked with


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A row of an instrument's table: from this price on, prices and quantities are multiples of these."""

    from_price: int
    tick: int
    lot: int


@dataclasses.dataclass(slots=True, kw_only=True)
class Trade:
    """A trade that is kept, as it is settled now."""

    number: int  # among all trades
    buyer: int
    seller: int
    price: int
    lots: int
    buyer_fee: int
    seller_fee: int
    busted: bool = False


@dataclasses.dataclass(slots=True, kw_only=True)
class InstrumentState:
    number: int
    name: bytes
    base: int
    quote: int
    maker_ppm: int
    taker_ppm: int
    trading_state: int
    base_units: int  # of a lot
    quote_units: int  # of a tick times a lot
    collar_ppm: int = 0
    quantity_min: int = 0
    quantity_max: int = 0
    notional_min: int = 0
    reference_price: int = 0
    last_trade_id: int = 0
    last_book_update_id: int = 0
    last_level3_id: int = 0
    last_top_id: int = 0
    static_price: int = 0  # what the breaker's levels lie around
    auction_ends_ns: int = 0
    checksum_update_id: int = 0  # the book update that the last checksum belonged to
    band_ppm: int = 0
    band_ms: int = 0
    breaker_levels: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * 3)  # (ppm, ms) of level 1, 2, 3
    levels: dict[int, dict[int, list[OrderState]]] = field(  # side: price: first come, first served
        default_factory=lambda: {Side.BUY: {}, Side.SELL: {}}
    )
    hidden: dict[int, dict[int, list[OrderState]]] = field(  # like levels
        default_factory=lambda: {Side.BUY: {}, Side.SELL: {}}
    )
    tiers: dict[int, tuple[int, int]] = field(default_factory=dict)  # tier: maker's and taker's rate
    steps: list[Step] = field(default_factory=list)  # by rising price
    unlit: dict[int, list[OrderState]] = field(default_factory=lambda: {Side.BUY: [], Side.SELL: []})
    waiting: list[OrderState] = field(default_factory=list)  # in time priority


@dataclasses.dataclass(slots=True, kw_only=True)
class AccountState:
    firm: int
    fee_tier: int = 0
    halted: bool = False
    open_orders_max: int = 0
    order_rate_max: int = 0
    order_rate_window_ms: int = 0
    notional_max: int = 0
    position_max: int = 0
    quantity_max: int = 0
    rate_window: int = 0
    rate_count: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class KeyState:
    last_client_sequence: int = 0
    last_report_number: int = 0
    session: int = 0
    live: bool = False
    account: int = 0
    options: int = 0
    deadline_ns: int = 0  # of its countdown; 0: none
    countdown_account: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class Balance:
    free: int = 0
    locked: int = 0
    floor: int = 0  # zero, or how far below it free may go


@dataclasses.dataclass(slots=True, kw_only=True)
class Position:
    rank: int  # in its account, from 1: in the order of creation
    lots: int = 0
    open_buy: int = 0
    open_sell: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class State:
    options: Options
    sequence: int = 0
    received_ns: int = 0
    term: int = 0
    everything_halted: bool = False
    nonce_window_ns: int = 0  # set by a term; 0: the option rules
    assets: dict[int, AssetState] = field(default_factory=dict)
    instruments: dict[int, InstrumentState] = field(default_factory=dict)
    accounts: dict[int, AccountState] = field(default_factory=dict)
    keys: dict[int, KeyState] = field(default_factory=dict)
    orders: dict[int, OrderState] = field(default_factory=dict)  # open ones, by id
    balances: dict[tuple[int, int], Balance] = field(default_factory=dict)  # (account, asset)
    positions: dict[tuple[int, int], Position] = field(default_factory=dict)  # (account, instrument)
    trade_count: int = 0  # made in all
    trades: dict[tuple[int, int], Trade] = field(default_factory=dict)  # (instrument, id): the last ones, oldest first
    nonces: dict[bytes, int] = field(default_factory=dict)  # nonce: timestamp_ns, in order of arrival

    def nonce_window(self) -> int:
        return self.nonce_window_ns or self.options.nonce_window_ns

    def key(self, number: int) -> KeyState:
        return self.keys.setdefault(number, KeyState())

    def balance(self, account: int, asset: int) -> Balance:
        return self.balances.setdefault((account, asset), Balance())

    def accounts_of_firm(self, firm: int) -> list[int]:
        return sorted(number for number, account in self.accounts.items() if account.firm == firm)

    def orders_of(self, account: int) -> list[OrderState]:
        """The open orders of an account, by rising id."""
        return sorted((order for order in self.orders.values() if order.account == account), key=lambda order: order.id)

    def positions_of(self, account: int) -> list[tuple[int, Position]]:
        """(instrument, position) of an account, in the order of creation."""
        mine = [(instrument, position) for (owner, instrument), position in self.positions.items() if owner == account]
        return sorted(mine, key=lambda pair: pair[1].rank)
