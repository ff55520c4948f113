"""One method for each command, the same for the synchronous client, the asyncio client and a batch.

Each packs its command and hands the group of prefixes and command to `_do`, which waits for the outcome, gives
something to await, or collects it.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Generic, TypeVar

from ironbook._commands import Command, Prefixed, pack, pack_cancel, pack_one, pack_order
from ironbook._errors import InputInvalid
from schemas.vocabulary import (
    Account,
    AccountLimits,
    Asset,
    BalanceFloor,
    CircuitBreaker,
    CountdownCancel,
    Deposit,
    FeePayout,
    FeeTier,
    Halt,
    HaltAction,
    HaltScope,
    Instrument,
    InstrumentLimits,
    InstrumentState,
    MassCancel,
    Nonce,
    OrderLink,
    OrderTerms,
    OrderType,
    PriceStep,
    Replace,
    SelfTradePrevention,
    TimeInForce,
    TradeBust,
    TradeCorrection,
    TradingState,
    Withdrawal,
)

Result = TypeVar("Result", covariant=True)

_LIMIT, _GTC = OrderType.LIMIT, TimeInForce.GOOD_TILL_CANCELLED
_CANCEL_TAKER = SelfTradePrevention.CANCEL_TAKER
_BREAKER_LEVEL_COUNT = 3


class CommandMethods(abc.ABC, Generic[Result]):
    """Commands as methods. Prices in ticks, quantities in lots, amounts in units of the asset, rates in millionths.

    `account` None is the key's own account. `timeout_s` None is Options.request_timeout_s. A rejected command is no
    error here: see `Outcome.rejected` and `Outcome.raise_if_rejected`.
    """

    @abc.abstractmethod
    def _do(self, group: tuple[bytes, ...], timeout_s: float | None) -> Result:
        """Carry out a group of prefixes and the command that closes it."""

    @property
    @abc.abstractmethod
    def account(self) -> int:
        """The key's own account."""

    def request(
        self,
        command: Command | Prefixed,
        *,
        text: str = "",
        nonce: Nonce | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Any command. `text`: a name or a long client order id; `nonce`: of delegates only. See also Prefixed."""
        return self._do(pack(command, text, nonce), timeout_s)

    def submit(
        self,
        instrument: int,
        side: int,
        price_ticks: int,
        quantity_lots: int,
        *,
        account: int | None = None,
        client_order_id: int = 0,
        order_type: int = _LIMIT,
        time_in_force: int = _GTC,
        self_trade_prevention: int = _CANCEL_TAKER,
        post_only: bool = False,
        terms: OrderTerms | None = None,
        link: OrderLink | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Enter an order. price_ticks of a market order is its cap, 0 for the collar's.

        quantity_lots of a market_by_quote order is an amount, in quote units.
        terms   a trigger (stop, take-profit, trailing), a display quantity, a minimum, an expiry, a peg, ...
        link    an open order to cancel first, or of which and this one only one is to trade
        """
        packed = pack_order(
            self.account if account is None else account,
            instrument,
            side,
            price_ticks,
            quantity_lots,
            client_order_id,
            order_type,
            time_in_force,
            self_trade_prevention,
            post_only,
        )
        prefixes = tuple(pack_one(prefix) for prefix in (terms, link) if prefix is not None)
        return self._do((*prefixes, packed), timeout_s)

    def cancel(
        self,
        instrument: int,
        order_id: int = 0,
        *,
        target_client_order_id: int = 0,
        account: int | None = None,
        client_order_id: int = 0,
        timeout_s: float | None = None,
    ) -> Result:
        """Cancel one open order, named by its id or by the client's own number."""
        own = self.account if account is None else account
        packed = pack_cancel(own, instrument, order_id, target_client_order_id, client_order_id)
        return self._do((packed,), timeout_s)

    def replace(
        self,
        instrument: int,
        order_id: int = 0,
        *,
        price_ticks: int,
        quantity_lots: int,
        target_client_order_id: int = 0,
        account: int | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Give an open order a new price and a new total quantity (what has filled included)."""
        command = Replace(
            account=self.account if account is None else account,
            instrument=instrument,
            order_id=order_id,
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
            target_client_order_id=target_client_order_id,
        )
        return self._do(pack(command), timeout_s)

    def mass_cancel(
        self,
        instrument: int = 0,
        *,
        side: int = 0,
        account: int | None = None,
        client_order_id: int = 0,
        timeout_s: float | None = None,
    ) -> Result:
        """Cancel all open orders of an account: in one instrument or in all (0), on one side or on both (0)."""
        command = MassCancel(
            account=self.account if account is None else account,
            instrument=instrument,
            side=side,
            client_order_id=client_order_id,
        )
        return self._do(pack(command), timeout_s)

    def countdown_cancel(
        self, timeout_ms: int, *, account: int | None = None, client_order_id: int = 0, timeout_s: float | None = None
    ) -> Result:
        """Dead man's switch: unless this is sent again within timeout_ms, all open orders that this key entered in the
        account are cancelled. 0 switches it off.
        """
        own = self.account if account is None else account
        command = CountdownCancel(account=own, timeout_ms=timeout_ms, client_order_id=client_order_id)
        return self._do(pack(command), timeout_s)

    # ---- For keys with the permission `admin` -----------------------------------------------------------------------

    def define_asset(self, asset: int, name: str, decimals: int, *, timeout_s: float | None = None) -> Result:
        """Define an asset: 1.0 of it is 10^decimals units."""
        return self._do(pack(Asset(asset=asset, decimals=decimals), name), timeout_s)

    def define_instrument(
        self,
        instrument: int,
        symbol: str,
        *,
        base_asset: int,
        quote_asset: int,
        base_units_per_lot: int,
        quote_units_per_tick_lot: int,
        maker_fee_ppm: int = 0,
        taker_fee_ppm: int = 0,
        trading_state: int = TradingState.OPEN,
        timeout_s: float | None = None,
    ) -> Result:
        """Define an instrument, or change its fees and symbol."""
        command = Instrument(
            instrument=instrument,
            base_asset=base_asset,
            quote_asset=quote_asset,
            maker_fee_ppm=maker_fee_ppm,
            taker_fee_ppm=taker_fee_ppm,
            trading_state=trading_state,
            base_units_per_lot=base_units_per_lot,
            quote_units_per_tick_lot=quote_units_per_tick_lot,
        )
        return self._do(pack(command, symbol), timeout_s)

    def set_instrument_limits(
        self,
        instrument: int,
        *,
        collar_ppm: int = 0,
        quantity_lots_min: int = 0,
        quantity_lots_max: int = 0,
        notional_units_min: int = 0,
        reference_price_ticks: int = 0,
        timeout_s: float | None = None,
    ) -> Result:
        """Set all limits of an instrument; 0 is no limit. reference_price_ticks 0 leaves the reference price."""
        command = InstrumentLimits(
            instrument=instrument,
            collar_ppm=collar_ppm,
            quantity_lots_min=quantity_lots_min,
            quantity_lots_max=quantity_lots_max,
            notional_units_min=notional_units_min,
            reference_price_ticks=reference_price_ticks,
        )
        return self._do(pack(command), timeout_s)

    def define_account(
        self, account: int, firm: int = 0, *, fee_tier: int = 0, timeout_s: float | None = None
    ) -> Result:
        """Define an account, of a firm for good (0: itself), or change its fee tier (0: the instrument's own rates)."""
        return self._do(pack(Account(account=account, firm=firm, fee_tier=fee_tier)), timeout_s)

    def set_account_limits(
        self,
        account: int,
        *,
        open_orders_max: int = 0,
        order_rate_max: int = 0,
        order_rate_window_ms: int = 0,
        notional_units_max: int = 0,
        position_lots_max: int = 0,
        quantity_lots_max: int = 0,
        timeout_s: float | None = None,
    ) -> Result:
        """Set all limits of an account; 0 is no limit."""
        command = AccountLimits(
            account=account,
            open_orders_max=open_orders_max,
            order_rate_max=order_rate_max,
            order_rate_window_ms=order_rate_window_ms,
            notional_units_max=notional_units_max,
            position_lots_max=position_lots_max,
            quantity_lots_max=quantity_lots_max,
        )
        return self._do(pack(command), timeout_s)

    def deposit(
        self, account: int, asset: int, amount_units: int, *, reference: int = 0, timeout_s: float | None = None
    ) -> Result:
        """Credit an account. `reference`: your own number, echoed."""
        command = Deposit(account=account, asset=asset, amount_units=amount_units, reference=reference)
        return self._do(pack(command), timeout_s)

    def withdraw(
        self, account: int, asset: int, amount_units: int, *, reference: int = 0, timeout_s: float | None = None
    ) -> Result:
        """Debit an account's free balance."""
        command = Withdrawal(account=account, asset=asset, amount_units=amount_units, reference=reference)
        return self._do(pack(command), timeout_s)

    def pay_out_fees(
        self, account: int, asset: int, amount_units: int, *, reference: int = 0, timeout_s: float | None = None
    ) -> Result:
        """Move fees collected in an asset to an account."""
        command = FeePayout(account=account, asset=asset, amount_units=amount_units, reference=reference)
        return self._do(pack(command), timeout_s)

    def set_balance_floor(
        self, account: int, asset: int, floor_units: int, *, timeout_s: float | None = None
    ) -> Result:
        """How far below zero trading may bring an account's free balance: margin, short selling. 0 or below."""
        return self._do(pack(BalanceFloor(account=account, asset=asset, floor_units=floor_units)), timeout_s)

    def set_fee_tier(
        self, instrument: int, tier: int, *, maker_fee_ppm: int, taker_fee_ppm: int, timeout_s: float | None = None
    ) -> Result:
        """Rates of a fee tier in an instrument, for orders that enter from now on."""
        command = FeeTier(instrument=instrument, tier=tier, maker_fee_ppm=maker_fee_ppm, taker_fee_ppm=taker_fee_ppm)
        return self._do(pack(command), timeout_s)

    def set_price_step(
        self,
        instrument: int,
        step: int,
        *,
        from_price_ticks: int = 0,
        tick_multiple: int = 0,
        lot_multiple: int = 0,
        timeout_s: float | None = None,
    ) -> Result:
        """One row of an instrument's table, from 0 by rising price: from there on prices and quantities are multiples.

        tick_multiple 0 takes out this row and all behind it.
        """
        command = PriceStep(
            instrument=instrument,
            step=step,
            from_price_ticks=from_price_ticks,
            tick_multiple=tick_multiple,
            lot_multiple=lot_multiple,
        )
        return self._do(pack(command), timeout_s)

    def bust_trade(self, instrument: int, trade_id: int, *, timeout_s: float | None = None) -> Result:
        """Undo one of the last trades: money, base, fees and positions go back."""
        return self._do(pack(TradeBust(instrument=instrument, trade_id=trade_id)), timeout_s)

    def correct_trade(
        self,
        instrument: int,
        trade_id: int,
        *,
        price_ticks: int,
        quantity_lots: int,
        timeout_s: float | None = None,
    ) -> Result:
        """Settle one of the last trades again, at another price or a lower quantity."""
        command = TradeCorrection(
            instrument=instrument, trade_id=trade_id, price_ticks=price_ticks, quantity_lots=quantity_lots
        )
        return self._do(pack(command), timeout_s)

    def halt(
        self,
        *,
        instrument: int | None = None,
        account: int | None = None,
        firm: int | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Halt an instrument, an account, a firm's accounts, or (with none) everything. Cancels are still taken."""
        return self._do(pack(_halt(HaltAction.HALT, instrument, account, firm)), timeout_s)

    def resume(
        self,
        *,
        instrument: int | None = None,
        account: int | None = None,
        firm: int | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Resume an instrument, an account, a firm's accounts, or (with none) everything."""
        return self._do(pack(_halt(HaltAction.RESUME, instrument, account, firm)), timeout_s)

    def kill(
        self,
        *,
        instrument: int | None = None,
        account: int | None = None,
        firm: int | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Halt, and cancel every open order of an instrument, an account, a firm, or (with none) of everything."""
        return self._do(pack(_halt(HaltAction.KILL, instrument, account, firm)), timeout_s)

    def set_instrument_state(
        self,
        instrument: int,
        trading_state: int,
        *,
        auction_ends_ns: int = 0,
        static_price_ticks: int = 0,
        timeout_s: float | None = None,
    ) -> Result:
        """Move an instrument to a trading state; into `open` its book is uncrossed first.

        auction_ends_ns      of pre_open and auction: when it opens by itself; 0: by a command only
        static_price_ticks   sets the reference of the circuit breaker's levels; 0 leaves it
        """
        command = InstrumentState(
            instrument=instrument,
            trading_state=trading_state,
            auction_ends_ns=auction_ends_ns,
            static_price_ticks=static_price_ticks,
        )
        return self._do(pack(command), timeout_s)

    def set_circuit_breaker(
        self,
        instrument: int,
        *,
        band: tuple[int, int] = (0, 0),
        levels: Sequence[tuple[int, int]] = (),
        timeout_s: float | None = None,
    ) -> Result:
        """Set an instrument's price band and up to three breaker levels, each (ppm, ms of the auction that follows).

        The band is around the last trade's price, the levels are around the static price. ms 0 of a level: halted until
        resumed.
        """
        padded = [*levels, (0, 0), (0, 0), (0, 0)]
        if len(levels) > _BREAKER_LEVEL_COUNT:
            raise InputInvalid(f"a circuit breaker has at most {_BREAKER_LEVEL_COUNT} levels, was given {len(levels)}")
        command = CircuitBreaker(
            instrument=instrument,
            band_ppm=band[0],
            band_ms=band[1],
            level1_ppm=padded[0][0],
            level1_ms=padded[0][1],
            level2_ppm=padded[1][0],
            level2_ms=padded[1][1],
            level3_ppm=padded[2][0],
            level3_ms=padded[2][1],
        )
        return self._do(pack(command), timeout_s)


def _halt(action: HaltAction, instrument: int | None, account: int | None, firm: int | None) -> Halt:
    named = (
        (HaltScope.INSTRUMENT, instrument),
        (HaltScope.ACCOUNT, account),
        (HaltScope.FIRM, firm),
    )
    given = [(scope, target) for scope, target in named if target is not None]
    if len(given) > 1:
        raise InputInvalid("name one of instrument, account and firm, or none for everything")
    scope, target = given[0] if given else (HaltScope.EVERYTHING, 0)
    return Halt(target=target, scope=scope, action=action)
