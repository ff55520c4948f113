"""`ironbook accounts`: what accounts hold, and (with an admin key) defining, funding, limiting and halting them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ironbook import Outcome, amount_text, amount_units
from ironbook.cli._output import JsonOption, plural, show, table
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
from schemas.vocabulary import Side

app = typer.Typer(
    help="Accounts: balances, positions, open orders; defining and funding them needs an admin key.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
Number = Annotated[int, typer.Argument(help="Account number.", min=1, show_default=False)]


@app.command("list")
def list_accounts(data: DataOption = DATA, json: JsonOption = False) -> None:
    """All accounts with their balances.

    Example:  ironbook accounts list --json
    """
    with open_replica(data) as replica:
        names = Names(replica.core)
        count = replica.core.options()["account_count_max"]
        accounts = [_account(names, number) for number in range(1, count) if replica.core.account(number) is not None]
        running = note_engine(data, replica.core, json)
    rows = (
        (a["account"], a["firm"], "halted" if a["halted"] else "open", a["open_orders"], _balances_text(a))
        for a in accounts
    )
    columns = ("account", "firm", "state", "open orders", "free (locked)")
    listed = table("", columns, rows, right=("account", "firm", "open orders"))
    show(json, {"accounts": accounts, "engine_running": running}, lambda console: console.print(listed))


@app.command("show")
def show_account(account: Number, data: DataOption = DATA, json: JsonOption = False) -> None:
    """One account: balances, positions, limits and open orders.

    Example:  ironbook accounts show 1
    """
    with open_replica(data) as replica:
        names = Names(replica.core)
        if replica.core.account(account) is None:
            raise typer.BadParameter(f"account {account} is not defined; `ironbook accounts list` shows all")
        found = _account(names, account) | {
            "positions": _positions(names, account),
            "orders": _orders(names, account),
            "engine_running": note_engine(data, replica.core, json),
        }
    show(json, found, lambda console: _render(console, found))


@app.command("create")
def create(
    account: Number,
    firm: Annotated[int, typer.Option(help="Its firm; 0: itself.")] = 0,
    fee_tier: Annotated[int, typer.Option(help="Its fee tier; 0: the instruments' own rates.", min=0, max=7)] = 0,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Define an account, of a firm for good, or change its fee tier.

    Example:  ironbook accounts create 7 --firm 3
    """
    with connect(data, address, key, ADMIN_KEY) as client:
        applied(json, f"account {account} defined", client.define_account(account, firm, fee_tier=fee_tier))


@app.command("limits")
def limits(
    account: Number,
    open_orders: Annotated[int, typer.Option(help="Most open orders.")] = 0,
    order_rate: Annotated[int, typer.Option(help="Most orders and replacements in a window.")] = 0,
    order_rate_window_ms: Annotated[int, typer.Option(help="Length of that window; 0: a second.")] = 0,
    notional_units: Annotated[int, typer.Option(help="Greatest notional of an order, in quote units.")] = 0,
    position_lots: Annotated[int, typer.Option(help="Greatest position in any instrument.")] = 0,
    quantity_lots: Annotated[int, typer.Option(help="Greatest quantity of an order.")] = 0,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Set all limits of an account at once; what is not given has no limit.

    Example:  ironbook accounts limits 1 --open-orders 500 --order-rate 1000
    """
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.set_account_limits(
            account,
            open_orders_max=open_orders,
            order_rate_max=order_rate,
            order_rate_window_ms=order_rate_window_ms,
            notional_units_max=notional_units,
            position_lots_max=position_lots,
            quantity_lots_max=quantity_lots,
        )
        applied(json, f"limits of account {account} set", outcome)


Asset = Annotated[str, typer.Argument(help="Asset: name or number.", show_default=False)]
Amount = Annotated[str, typer.Argument(help="Decimal amount, for example 1000.50.", show_default=False)]
Reference = Annotated[int, typer.Option(help="Your own number, echoed in the journal.")]


@app.command("deposit")
def deposit(
    account: Number,
    asset: Asset,
    amount: Amount,
    reference: Reference = 0,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Credit an account.

    Example:  ironbook accounts deposit 1 USD 2500.75
    """
    number, units = _amount(data, asset, amount)
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.deposit(account, number, units, reference=reference)
        applied(json, f"{amount} {asset} credited to account {account}", outcome)


@app.command("withdraw")
def withdraw(
    account: Number,
    asset: Asset,
    amount: Amount,
    reference: Reference = 0,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Debit an account's free balance.

    Example:  ironbook accounts withdraw 1 USD 100
    """
    number, units = _amount(data, asset, amount)
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.withdraw(account, number, units, reference=reference)
        applied(json, f"{amount} {asset} debited from account {account}", outcome)


@app.command("floor")
def floor(
    account: Number,
    asset: Asset,
    below: Annotated[str, typer.Argument(help="How far below zero, for example 5000; 0: not at all.")],
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """How far below zero trading may bring a balance: margin, short selling.

    Example:  ironbook accounts floor 1 USD 5000
    """
    number, units = _amount(data, asset, below)
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.set_balance_floor(account, number, -units)
        applied(json, f"account {account} may be {below} {asset} below zero", outcome)


@app.command("pay-fees")
def pay_fees(
    account: Number,
    asset: Asset,
    amount: Amount,
    reference: Reference = 0,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Move fees collected in an asset to an account.

    Example:  ironbook accounts pay-fees 9 USD 12.50
    """
    number, units = _amount(data, asset, amount)
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.pay_out_fees(account, number, units, reference=reference)
        applied(json, f"{amount} {asset} of fees moved to account {account}", outcome)


Firm = Annotated[bool, typer.Option("--firm", help="NUMBER is a firm: all accounts of it.")]


@app.command("halt")
def halt(
    number: Number,
    firm: Firm = False,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Halt an account, or a firm's: orders are refused, cancels are taken.

    Example:  ironbook accounts halt 1
    """
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.halt(firm=number) if firm else client.halt(account=number)
        applied(json, f"{_whose(number, firm)} halted", outcome)


@app.command("resume")
def resume(
    number: Number,
    firm: Firm = False,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Let a halted account, or a firm's, trade again.

    Example:  ironbook accounts resume 1
    """
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.resume(firm=number) if firm else client.resume(account=number)
        applied(json, f"{_whose(number, firm)} resumed", outcome)


@app.command("kill")
def kill(
    number: Number,
    firm: Firm = False,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Halt an account, or a firm's, and cancel every open order of it.

    Example:  ironbook accounts kill 1
    """
    with connect(data, address, key, ADMIN_KEY) as client:
        outcome = client.kill(firm=number) if firm else client.kill(account=number)
        cancelled = plural(outcome.answer.quantity_lots, "order")
        applied(json, f"{_whose(number, firm)} halted, {cancelled} cancelled", outcome)


def _whose(number: int, firm: bool) -> str:
    return f"{'accounts of firm' if firm else 'account'} {number}"


def applied(as_json: bool, what: str, outcome: Outcome) -> None:
    """Say that a command was carried out; raises Rejected if it was not."""
    outcome.raise_if_rejected()
    sequence = outcome.answer.sequence
    data = {"done": what, "sequence": sequence, "client_sequence": outcome.client_sequence}
    show(as_json, data, lambda console: console.print(f"{what}  [dim]sequence {sequence}[/]"))


def _amount(data: Any, asset: str, amount: str) -> tuple[int, int]:
    with open_replica(data) as replica:
        found = Names(replica.core).asset(asset)
    return int(found["asset"]), amount_units(amount, int(found["decimals"]))


def _account(names: Names, account: int) -> dict[str, Any]:
    core = names.core
    balances = {}
    for number, asset in names.assets.items():
        pair = core.balance(account, number)
        if pair is not None:
            free, locked = (amount_text(units, int(asset["decimals"])) for units in pair)
            balances[str(asset["name"])] = {"free": free, "locked": locked}
            floor_units = core.floor(account, number)
            if floor_units < 0:
                balances[str(asset["name"])]["floor"] = amount_text(floor_units, int(asset["decimals"]))
    return {"account": account, **core.account(account), "balances": balances}


def _positions(names: Names, account: int) -> list[dict[str, Any]]:
    positions = []
    for number, instrument in names.instruments.items():
        found = names.core.position(account, number)
        if found is not None:
            units = names.units(instrument)
            position, open_buy, open_sell = (units.quantity_text(lots) for lots in found)
            told = {"position": position, "open_buy": open_buy, "open_sell": open_sell}
            positions.append({"symbol": str(instrument["name"]), **told})
    return positions


def _orders(names: Names, account: int) -> list[dict[str, Any]]:
    orders = []
    for order in names.core.account_orders(account):
        instrument = names.instruments[order["instrument"]]
        units = names.units(instrument)
        orders.append(
            {
                "order_id": order["order_id"],
                "client_order_id": order["client_order_id"],
                "symbol": str(instrument["name"]),
                "side": Side(order["side"]).name.lower(),
                "price": units.price_text(order["price_ticks"]),
                "rest": units.quantity_text(order["rest_lots"]),
                "filled": units.quantity_text(order["filled_lots"]),
            }
        )
    return orders


def _balances_text(account: dict[str, Any]) -> str:
    return "  ".join(
        f"{name} {pair['free']}" + (f" ({pair['locked']})" if pair["locked"] != "0" else "")
        for name, pair in account["balances"].items()
    )


def _render(console: Any, found: dict[str, Any]) -> None:
    state = "halted" if found["halted"] else "open"
    console.print(f"[bold]account {found['account']}[/]  firm {found['firm']}  {state}\n")
    rows = [(name, pair["free"], pair["locked"]) for name, pair in found["balances"].items()]
    console.print(table("balances", ("asset", "free", "locked"), rows, right=("free", "locked")))
    if found["positions"]:
        columns = ("symbol", "position", "open buy", "open sell")
        rows4 = [(p["symbol"], p["position"], p["open_buy"], p["open_sell"]) for p in found["positions"]]
        console.print()
        console.print(table("positions", columns, rows4, right=columns[1:]))
    if found["orders"]:
        headings = ("order", "symbol", "side", "price", "rest", "filled", "client id")
        rows7 = [
            (o["order_id"], o["symbol"], o["side"], o["price"], o["rest"], o["filled"], o["client_order_id"] or "")
            for o in found["orders"]
        ]
        console.print()
        console.print(table("open orders", headings, rows7, right=("order", "price", "rest", "filled", "client id")))
