"""/api/v1/risk: limits of the account and their use, halts, circuit breakers, alerts."""

from __future__ import annotations

from typing import Any, Final

from engine_node._engine import Core
from gateway import errors
from gateway.context import Gateway
from gateway.countdown import Countdowns
from gateway.errors import ApiError
from gateway.routing import Access, Call, Route
from gateway.v1 import shapes
from gateway.v1.account import bad_cursor
from gateway.v1.models import Alert, BreakerState, OrderRate, PageQuery, PositionUse, RiskState, Used
from gateway.v1.types import Page

__all__ = ["ROUTES"]

RATIO_DIGITS: Final = 6
WINDOW_MS: Final = 1_000  # of the engine, where none is set
ALERTS: Final = """
SELECT alert_id, code, action, scope, firm, account, symbol, limit_value, found_value, text, time_ns FROM alerts
WHERE (account = $1 OR (account = 0 AND firm = $2)) AND ($3::bigint IS NULL OR (time_ns, alert_id) < ($3, $4::text))
ORDER BY time_ns DESC, alert_id DESC LIMIT $5"""


def risk(call: Call) -> RiskState:
    """Limits of the account and what is used of them; halts and circuit breakers."""
    gateway, account = call.gateway, shapes.account_of(call)
    core = gateway.mirror.core
    told: Any = core.account(account)
    if told is None:
        raise ApiError(errors.ACCOUNT_HALTED, "The account must have been defined.", hint="an administrator defines it")
    in_10s, in_day = gateway.limits.used_orders(account, gateway.now_ns())
    settings = gateway.settings
    countdowns: Countdowns | None = gateway.shared.get(Countdowns)
    return RiskState(
        account=account,
        firm=told["firm"],
        halted=bool(told["halted"]),
        everything_halted=core.everything_halted(),
        fee_tier=told["fee_tier"],
        open_orders=Used(used=told["open_orders"], max=told["open_orders_max"] or None),
        order_rate=_order_rate(gateway, account, told),
        notional_units_max=told["notional_units_max"] or None,
        quantity_lots_max=told["quantity_lots_max"] or None,
        position_lots_max=told["position_lots_max"] or None,
        orders_10s=Used(used=in_10s, max=settings.orders_per_10s),
        orders_day=Used(used=in_day, max=settings.orders_per_day),
        countdown_ns=None if countdowns is None else countdowns.deadline_ns(account),
        positions=_uses(gateway, account, told["position_lots_max"]),
        breakers=_breakers(gateway, core),
    )


def _order_rate(gateway: Gateway, account: int, told: Any) -> OrderRate:
    """Orders entered in the engine's present window: windows begin at whole multiples of their length."""
    window_ms = told["order_rate_window_ms"] or WINDOW_MS
    window_ns = window_ms * 1_000_000
    since_ns = gateway.now_ns() // window_ns * window_ns
    used = 0
    for order in gateway.market.orders(account):
        if order.entered_ns < since_ns:
            break
        used += 1
    return OrderRate(used=used, max=told["order_rate_max"] or None, window_ms=window_ms)


def _uses(gateway: Gateway, account: int, most: int) -> list[PositionUse]:
    found = []
    for instrument in shapes.instruments(gateway):
        lots = gateway.mirror.core.position(account, instrument.number)
        if lots is None:
            continue
        position, buying, selling = lots
        reach = max(position + buying, selling - position, 0)
        found.append(
            PositionUse(
                symbol=instrument.symbol,
                position=instrument.quantity_text(position),
                open_buy=instrument.quantity_text(buying),
                open_sell=instrument.quantity_text(selling),
                max=instrument.quantity_text(most) if most else None,
                share=shapes.ratio_text(reach, most, RATIO_DIGITS),
            )
        )
    return found


def _breakers(gateway: Gateway, core: Core) -> list[BreakerState]:
    found = []
    for instrument in shapes.instruments(gateway):
        told: Any = core.instrument(instrument.number)
        reference = told["reference_price_ticks"]
        found.append(
            BreakerState(
                symbol=instrument.symbol,
                state=shapes.STATES[told["trading_state"]],
                auction_ends_ns=told["auction_ends_ns"] or None,
                reference_price=instrument.price_text(reference) if reference else None,
                collar_ppm=told["collar_ppm"],
                breaker=shapes.breaker(instrument, told),
            )
        )
    return found


async def alerts(call: Call) -> Page[Alert]:
    """Limits that were reached or warned of, of the account and of its firm, newest first."""
    gateway, asked, account = call.gateway, call.parameters, shapes.account_of(call)
    if gateway.history is None:
        raise ApiError(errors.HISTORY_AWAY, "Alerts are in the database, and this gateway has none.")
    told = gateway.mirror.core.account(account)
    firm = told["firm"] if told is not None else account
    time_ns, alert_id = place(asked.after)
    rows = await gateway.history.rows(ALERTS, account, firm, time_ns, alert_id, asked.limit)
    items = [
        Alert(**{name: row[name] for name in ALERT_FIELDS}, limit=row["limit_value"], found=row["found_value"])
        for row in rows
    ]
    return Page(items=items, next=f"{items[-1].time_ns}.{items[-1].alert_id}" if len(items) == asked.limit else None)


ALERT_FIELDS: Final = ("alert_id", "code", "action", "scope", "firm", "account", "symbol", "text", "time_ns")


def place(after: str | None) -> tuple[int | None, str]:
    """(time_ns, id) of a cursor. Raises ApiError."""
    if after is None:
        return None, ""
    time_ns, point, name = after.partition(".")
    if not (point and name and time_ns.isdecimal() and len(time_ns) <= 19 and int(time_ns) < 1 << 63):
        raise bad_cursor(after)
    return int(time_ns), name


def _route(path: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route(method="GET", path=path, handler=handler, summary=summary, tag="risk", access=Access.READ, **more)


ROUTES: Final = (
    _route("/api/v1/risk", risk, "Limits and their use, halts, circuit breakers.", returns=RiskState, weight=5),
    _route(
        "/api/v1/risk/alerts", alerts, "Alerts, newest first.",
        parameters=PageQuery, returns=Page[Alert], weight=10, problems=(errors.HISTORY_AWAY,),
    ),
)  # fmt: skip
