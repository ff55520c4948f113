"""`ironbook order` and `ironbook cancel`: one signed command, and what became of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from ironbook import EventKind, OrderType, Outcome, Report, SelfTradePrevention, Side, TimeInForce, amount_text
from ironbook.cli._output import JsonOption, plural, show
from ironbook.cli._place import (
    DATA,
    TRADER_KEY,
    AddressOption,
    DataOption,
    KeyOption,
    Market,
    Names,
    connect,
    local_markets,
    open_replica,
)
from ironbook.cli._terms import TermWords, duration_ms, order_link, order_terms, price_ticks, quantity_lots, quote_units


class SideName(enum.StrEnum):
    BUY = "buy"
    SELL = "sell"


class TimeInForceName(enum.StrEnum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class PegName(enum.StrEnum):
    OWN_BEST = "own_best"
    OTHER_BEST = "other_best"
    MIDDLE = "middle"


class SelfTradeName(enum.StrEnum):
    NONE = "none"
    CANCEL_TAKER = "cancel_taker"
    CANCEL_MAKER = "cancel_maker"
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"


_TIME_IN_FORCE = {
    TimeInForceName.GTC: TimeInForce.GOOD_TILL_CANCELLED,
    TimeInForceName.IOC: TimeInForce.IMMEDIATE_OR_CANCEL,
    TimeInForceName.FOK: TimeInForce.FILL_OR_KILL,
}
RAW_HELP = "SYMBOL is an instrument's number, QUANTITY lots, prices ticks: needs no replica of the engine's data here."
AccountOption = Annotated[int | None, typer.Option(help="Account; default: the key's own.")]
RawOption = Annotated[bool, typer.Option("--raw", help=RAW_HELP)]


def order(
    side: Annotated[SideName, typer.Argument(show_default=False)],
    quantity: Annotated[str, typer.Argument(help="Decimal quantity of the base asset.", show_default=False)],
    symbol: Annotated[str, typer.Argument(help="Symbol or number.", show_default=False)],
    price: Annotated[str | None, typer.Option("--price", "-p", help="Limit price; without it a market order.")] = None,
    cap: Annotated[str | None, typer.Option(help="Price cap of a market order; default: the collar's.")] = None,
    tif: Annotated[TimeInForceName | None, typer.Option(help="Default: gtc for limit, ioc for market orders.")] = None,
    post_only: Annotated[bool, typer.Option("--post-only", help="Refuse it if it would trade at once.")] = False,
    self_trade: Annotated[
        SelfTradeName, typer.Option(help="What to do when it meets the account's own order.")
    ] = SelfTradeName.CANCEL_TAKER,
    client_order_id: Annotated[int, typer.Option("--client-order-id", help="Your own number; 0: none.")] = 0,
    stop: Annotated[str | None, typer.Option(help="Wait until the last price is here or worse.")] = None,
    take_profit: Annotated[str | None, typer.Option(help="Wait until the last price is here or better.")] = None,
    trail: Annotated[str | None, typer.Option(help="Wait until the price turns by this much.")] = None,
    display: Annotated[str | None, typer.Option(help="Iceberg: show this much at a time.")] = None,
    hidden: Annotated[bool, typer.Option("--hidden", help="Rest without being shown.")] = False,
    all_or_none: Annotated[bool, typer.Option("--all-or-none", help="Fill it whole, or not at all.")] = False,
    minimum: Annotated[str | None, typer.Option(help="Refuse it unless this much trades at once.")] = None,
    peg: Annotated[PegName | None, typer.Option(help="Follow the best prices; --price is its limit.")] = None,
    offset: Annotated[str | None, typer.Option(help="With --peg: added to what it follows; may be negative.")] = None,
    expire: Annotated[str | None, typer.Option(help="Cancel it after 90s, 2h, ... or at a moment.")] = None,
    day: Annotated[bool, typer.Option("--day", help="Cancel it when the instrument closes.")] = False,
    one_cancels: Annotated[int, typer.Option(help="Id of an open order: only one of the two is to trade.")] = 0,
    instead_of: Annotated[int, typer.Option(help="Id of an open order to cancel first.")] = 0,
    by_quote: Annotated[
        bool, typer.Option("--by-quote", help="QUANTITY is an amount of the quote asset to spend or receive.")
    ] = False,
    account: AccountOption = None,
    raw: RawOption = False,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Enter an order and show what became of it.

    Examples:

      ironbook order buy 0.2 BTC/USD --price 60010

      ironbook order sell 1 ETH/USD --tif ioc --price 2990 --key demo-2

      ironbook order buy 0.1 BTC/USD                 (market, capped by the collar)

      ironbook order buy 500 BTC/USD --by-quote      (spend 500 USD)

      ironbook order sell 0.2 BTC/USD --stop 59000 --one-cancels 1042

      ironbook order sell 5 BTC/USD -p 60100 --display 0.5 --expire 2h
    """
    number, found = _instrument(data, symbol, raw)
    units = found.units if found else None
    kind = _order_type(price, by_quote)
    market = kind is not OrderType.LIMIT
    words = TermWords(
        stop=stop, take_profit=take_profit, trail=trail, display=display, minimum=minimum, offset=offset, expire=expire,
        peg=peg.value if peg else None, has_price=price is not None, hidden=hidden, all_or_none=all_or_none, day=day,
    )  # fmt: skip
    terms, link = order_terms(words, units), order_link(one_cancels, instead_of)
    with connect(data, address, key, TRADER_KEY) as client:
        outcome = client.submit(
            number,
            Side[side.name],
            price_ticks(cap if market else price, units),
            quote_units(quantity, units) if by_quote else quantity_lots(quantity, units),
            account=account,
            client_order_id=client_order_id,
            order_type=kind,
            time_in_force=_TIME_IN_FORCE[tif or (TimeInForceName.IOC if market else TimeInForceName.GTC)],
            self_trade_prevention=SelfTradePrevention[self_trade.name],
            post_only=post_only,
            terms=terms,
            link=link,
        )
    outcome.raise_if_rejected()
    show_outcome(json, outcome, {number: found} if found else {})


def _order_type(price: str | None, by_quote: bool) -> OrderType:
    if price is None:
        return OrderType.MARKET_BY_QUOTE if by_quote else OrderType.MARKET
    if by_quote:
        raise typer.BadParameter("--by-quote makes a market order: give --cap instead of --price")
    return OrderType.LIMIT


def cancel(
    symbol: Annotated[str, typer.Argument(help="Symbol or number; with --all it may be `all`.", show_default=False)],
    order_id: Annotated[int, typer.Argument(help="The order's id.", show_default=False)] = 0,
    by_client_order_id: Annotated[int, typer.Option("--client-order-id", help="Name the order by your number.")] = 0,
    everything: Annotated[bool, typer.Option("--all", help="All open orders of the account in this symbol.")] = False,
    side: Annotated[SideName | None, typer.Option(help="With --all: one side only.")] = None,
    account: AccountOption = None,
    raw: RawOption = False,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Cancel one order, or all of an account.

    Examples:

      ironbook cancel BTC/USD 1042

      ironbook cancel BTC/USD --client-order-id 7

      ironbook cancel all --all
    """
    if sum((bool(order_id), bool(by_client_order_id), everything)) != 1:
        raise typer.BadParameter("name one order (ORDER_ID or --client-order-id), or give --all")
    if symbol == "all" and everything:
        number, markets = 0, {} if raw else local_markets(data, address)
    else:
        number, found = _instrument(data, symbol, raw)
        markets = {number: found} if found else {}
    with connect(data, address, key, TRADER_KEY) as client:
        if everything:
            outcome = client.mass_cancel(number, side=Side[side.name] if side else 0, account=account)
        else:
            outcome = client.cancel(number, order_id, target_client_order_id=by_client_order_id, account=account)
    outcome.raise_if_rejected()
    show_outcome(json, outcome, markets)


def countdown(
    time: Annotated[str, typer.Argument(help="30s, 500ms, 5m; 0 switches it off.", show_default=False)],
    account: AccountOption = None,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Dead man's switch: unless sent again in time, all open orders that this key entered are cancelled.

    Example:  ironbook countdown 30s
    """
    with connect(data, address, key, TRADER_KEY) as client:
        outcome = client.countdown_cancel(duration_ms(time), account=account)
    outcome.raise_if_rejected()
    show_outcome(json, outcome, {})


def _instrument(data: Any, symbol: str, raw: bool) -> tuple[int, Market | None]:
    if raw:
        if not symbol.isdecimal():
            raise typer.BadParameter(f"with --raw SYMBOL must be an instrument's number, was {symbol!r}")
        return int(symbol), None
    with open_replica(data) as replica:
        names = Names(replica.core)
        found = names.instrument(symbol)
        return int(found["instrument"]), names.market(found)


def show_outcome(as_json: bool, outcome: Outcome, markets: Mapping[int, Market]) -> None:
    """The answer and every report behind it. A command to every instrument (0) has the symbol in each line."""
    named = len(markets) > 1

    def render(console: Any) -> None:
        for report in outcome.reports:
            console.print(report_line(report, markets.get(report.instrument), named=named), soft_wrap=True)

    said = outcome.to_json()
    for report, fields in zip(outcome.reports, said["reports"], strict=True):
        market = markets.get(report.instrument)
        if market is not None:
            fields |= {"price": market.units.price_text(report.price_ticks), "quantity": _quantity(report, market)}
    show(as_json, said, render)


_COLOUR = {
    EventKind.ACCEPTED: "cyan",
    EventKind.REJECTED: "red",
    EventKind.FILLED: "green",
    EventKind.CANCELLED: "yellow",
    EventKind.REPLACED: "magenta",
    EventKind.APPLIED: "blue",
    EventKind.TRIGGERED: "cyan",
}


def report_line(report: Report, market: Market | None, *, named: bool = False) -> str:
    """One report for people: in decimals where the market is known, else in ticks, lots and units.

    named  with the symbol
    """
    kind = report.kind
    parts = [f"[{_COLOUR[kind]}]{kind.name.lower():<9}[/]"]
    if kind is EventKind.APPLIED:
        parts.append(f"{plural(report.quantity_lots, 'order')} cancelled" if report.quantity_lots else "done")
        return " ".join(parts)
    if report.order_id:
        parts.append(f"order {report.order_id}")
    if report.client_order_id:
        parts.append(f"[dim](yours: {report.client_order_id})[/]")
    if named and market is not None:
        parts.append(escape(market.symbol))
    if report.price_ticks or report.quantity_lots:  # a refused deposit has neither
        price = market.units.price_text(report.price_ticks) if market else f"{report.price_ticks} ticks"
        parts.append(f"{report.side.name.lower()} {_quantity(report, market)} @ {price}")
    if kind is EventKind.FILLED:
        parts.append("auction" if report.auction else "maker" if report.maker else "taker")
        parts.append(f"[dim]trade {report.reference}, fee {_fee(report, market)}[/]")
    if report.code:
        parts.append(f"[dim]{escape(report.code.name.lower())}: {escape(report.text)}[/]")
    if report.done:
        parts.append("[bold]done[/]")
    elif report.remaining_lots:
        rest = market.units.quantity_text(report.remaining_lots) if market else f"{report.remaining_lots} lots"
        parts.append(f"[dim]open {rest}[/]")
    return " ".join(parts)


def _quantity(report: Report, market: Market | None) -> str:
    return market.units.quantity_text(report.quantity_lots) if market else f"{report.quantity_lots} lots"


def _fee(report: Report, market: Market | None) -> str:
    if market is None:
        return f"{report.amount_units} units"
    return f"{amount_text(report.amount_units, market.units.quote_decimals)} {escape(market.quote)}"
