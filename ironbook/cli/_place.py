"""Where things are: the data directory, the running engine in it, keys, and what its replica knows.

<data>/engine.json             the running engine: pid and addresses
<data>/journal, snapshots      read by a replica in this process
<data>/keys.ironbook           encrypted key file; <data>/passphrase opens it
<data>/client-keys/<id>.json   secrets of clients on this machine, mode 0600
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import orjson
import typer

from ironbook import Client, ConnectionFailed, EngineFailed, InputInvalid, Key, Options, Units
from ironbook.cli._output import stderr
from ironbook.keystore import (
    KEY_FILE_NAME,
    PASSPHRASE_FILE_VARIABLE,
    PASSPHRASE_VARIABLE,
    KeyFile,
    select_passphrase,
)

if TYPE_CHECKING:
    from engine_node.replica import Replica

DataOption: TypeAlias = Annotated[
    Path, typer.Option("--data", envvar="IRONBOOK_DATA", help="Data directory of the engine node.", show_default=True)
]
AddressOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--address", envvar="IRONBOOK_ADDRESS", help="Engine's host:port; default: the engine in --data."),
]
KeyOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--key", envvar="IRONBOOK_KEY", help="Key id (a file of <data>/client-keys) or path of a key file."),
]
DATA = Path(".ironbook")
ADMIN_KEY = "admin"
TRADER_KEY = "demo-1"
_PULSE_S = 1.0


def client_key_path(data: Path, key_id: str) -> Path:
    """Where the secret of a client on this machine is kept."""
    return data / "client-keys" / f"{key_id}.json"


def find_key(data: Path, name: str | None, default: str) -> Key:
    """The key of that id or path; else that of IRONBOOK_KEY_FILE; else the default one. Raises KeyInvalid."""
    if name is None and os.environ.get("IRONBOOK_KEY_FILE"):
        return Key.from_environment()
    chosen = name or default
    if "/" in chosen or chosen.endswith(".json"):
        return Key.from_file(chosen)
    return Key.from_file(client_key_path(data, chosen))


def engine_state(data: Path) -> dict[str, Any] | None:
    """What engine.json says, if the process it names is running."""
    try:
        state = orjson.loads((data / "engine.json").read_bytes())
        os.kill(int(state["pid"]), 0)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def engine_running(data: Path) -> bool:
    """Does the process that engine.json names live? One of another user does, one that only waits to be buried not."""
    try:
        pid = int(orjson.loads((data / "engine.json").read_bytes())["pid"])
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return False
    try:
        return not Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].lstrip().startswith(b"Z")
    except OSError:
        return True


class Pulse:
    """Is the engine running? Looks once a second at most, however often it is asked."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._next_s = 0.0
        self._running = False

    def __call__(self) -> bool:
        if time.monotonic() >= self._next_s:
            self._running, self._next_s = engine_running(self._data), time.monotonic() + _PULSE_S
        return self._running


def as_of(received_ns: int) -> str:
    """What to say of a state that no engine keeps up to date. received_ns: time of its last record."""
    moment = time.localtime(received_ns / 1e9)
    today = time.localtime()[:3] == moment[:3]
    return f"engine not running; as of {time.strftime('%H:%M:%S' if today else '%Y-%m-%d %H:%M:%S', moment)}"


def note_engine(data: Path, core: Any, as_json: bool) -> bool:
    """Is the engine running? If not, people are told on standard error how old what they see is."""
    running = engine_running(data)
    if not running and not as_json:
        stderr.print(as_of(core.received_ns()), style="yellow", soft_wrap=True)
    return running


def find_address(data: Path, address: str | None) -> str:
    """The engine's address: as given, or of the engine running in the data directory. Raises ConnectionFailed."""
    if address is not None:
        return address
    state = engine_state(data)
    listens = state.get("addresses") if state is not None else None
    if not listens:
        raise ConnectionFailed(
            "an engine node must be running, none is",
            detail=str(data.absolute()),
            hint="start one with `ironbook up`, or name one with --address (or another directory with --data)",
        )
    return str(listens[0])


@contextmanager
def connect(
    data: Path, address: str | None, key: str | None, default_key: str, *, keep_alive: bool = False
) -> Iterator[Client]:
    """A logged-on client. keep_alive: for a command that goes on."""
    where, signer = find_address(data, address), find_key(data, key, default_key)
    options = Options(keep_alive=keep_alive, reconnect_timeout_s=5.0)
    with Client(where, signer, options=options) as client:
        yield client


def passphrase_from_environment() -> bool:
    """Is the key file's passphrase given by a variable, or by a file that one names?"""
    return bool(os.environ.get(PASSPHRASE_VARIABLE) or os.environ.get(PASSPHRASE_FILE_VARIABLE))


def open_key_file(data: Path) -> KeyFile:
    """The encrypted key file of a data directory. Raises KeyStoreError."""
    file = os.environ.get(PASSPHRASE_FILE_VARIABLE) or str(data / "passphrase")
    passphrase = select_passphrase(os.environ.get(PASSPHRASE_VARIABLE), Path(file))
    return KeyFile(data / KEY_FILE_NAME, passphrase)


@contextmanager
def open_replica(data: Path, *, at: int | None = None, **options: Any) -> Iterator[Replica]:
    """A replica of the engine's state, caught up. Raises EngineFailed if there is no journal.

    at  the state behind the record of this sequence, instead of the newest; raises InputInvalid if there is none yet
    """
    from engine_node.replica import Replica

    if not (data / "journal").is_dir():
        raise EngineFailed(
            "a journal must be there to be read, is not",
            detail=str((data / "journal").absolute()),
            hint="start an engine node with `ironbook up`, or name its directory with --data",
        )
    with Replica.open(data, before=at, **options) as replica:
        released = replica.limit()
        if at is not None and not 1 <= at <= released:
            raise InputInvalid(
                f"a sequence must be from 1 to the last released one, {released}, was {at}",
                hint="`ironbook journal verify` tells how far a journal goes",
            )
        replica.catch_up(at)
        yield replica


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What is needed to say the numbers of an instrument's reports in decimals."""

    symbol: str
    quote: str  # name of the asset that prices and fees are in
    units: Units


def local_markets(data: Path, address: str | None) -> dict[int, Market]:
    """The markets of the engine at `address`, if it is the one of this data directory; else none are known here."""
    if address is not None and address not in ((engine_state(data) or {}).get("addresses") or ()):
        return {}
    if not (data / "journal").is_dir():
        return {}
    with open_replica(data) as replica:
        return Names(replica.core).markets()


class Names:
    """Symbols and asset names of a replica, and what their units are worth."""

    def __init__(self, core: Any) -> None:
        self.core = core
        sizes = core.options()
        self.assets = {n: found for n in range(1, sizes["asset_count_max"]) if (found := core.asset(n)) is not None}
        self.instruments = {
            n: found for n in range(1, sizes["instrument_count_max"]) if (found := core.instrument(n)) is not None
        }

    def instrument(self, name: str) -> dict[str, Any]:
        """By symbol or number. Raises InputInvalid."""
        return self._find("instrument", self.instruments, name)

    def asset(self, name: str) -> dict[str, Any]:
        """By name or number. Raises InputInvalid."""
        return self._find("asset", self.assets, name)

    def units(self, instrument: dict[str, Any]) -> Units:
        """Of an instrument."""
        base, quote = self.assets[instrument["base_asset"]], self.assets[instrument["quote_asset"]]
        return Units.of(instrument, base, quote)

    def market(self, instrument: dict[str, Any]) -> Market:
        """Of an instrument."""
        quote = str(self.assets[instrument["quote_asset"]]["name"])
        return Market(symbol=str(instrument["name"]), quote=quote, units=self.units(instrument))

    def markets(self) -> dict[int, Market]:
        """Of all instruments, by number."""
        return {number: self.market(found) for number, found in self.instruments.items()}

    def instrument_name_is_free(self, number: int, name: str) -> None:
        """Raises InputInvalid if another instrument has this symbol, in any case of its letters."""
        self._is_free("instrument", "symbol", self.instruments, number, name)

    def asset_name_is_free(self, number: int, name: str) -> None:
        """Raises InputInvalid if another asset has this name, in any case of its letters."""
        self._is_free("asset", "name", self.assets, number, name)

    @staticmethod
    def _is_free(what: str, called: str, known: dict[int, dict[str, Any]], number: int, name: str) -> None:
        for other in _named(known, name):
            if other != number:
                raise InputInvalid(
                    f"the {called} of an {what} must be its own, {name!r} is the {called} of {what} {other}",
                    hint=f"choose another {called}, or change {what} {other}",
                )

    @staticmethod
    def _find(what: str, known: dict[int, dict[str, Any]], name: str) -> dict[str, Any]:
        """A number comes before a name of the same digits, so that a number always names one."""
        if name.isascii() and name.isdecimal() and int(name) in known:
            return known[int(name)]
        named = _named(known, name)
        if len(named) == 1:
            return known[named[0]]
        if named:
            raise InputInvalid(
                f"a name must mean one {what}, {name!r} means {len(named)}",
                detail=f"{what}s {', '.join(map(str, named))}",
                hint=f"give the number instead, for example {named[0]}",
            )
        listed = ", ".join(str(found["name"]) for found in list(known.values())[:20]) or "none"
        raise InputInvalid(
            f"an {what} must be defined, {name!r} is not",
            detail=f"defined: {listed}",
            hint=f"`ironbook {what}s list` shows all",
        )


def _named(known: dict[int, dict[str, Any]], name: str) -> list[int]:
    return [number for number, found in known.items() if str(found["name"]).casefold() == name.casefold()]
