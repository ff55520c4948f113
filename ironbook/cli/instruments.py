"""`ironbook instruments`: what can be traded, and (with an admin key) defining, limiting and halting it."""

from __future__ import annotations

import enum
from fractions import Fraction
from typing import Annotated, Any

import typer

from ironbook import DecimalInvalid, InputInvalid, Units, format_decimal, parse_decimal
from ironbook.cli._output import JsonOption, show, table
from ironbook.cli._place import (
    ADMIN_KEY,
    DATA,
    AddressOption,
    DataOption,
    KeyOption,
    Names,
    connect,
    note_engine,
    open_replica,
)
from ironbook.cli._terms import duration_ms, moment_ns
from ironbook.cli.accounts import applied
from schemas.vocabulary import TradingState

app = typer.Typer(
    help="Instruments: what can be traded; defining and halting them needs an admin key.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


ROW_PARTS = 3


class StateName(enum.StrEnum):
    OPEN = "open"
    HALTED = "halted"
    PRE_OPEN = "pre_open"
    AUCTION = "auction"
    CLOSED = "closed"


Symbol = Annotated[str, typer.Argument(help="Symbol or number.", show_default=False)]


@app.command("list")
def list_instruments(data: DataOption = DATA, json: JsonOption = False) -> None:
    """All instruments with their steps, fees and best prices.

    Example:  ironbook instruments list
    """
    with open_replica(data) as replica:
        names = Names(replica.core)
        found = [_instrument(names, instrument) for instrument in names.instruments.values()]
        running = note_engine(data, replica.core, json)
    columns = ("instrument", "symbol", "state", "tick", "lot", "bid", "ask", "reference", "maker_fee", "taker_fee")
    listed = table("", columns, ([i[c] for c in columns] for i in found), right=("instrument", *columns[3:]))
    show(json, {"instruments": found, "engine_running": running}, lambda console: console.print(listed))


@app.command("create")
def create(
    number: Annotated[int, typer.Argument(help="Instrument number.", min=1, show_default=False)],
    symbol: Annotated[str, typer.Argument(help="Symbol: A-Z a-z 0-9 . _ - /", show_default=False)],
    base: Annotated[str, typer.Option(help="Asset that is bought and sold: name or number.")],
    quote: Annotated[str, typer.Option(help="Asset that it is paid in: name or number.")],
    tick: Annotated[str, typer.Option(help="Price step.")] = "0.01",
    lot: Annotated[str, typer.Option(help="Quantity step.")] = "0.0001",
    maker_fee_ppm: Annotated[int, typer.Option(help="Millionths of the notional; below zero: a rebate.")] = 0,
    taker_fee_ppm: Annotated[int, typer.Option(help="Millionths of the notional.")] = 0,
    halted: Annotated[bool, typer.Option("--halted", help="Define it halted.")] = False,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Define an instrument, or change its fees and symbol.

    Example:  ironbook instruments create 3 ETH/BTC --base ETH --quote BTC --tick 0.00001 --lot 0.001
    """
    with open_replica(data) as replica:
        names = Names(replica.core)
        names.instrument_name_is_free(number, symbol)
        base_asset, quote_asset = names.asset(base), names.asset(quote)
    lot_size, tick_size = parse_decimal(lot, "a lot"), parse_decimal(tick, "a tick")
    base_units = lot_size * 10 ** int(base_asset["decimals"])
    quote_units = lot_size * tick_size * 10 ** int(quote_asset["decimals"])
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.define_instrument(
            number,
            symbol,
            base_asset=int(base_asset["asset"]),
            quote_asset=int(quote_asset["asset"]),
            base_units_per_lot=_units(base_units, f"a lot of {lot} {base_asset['name']}", base_asset),
            quote_units_per_tick_lot=_units(quote_units, f"a lot at one tick ({lot} × {tick})", quote_asset),
            maker_fee_ppm=maker_fee_ppm,
            taker_fee_ppm=taker_fee_ppm,
            trading_state=TradingState.HALTED if halted else TradingState.OPEN,
        )
        applied(json, f"instrument {number} ({symbol}) defined", outcome)


@app.command("limits")
def limits(
    symbol: Symbol,
    collar: Annotated[str, typer.Option(help="How far from the reference price an order may be, in percent.")] = "0",
    quantity_min: Annotated[str, typer.Option(help="Least quantity of an order.")] = "0",
    quantity_max: Annotated[str, typer.Option(help="Greatest quantity of an order.")] = "0",
    notional_units_min: Annotated[int, typer.Option(help="Least notional of an order, in quote units.")] = 0,
    reference: Annotated[str, typer.Option(help="Sets the reference price; 0 leaves it.")] = "0",
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Set all limits of an instrument at once; 0 is no limit.

    Example:  ironbook instruments limits BTC/USD --collar 10 --quantity-min 0.001 --reference 60000
    """
    with open_replica(data) as replica:
        names = Names(replica.core)
        found = names.instrument(symbol)
        units = names.units(found)
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.set_instrument_limits(
            int(found["instrument"]),
            collar_ppm=int(parse_decimal(collar, "a collar") * 10_000),
            quantity_lots_min=units.quantity_lots(quantity_min),
            quantity_lots_max=units.quantity_lots(quantity_max),
            notional_units_min=notional_units_min,
            reference_price_ticks=units.price_ticks(reference),
        )
        applied(json, f"limits of {found['name']} set", outcome)


@app.command("halt")
def halt(
    symbol: Annotated[str, typer.Argument(help="Symbol or number; `all` halts everything.", show_default=False)],
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Halt an instrument, or everything: orders are refused, cancels are taken.

    Example:  ironbook instruments halt BTC/USD
    """
    number = _target(data, symbol)
    with connect(data, address, key, ADMIN_KEY) as client:
        applied(json, f"{symbol} halted", client.halt(instrument=number))


@app.command("resume")
def resume(
    symbol: Annotated[str, typer.Argument(help="Symbol or number; `all` for everything.", show_default=False)],
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Open a halted instrument, or everything, again.

    Example:  ironbook instruments resume all
    """
    number = _target(data, symbol)
    with connect(data, address, key, ADMIN_KEY) as client:
        applied(json, f"{symbol} resumed", client.resume(instrument=number))


@app.command("kill")
def kill(
    symbol: Annotated[str, typer.Argument(help="Symbol or number; `all` for everything.", show_default=False)],
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Halt an instrument, or everything, and cancel every open order in it.

    Example:  ironbook instruments kill BTC/USD
    """
    number = _target(data, symbol)
    with connect(data, address, key, ADMIN_KEY) as client:
        applied(json, f"{symbol} halted, its open orders cancelled", client.kill(instrument=number))


@app.command("state")
def state(
    symbol: Symbol,
    to: Annotated[StateName, typer.Argument(help="Into open: the book is uncrossed first.", show_default=False)],
    lasting: Annotated[
        str | None, typer.Option("--for", help="Of pre_open and auction: open by itself after 90s, 5m, ...")
    ] = None,
    static: Annotated[str, typer.Option(help="Sets the reference of the breaker's levels; 0 leaves it.")] = "0",
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Move an instrument to another trading state.

    Examples:

      ironbook instruments state BTC/USD auction --for 60s

      ironbook instruments state BTC/USD closed
    """
    with open_replica(data) as replica:
        names = Names(replica.core)
        found = names.instrument(symbol)
        units = names.units(found)
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.set_instrument_state(
            int(found["instrument"]),
            TradingState[to.name],
            auction_ends_ns=moment_ns(lasting),
            static_price_ticks=units.price_ticks(static),
        )
        applied(json, f"{found['name']} is {to.value}", outcome)


@app.command("tier")
def tier(
    symbol: Symbol,
    number: Annotated[int, typer.Argument(help="Fee tier.", min=1, max=7, show_default=False)],
    maker_fee_ppm: Annotated[int, typer.Option(help="Millionths of the notional; below zero: a rebate.")],
    taker_fee_ppm: Annotated[int, typer.Option(help="Millionths of the notional.")],
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Set the rates of a fee tier, for orders that enter from now on.

    Example:  ironbook instruments tier BTC/USD 1 --maker-fee-ppm -20 --taker-fee-ppm 150
    """
    with open_replica(data) as replica:
        found = Names(replica.core).instrument(symbol)
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.set_fee_tier(
            int(found["instrument"]), number, maker_fee_ppm=maker_fee_ppm, taker_fee_ppm=taker_fee_ppm
        )
        applied(json, f"fee tier {number} of {found['name']} set", outcome)


@app.command("steps")
def steps(
    symbol: Symbol,
    row: Annotated[
        list[str] | None, typer.Option(help="PRICE:TICK:LOT, rising: from that price on, multiples of these.")
    ] = None,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Set the whole table of price steps of an instrument; without a row everything is a multiple.

    Example:  ironbook instruments steps BTC/USD --row 0:0.01:0.001 --row 10000:0.5:0.0001
    """
    with open_replica(data) as replica:
        names = Names(replica.core)
        found = names.instrument(symbol)
        units, number = names.units(found), int(found["instrument"])
    rows = [_row(text, units) for text in row or ()]
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.set_price_step(number, 0)
        for place, (price, tick, lot) in enumerate(rows):
            outcome.raise_if_rejected()
            outcome = client.set_price_step(number, place, from_price_ticks=price, tick_multiple=tick, lot_multiple=lot)
        applied(json, f"{len(rows)} price steps of {found['name']} set", outcome)


def _row(text: str, units: Units) -> tuple[int, int, int]:
    """PRICE:TICK:LOT in ticks and lots."""
    parts = text.split(":")
    if len(parts) != ROW_PARTS:
        raise typer.BadParameter(f"a row must be PRICE:TICK:LOT, as 10000:0.5:0.001, was {text!r}")
    return units.price_ticks(parts[0]), units.price_ticks(parts[1]), units.quantity_lots(parts[2])


@app.command("breaker")
def breaker(
    symbol: Symbol,
    band: Annotated[
        str | None, typer.Option(help="PERCENT:DURATION around the last price, as 2:30s; the auction lasts so long.")
    ] = None,
    level: Annotated[
        list[str] | None,
        typer.Option(help="PERCENT:DURATION around the static price, up to three, rising; 0 halts until resumed."),
    ] = None,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Set the whole circuit breaker of an instrument: what is not given is switched off.

    Example:  ironbook instruments breaker BTC/USD --band 2:30s --level 7:5m --level 13:15m --level 20:0
    """
    with open_replica(data) as replica:
        found = Names(replica.core).instrument(symbol)
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.set_circuit_breaker(
            int(found["instrument"]),
            band=_bound(band) if band else (0, 0),
            levels=[_bound(text) for text in level or ()],
        )
        applied(json, f"circuit breaker of {found['name']} set", outcome)


def _bound(text: str) -> tuple[int, int]:
    """PERCENT:DURATION as (ppm, ms)."""
    percent, colon, lasting = text.partition(":")
    if not colon:
        raise typer.BadParameter(f"a bound must be PERCENT:DURATION, as 2:30s, was {text!r}")
    return int(parse_decimal(percent, "a bound in percent") * 10_000), duration_ms(lasting)


def _target(data: Any, symbol: str) -> int | None:
    if symbol == "all":
        return None
    with open_replica(data) as replica:
        return int(Names(replica.core).instrument(symbol)["instrument"])


def _units(value: Fraction, what: str, asset: dict[str, Any]) -> int:
    if value.denominator != 1 or value < 1:
        raise InputInvalid(
            f"{what} must be whole units of {asset['name']} ({asset['decimals']} decimals), is {_text(value)} of them",
            hint="choose a larger tick or lot, or an asset with more decimals",
        )
    return value.numerator


def _text(value: Fraction) -> str:
    try:
        return format_decimal(value)
    except DecimalInvalid:
        return str(value)


def _instrument(names: Names, instrument: dict[str, Any]) -> dict[str, Any]:
    units, core, number = names.units(instrument), names.core, int(instrument["instrument"])
    bids, asks = core.levels(number, 1, 1), core.levels(number, 2, 1)
    reference = int(instrument["reference_price_ticks"])
    return {
        "instrument": number,
        "symbol": str(instrument["name"]),
        "base": str(names.assets[instrument["base_asset"]]["name"]),
        "quote": str(names.assets[instrument["quote_asset"]]["name"]),
        "state": TradingState(instrument["trading_state"]).name.lower(),
        "tick": units.tick_text,
        "lot": format_decimal(units.lot),
        "bid": units.price_text(bids[0][0]) if bids else "",
        "ask": units.price_text(asks[0][0]) if asks else "",
        "reference": units.price_text(reference) if reference else "",
        "maker_fee": f"{format_decimal(Fraction(instrument['maker_fee_ppm'], 10_000))} %",
        "taker_fee": f"{format_decimal(Fraction(instrument['taker_fee_ppm'], 10_000))} %",
        "collar_ppm": instrument["collar_ppm"],
        "quantity_lots_min": instrument["quantity_lots_min"],
        "quantity_lots_max": instrument["quantity_lots_max"],
        "notional_units_min": instrument["notional_units_min"],
        "last_trade_id": instrument["trade_id"],
    }
