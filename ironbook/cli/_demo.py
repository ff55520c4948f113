"""What a first start of `ironbook up` sets up: keys before the engine starts, the rest by signed frames after.

Every step looks first whether it is done (in the key file, in a replica), so a start that was interrupted goes on where
it stopped, and nobody is given money twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ironbook import Client, Key, Units
from ironbook.cli._place import ADMIN_KEY, client_key_path, open_key_file, passphrase_from_environment
from ironbook.keystore import KEY_FILE_NAME, KeyFile, make_passphrase_file
from schemas.vocabulary import Permission


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DemoAsset:
    number: int
    name: str
    decimals: int
    deposit: int  # whole ones for each account


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DemoInstrument:
    """A tick is 0.01 of the quote asset in all of them."""

    number: int
    symbol: str
    base_asset: int
    quote_asset: int
    base_units_per_lot: int
    quote_units_per_tick_lot: int
    reference_price: str
    collar_ppm: int = 200_000


ASSETS = (
    DemoAsset(number=1, name="USD", decimals=6, deposit=10_000_000),
    DemoAsset(number=2, name="BTC", decimals=8, deposit=100),
    DemoAsset(number=3, name="ETH", decimals=8, deposit=2_000),
)
INSTRUMENTS = (
    DemoInstrument(
        number=1,
        symbol="BTC/USD",
        base_asset=2,
        quote_asset=1,
        base_units_per_lot=10_000,
        quote_units_per_tick_lot=1,
        reference_price="60000",
    ),
    DemoInstrument(
        number=2,
        symbol="ETH/USD",
        base_asset=3,
        quote_asset=1,
        base_units_per_lot=100_000,
        quote_units_per_tick_lot=10,
        reference_price="3000",
    ),
)
ACCOUNTS = {1: "demo-1", 2: "demo-2"}
OPEN_ORDERS_MAX = 10_000
MAKER_FEE_PPM, TAKER_FEE_PPM = 100, 300
_TRADER = Permission.TRADE | Permission.CANCEL | Permission.READ
_ADMIN = Permission.ADMIN | Permission.READ


def open_or_make_key_file(data: Path) -> KeyFile:
    """The key file of the data directory, made with a random passphrase if there is none. Raises KeyStoreError."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data / "client-keys").mkdir(mode=0o700, exist_ok=True)
    if passphrase_from_environment() or (data / "passphrase").exists() or (data / KEY_FILE_NAME).exists():
        keys = open_key_file(data)
    else:
        keys = KeyFile(data / KEY_FILE_NAME, make_passphrase_file(data / "passphrase"))
    if not keys.path.exists():
        keys.initialise()
    return keys


def make_keys(keys: KeyFile, data: Path) -> list[str]:
    """An admin and a trader for each demo account, with their secrets for clients; the ids that were new."""
    known = {key.key_id for key in keys.load().keys}
    made = []
    wanted = [(ADMIN_KEY, _ADMIN, 0), *((key_id, _TRADER, account) for account, key_id in ACCOUNTS.items())]
    for key_id, permissions, account in wanted:
        if key_id in known:
            continue
        new = keys.create_key(key_id, permissions=int(permissions), account=account, note="made by ironbook up")
        Key(key_id=key_id, secret=new.secret).write(client_key_path(data, key_id))
        made.append(key_id)
    return made


def define(client: Client, core: Any, told: Callable[[str], None]) -> int:
    """Define and fund what the replica's state lacks; how many commands that took. Raises Rejected."""
    steps = 0

    def do(what: str, outcome: Any) -> None:
        nonlocal steps
        outcome.raise_if_rejected()
        steps += 1
        told(what)

    for asset in ASSETS:
        if core.asset(asset.number) is None:
            do(f"asset {asset.name}", client.define_asset(asset.number, asset.name, asset.decimals))
    decimals = {asset.number: asset.decimals for asset in ASSETS}
    for new in INSTRUMENTS:
        if core.instrument(new.number) is not None:
            continue
        units = Units(
            base_decimals=decimals[new.base_asset],
            quote_decimals=decimals[new.quote_asset],
            base_units_per_lot=new.base_units_per_lot,
            quote_units_per_tick_lot=new.quote_units_per_tick_lot,
        )
        defined = client.define_instrument(
            new.number,
            new.symbol,
            base_asset=new.base_asset,
            quote_asset=new.quote_asset,
            base_units_per_lot=new.base_units_per_lot,
            quote_units_per_tick_lot=new.quote_units_per_tick_lot,
            maker_fee_ppm=MAKER_FEE_PPM,
            taker_fee_ppm=TAKER_FEE_PPM,
        )
        do(f"instrument {new.symbol}", defined)
        reference = units.price_ticks(new.reference_price)
        limited = client.set_instrument_limits(
            new.number, collar_ppm=new.collar_ppm, quantity_lots_min=1, reference_price_ticks=reference
        )
        do(f"limits of {new.symbol}", limited)
    for account, key_id in ACCOUNTS.items():
        if core.account(account) is None:
            do(f"account {account} ({key_id})", client.define_account(account))
            do(f"limits of account {account}", client.set_account_limits(account, open_orders_max=OPEN_ORDERS_MAX))
        for asset in ASSETS:
            if core.balance(account, asset.number) is None:
                units_count = asset.deposit * 10**asset.decimals
                deposited = client.deposit(account, asset.number, units_count)
                do(f"deposit of {asset.deposit} {asset.name} to account {account}", deposited)
    return steps
