"""`ironbook assets`: what can be held and paid with."""

from __future__ import annotations

from typing import Annotated

import typer

from ironbook import amount_text
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

app = typer.Typer(help="Assets: what can be held and paid with.", no_args_is_help=True, rich_markup_mode="rich")


@app.command("list")
def list_assets(data: DataOption = DATA, json: JsonOption = False) -> None:
    """All assets, what is deposited of them, and the fees collected.

    Example:  ironbook assets list
    """
    with open_replica(data) as replica:
        found = [
            {
                "asset": int(asset["asset"]),
                "name": str(asset["name"]),
                "decimals": int(asset["decimals"]),
                "supply": amount_text(int(asset["supply_units"]), int(asset["decimals"])),
                "fees": amount_text(int(asset["fees_units"]), int(asset["decimals"])),
            }
            for asset in Names(replica.core).assets.values()
        ]
        running = note_engine(data, replica.core, json)
    columns = ("asset", "name", "decimals", "supply", "fees")
    listed = table("", columns, ([a[c] for c in columns] for a in found), right=("asset", "decimals", "supply", "fees"))
    show(json, {"assets": found, "engine_running": running}, lambda console: console.print(listed))


@app.command("create")
def create(
    asset: Annotated[int, typer.Argument(help="Asset number.", min=1, show_default=False)],
    name: Annotated[str, typer.Argument(help="Name: A-Z a-z 0-9 . _ - /", show_default=False)],
    decimals: Annotated[int, typer.Option(help="Digits behind the point.", min=0, max=18)] = 8,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Define an asset.

    Example:  ironbook assets create 4 EUR --decimals 6
    """
    if (data / "journal").is_dir():  # an engine elsewhere can be asked for nothing but to carry out a command
        with open_replica(data) as replica:
            Names(replica.core).asset_name_is_free(asset, name)
    with connect(data, address, key, ADMIN_KEY) as client:
        applied(json, f"asset {asset} ({name}) defined", client.define_asset(asset, name, decimals))
