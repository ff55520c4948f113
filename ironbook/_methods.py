"""One method for each command, the same for the synchronous client, the asyncio client and a batch.

Each packs its command and hands the group of prefixes and command to `_do`, which waits for the outcome, gives
something to await, or collects it.
"""

from __future__ import annotations

import abc
from typing import Generic, TypeVar

from ironbook._commands import Command, Prefixed, pack, pack_cancel, pack_order
from schemas.vocabulary import (
    Account,
    AccountLimits,
    Asset,
    Deposit,
    Halt,
    HaltAction,
    HaltScope,
    Instrument,
    InstrumentLimits,
    MassCancel,
    Nonce,
    OrderType,
    Replace,
    SelfTradePrevention,
    TimeInForce,
    TradingState,
    Withdrawal,
)

Result = TypeVar("Result", covariant=True)

_LIMIT, _GTC = OrderType.LIMIT, TimeInForce.GOOD_TILL_CANCELLED
_CANCEL_TAKER = SelfTradePrevention.CANCEL_TAKER


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
        """Any command. `text`: a name or a long client order id; `nonce`: of delegates only."""
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
        timeout_s: float | None = None,
    ) -> Result:
        """Enter an order. price_ticks of a market order is its cap, 0 for the collar's."""
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
        return self._do((packed,), timeout_s)

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

    def define_account(self, account: int, firm: int = 0, *, timeout_s: float | None = None) -> Result:
        """Define an account, or change its firm; firm 0 is itself."""
        return self._do(pack(Account(account=account, firm=firm)), timeout_s)

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

    def halt(
        self, *, instrument: int | None = None, account: int | None = None, timeout_s: float | None = None
    ) -> Result:
        """Halt an instrument, an account, or (with neither) everything. Cancels are taken while halted."""
        return self._do(pack(_halt(HaltAction.HALT, instrument, account)), timeout_s)

    def resume(
        self, *, instrument: int | None = None, account: int | None = None, timeout_s: float | None = None
    ) -> Result:
        """Resume an instrument, an account, or (with neither) everything."""
        return self._do(pack(_halt(HaltAction.RESUME, instrument, account)), timeout_s)


def _halt(action: HaltAction, instrument: int | None, account: int | None) -> Halt:
    if instrument is not None:
        return Halt(target=instrument, scope=HaltScope.INSTRUMENT, action=action)
    if account is not None:
        return Halt(target=account, scope=HaltScope.ACCOUNT, action=action)
    return Halt(target=0, scope=HaltScope.EVERYTHING, action=action)
