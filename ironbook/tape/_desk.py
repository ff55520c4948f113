"""Engine, clients and venue, put together: a fresh engine node, or one that is there already.

local_desk      a new engine node in its own process and directory, a key for each client, stopped at the end
remote_desk     an engine at an address, with key files of its owner; what the tape leaves open is cancelled at the end
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ironbook import Client, IronbookError, Key, MassCancel, Options
from schemas.vocabulary import Permission

from ._node import EngineNode
from ._venue import Venue, VenueOptions
from .errors import TapeOptions

CLIENT_COUNT_MAX = 200
CLIENT_OPTIONS = Options(request_timeout_s=30.0, reconnect_timeout_s=60.0, backoff_first_s=0.01, backoff_max_s=0.25)
TRADING = Permission.TRADE | Permission.CANCEL | Permission.READ


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything that a player needs. `traders` are those of venue.accounts; `node` is None for an engine elsewhere."""

    node: EngineNode | None
    admin: Client | None
    traders: Sequence[Client]
    venue: Venue


@contextlib.contextmanager
def local_desk(
    directory: Path, makers: int, options: VenueOptions, settings: Mapping[str, Any] | None = None
) -> Iterator[Desk]:
    """Start an engine node in `directory` and set it up: taker is account 1, makers are 2 and up."""
    if not 1 <= makers <= CLIENT_COUNT_MAX:
        raise TapeOptions(f"makers must be 1 to {CLIENT_COUNT_MAX}, were {makers}")
    with EngineNode(directory, **(settings or {})) as node, contextlib.ExitStack() as stack:
        accounts = list(range(1, makers + 2))
        admin_key = node.add_key("tape-admin", Permission.ADMIN)
        names = ["tape-taker", *(f"tape-maker-{n}" for n in range(1, makers + 1))]
        keys = [node.add_key(name, TRADING, account) for name, account in zip(names, accounts, strict=True)]
        node.start()
        admin = stack.enter_context(Client(node.address, admin_key, options=CLIENT_OPTIONS))
        venue = Venue(admin, accounts, options)
        venue.open()
        traders = [stack.enter_context(Client(node.address, key, options=CLIENT_OPTIONS)) for key in keys]
        yield Desk(node=node, admin=admin, traders=traders, venue=venue)


@contextlib.contextmanager
def remote_desk(
    address: str, key_files: Sequence[Path], accounts: Sequence[int], options: VenueOptions
) -> Iterator[Desk]:
    """Log on at an engine elsewhere with the given keys.

    A key with the admin permission defines what the tape needs. Keys with the trade permission send, each for its own
    account: the first is the taker. With `accounts` one delegate key sends for all of them instead. Raises TapeOptions.
    """
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(Client(address, Key.from_file(path), options=CLIENT_OPTIONS)) for path in key_files
        ]
        admin = next((client for client in clients if _may(client, Permission.ADMIN)), None)
        if accounts:
            delegate = next((c for c in clients if _may(c, Permission.DELEGATE) and _may(c, Permission.TRADE)), None)
            if delegate is None:
                raise TapeOptions(
                    "with --account one key must have the permissions trade and delegate, none has",
                    hint="give one key for each account instead",
                )
            traders = [delegate] * len(accounts)
        else:
            traders = [client for client in clients if client.account and _may(client, Permission.TRADE)]
            accounts = [trader.account for trader in traders]
        if len(set(accounts)) < 2 or len(set(accounts)) != len(accounts):
            raise TapeOptions(
                f"a taker and a maker must have an account each, accounts were {list(accounts)}",
                hint="give --key for at least two keys with the trade permission, each with its own account",
            )
        venue = Venue(admin, accounts, options)
        venue.open()
        try:
            yield Desk(node=None, admin=admin, traders=traders, venue=venue)
        except BaseException:
            with contextlib.suppress(IronbookError):
                _clear(traders, venue)
            raise
        _clear(traders, venue)


def _clear(traders: Sequence[Client], venue: Venue) -> None:
    """Cancel what the tape left open."""
    for trader, account in zip(traders, venue.accounts, strict=True):
        for instrument in venue.symbols:
            trader.request(MassCancel(account=account, instrument=instrument))


def _may(client: Client, permission: Permission) -> bool:
    return client.logon is not None and bool(client.logon.permissions & permission)
