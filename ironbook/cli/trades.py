"""`ironbook trades`: the trades that are still kept; undoing or mending one needs an admin key."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ironbook import InputInvalid, amount_text
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
from ironbook.cli.accounts import applied

app = typer.Typer(
    help="The last trades; busting and correcting them needs an admin key.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
Symbol = Annotated[str, typer.Argument(help="Symbol or number.", show_default=False)]
TradeId = Annotated[int, typer.Argument(help="Trade id, of this instrument.", min=1, show_default=False)]


@app.command("list")
def list_trades(
    symbol: Symbol,
    count: Annotated[int, typer.Option(help="How many, the newest first.", min=1)] = 20,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """The last trades of an instrument as they are settled now, the newest first.

    Example:  ironbook trades list BTC/USD --count 5
    """
    with open_replica(data) as replica:
        names = Names(replica.core)
        found = names.instrument(symbol)
        last = int(found["trade_id"])
        trades = [_trade(names, found, trade_id) for trade_id in range(last, max(last - count, 0), -1)]
        running = note_engine(data, replica.core, json)
    kept = [trade for trade in trades if trade is not None]
    columns = ("trade", "quantity", "price", "buyer", "seller", "buyer_fee", "seller_fee", "state")
    listed = table("", columns, ([t[c] for c in columns] for t in kept), right=columns[:-1])
    show(json, {"trades": kept, "engine_running": running}, lambda console: console.print(listed))


@app.command("bust")
def bust(
    symbol: Symbol,
    trade_id: TradeId,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Undo a trade: money, base, fees and positions go back.

    Example:  ironbook trades bust BTC/USD 1042
    """
    with open_replica(data) as replica:
        found = Names(replica.core).instrument(symbol)
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.bust_trade(int(found["instrument"]), trade_id)
        applied(json, f"trade {trade_id} of {found['name']} busted", outcome)


@app.command("correct")
def correct(
    symbol: Symbol,
    trade_id: TradeId,
    price: Annotated[str | None, typer.Option("--price", "-p", help="The price that rules instead.")] = None,
    quantity: Annotated[str | None, typer.Option("--quantity", "-q", help="The lower quantity that rules.")] = None,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Settle a trade again at another price, a lower quantity, or both; what is not given stays.

    Example:  ironbook trades correct BTC/USD 1042 --price 60010
    """
    with open_replica(data) as replica:
        names = Names(replica.core)
        found = names.instrument(symbol)
        units = names.units(found)
        number = int(found["instrument"])
        trade = replica.core.trade(number, trade_id)
    if trade is None:
        raise InputInvalid(
            f"a trade must still be kept to be corrected, {trade_id} of {found['name']} is not",
            hint=f"`ironbook trades list {found['name']}` shows the last ones",
        )
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.correct_trade(
            number,
            trade_id,
            price_ticks=trade["price_ticks"] if price is None else units.price_ticks(price),
            quantity_lots=trade["quantity_lots"] if quantity is None else units.quantity_lots(quantity),
        )
        applied(json, f"trade {trade_id} of {found['name']} corrected", outcome)


def _trade(names: Names, instrument: dict[str, Any], trade_id: int) -> dict[str, Any] | None:
    trade = names.core.trade(int(instrument["instrument"]), trade_id)
    if trade is None:
        return None
    units, quote = names.units(instrument), names.assets[instrument["quote_asset"]]
    decimals = int(quote["decimals"])
    return {
        "trade": trade_id,
        "quantity": units.quantity_text(trade["quantity_lots"]),
        "price": units.price_text(trade["price_ticks"]),
        "buyer": trade["buyer"],
        "seller": trade["seller"],
        "buyer_fee": amount_text(trade["buyer_fee_units"], decimals),
        "seller_fee": amount_text(trade["seller_fee_units"], decimals),
        "state": "busted" if trade["busted"] else "settled",
    }
