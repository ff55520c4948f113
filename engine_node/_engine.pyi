"""The compiled half of engine_node: the core, the journal's reader and the engine itself, as Python sees them.

The binding converts types and maps status to error; no rule of the market is in it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypedDict

from typing_extensions import Buffer

SOURCE_DIGEST: Final[str]  # SHA-256 over the C sources this was built from; tests compare it with the tree

class EngineError(Exception):
    """Base of all below. `detail` says where, `hint` what to do."""

    detail: str
    hint: str

class CoreFull(EngineError): ...  # CORE_E_FULL: a pool has no room; nothing changed
class CoreRecord(EngineError): ...  # CORE_E_RECORD: these records cannot stand here; nothing changed
class CoreDiverged(EngineError): ...  # CORE_E_DIVERGED: a digest record names another state
class SnapshotInvalid(EngineError): ...  # CORE_E_SNAPSHOT
class JournalError(EngineError): ...  # any JOURNAL_E_...; attributes status, segment, offset, sequence
class OptionsError(EngineError): ...  # CORE_E_OPTIONS, JOURNAL_E_OPTIONS

EVENTS_REPORTS: Final = 1
EVENTS_MARKET: Final = 2
EVENTS_LEVEL3: Final = 4
EVENTS_ACCOUNTS: Final = 8
EVENTS_ALL: Final = 15

class Core:
    """One replica's state. Options are those of core_options in core/core.h; what is not given has its default."""

    def __init__(self, **options: int) -> None: ...
    def apply(self, records: Buffer, chunk: int = 1024, /) -> bytes:
        """Apply whole groups of 64-byte records; all their events, 96 bytes each.

        The core hands them out in chunks, of 64 to 1,024 events; what comes of it is the same.
        On an error the groups before the bad one stay applied.
        """

    def group_bytes(self, records: Buffer) -> int:
        """How many leading bytes of records are whole groups (a trailing prefix waits for what follows)."""
    def sequence(self) -> int: ...
    def received_ns(self) -> int: ...
    def term(self) -> int: ...
    def digest(self) -> int: ...
    def everything_halted(self) -> bool: ...
    def check(self) -> str | None: ...
    def options(self) -> dict[str, int]: ...
    def asset(self, asset: int) -> dict[str, int | str] | None: ...
    def instrument(self, instrument: int) -> dict[str, int | str] | None: ...
    def account(self, account: int) -> dict[str, int] | None: ...
    def key(self, key: int) -> dict[str, int] | None: ...
    def order(self, order_id: int) -> dict[str, int] | None: ...
    def balance(self, account: int, asset: int) -> tuple[int, int] | None: ...
    def floor(self, account: int, asset: int) -> int: ...
    def fee_tier(self, instrument: int, tier: int) -> tuple[int, int] | None: ...
    def price_steps(self, instrument: int) -> list[tuple[int, int, int]]:
        """By rising price: (from_price_ticks, tick_multiple, lot_multiple)."""
    def trade(self, instrument: int, trade_id: int) -> dict[str, int] | None: ...
    def trade_count(self) -> int: ...
    def position(self, account: int, instrument: int) -> tuple[int, int, int] | None: ...
    def levels(self, instrument: int, side: int, room: int = 50) -> list[tuple[int, int, int]]:
        """Best first: (price_ticks, quantity_lots, order_count)."""
    def book_orders(self, instrument: int, side: int, skip: int = 0, room: int = 1000) -> list[dict[str, int]]: ...
    def unseen_orders(self, instrument: int, side: int, skip: int = 0, room: int = 1000) -> list[dict[str, int]]:
        """Hidden ones in priority order, then pegged and all-or-none ones."""
    def account_orders(self, account: int, skip: int = 0, room: int = 1000) -> list[dict[str, int]]: ...
    def report(self, key: int, report_number: int) -> bytes | None: ...
    def save(self) -> bytes: ...
    @staticmethod
    def load(snapshot: Buffer, **options: int) -> Core: ...

Place = tuple[int, int]  # (seq, n) of an event
FeedMessage = tuple[str, int, bytes | None, bytes, int, Place, Place]  # for type checkers only

class Feed:
    """A core's events as JSON messages for the topics of schemas/topics.json. It speaks of one Core at a time."""

    def __init__(
        self,
        *,
        shard: int = 0,
        firm_partitions: int = 8,  # of executions and balances
        symbol_partitions: int = 8,  # of trades, book, market.state, book.top, book.snapshots
        batch_count_max: int = 512,  # events of a message
        message_bytes_max: int = 900000,
        chunk: int = 1024,  # events that the core hands out at once
    ) -> None: ...
    def apply(self, core: Core, records: Buffer) -> None:
        """Core.apply, and its events go into batches. On an error the groups before the bad one are applied and told.

        The core must hand out reports, market and account events (event_mask 11 is enough: level3 is never told).
        """

    def take(self, flush: bool, snapshots: bool = False) -> list[FeedMessage]:
        """Messages in the order in which to send them: (topic, partition, key, value, count, first, last).

        Definitions that changed and batches that are full, always. flush: batches that are not full, and the balances
        and tops that changed. snapshots: the book of each symbol whose book has changed since its last snapshot.
        """

    def touch_everything(self, core: Core) -> None:
        """As if all had changed: the next take(True, True) tells every definition, balance, top and book."""

class JournalReader:
    """Reads a journal directory by sequence while the engine writes it. Context manager."""

    def __init__(self, directory: str, from_sequence: int = 1) -> None: ...
    def next(self, room: int = 4096, limit: int | None = None) -> bytes:
        """Up to room records of 64 bytes, none behind limit (default: written); empty if there is nothing yet."""
    def written(self) -> int: ...
    def durable(self) -> int: ...
    def released(self) -> int: ...
    def shipped(self) -> int: ...  # acknowledged by the journal topic, as ship told it
    def shippable(self) -> int:
        """How far records may be copied off this machine: durable at level cluster, else released."""
    def ship(self, sequence: int) -> None:
        """Tell the engine that another machine holds all records up to sequence: level cluster releases them.

        It only rises. Raises OptionsError above shippable(), JournalError if the shared page is not writable for it.
        """
    def first(self) -> int: ...
    def place(self) -> int: ...
    def core_options(self) -> dict[str, int]: ...
    def close(self) -> None: ...
    def __enter__(self) -> JournalReader: ...
    def __exit__(self, *exc: object) -> None: ...

class JournalWriter:
    """Writes a journal of records that exist already, into an empty directory: engine_node/restore.py."""

    def __init__(
        self, directory: str, *, shard: int, segment_records: int, core_options: Mapping[str, int]
    ) -> None: ...
    def append(self, records: Buffer) -> None:
        """Further records, whose crc fields continue the chain. On an error nothing of them is written."""
    def last(self) -> int: ...
    def close(self) -> None: ...  # bring everything to disk

def crc32c(data: Buffer, crc: int = 0) -> int: ...
def seal(records: Buffer, previous_crc: int = 0) -> bytes:
    """The same records with their crc fields chained from previous_crc."""

class Signer:
    """Numbers and signs the commands of a session, as engine_node/ingress verifies them."""

    def __init__(self, session_key: bytes) -> None: ...  # 32 bytes
    def frames(self, parts: Sequence[bytes], first: int, /) -> bytes:
        """Commands of 48 bytes as signed frames of 64, one behind the other; client sequences rise from `first`."""

class KeyRecord(TypedDict):
    number: int  # 1 .. key_count_max - 1, for ever
    key_id: bytes  # 1 to 16 ASCII bytes
    secrets: Sequence[bytes]  # one or two, 32 bytes each
    permissions: int  # schemas.vocabulary.Permission
    account: int  # its own account
    networks: Sequence[tuple[bytes, int]]  # (IPv6 or mapped IPv4 address, 16 bytes; prefix bits 0..128); empty: any
    messages_per_s: int  # 0: no limit
    message_burst: int

class Engine:
    """The primary: ingress, core and journal in one. Belongs to the thread of its event loop."""

    wake_fd: int  # eventfd: readable when reports were released or a segment is ready; call on_wake
    def __init__(
        self,
        *,
        core_options: Mapping[str, int],
        journal_directory: str,
        shard: int,
        node: int,
        level: int,  # 1 process, 2 disk, 3 cluster
        unshipped_records_max: int,  # level cluster: beyond so many new commands are refused, cancels beyond twice
        segment_records: int,
        sync_interval_us: int,
        free_bytes_min: int,
        sync_cpu: int,  # -1: anywhere
        connection_count_max: int,
        idle_ms: int,  # a session that sends nothing for so long is ended
        logon_timeout_ms: int,  # a connection that does not log on in time is closed
        tick_interval_ms: int,  # a clock_tick record at least this often while time matters; 0: none
        digest_interval_records: int,  # a digest record each so many records; 0: none
        refused_peer_max: int,  # bad logons or frames of one address in a minute before it is refused
        closed: Callable[[int, int], None],  # (fd, code): remove it from the loop and close it
        want_write: Callable[[int, bool], None],  # (fd, wanted): let the loop call on_writable, or no longer
        failed: Callable[[str], None],  # the engine must end at once: a failed fdatasync
    ) -> None: ...
    def recover(self, snapshot: Buffer | None = None) -> dict[str, int | str]:
        """Open the journal, load the snapshot, replay, end live sessions, begin a term. What it found, for the log."""
    def set_keys(self, keys: Sequence[KeyRecord]) -> None:
        """Replace the whole key table at once; ends sessions that may not go on."""
    def accept(self, fd: int, address: bytes, proxied: bool = False) -> Connection:
        """Take over a connected non-blocking socket. proxied: a PROXY v2 header with the true address comes first.

        Raises EngineError if it is not taken (address refused for now, no free connection, stopping): close the socket.
        """
    def on_wake(self) -> None: ...
    def spin(self) -> None:
        """Poll all connections a few times without waiting, some 40 µs: for busy polling."""
    def on_timer(self) -> None:
        """Idle and logon time-outs, clock ticks, digests. The loop calls it every 100 ms or so."""
    def begin_stop(self) -> None: ...  # refuse new commands (engine_stopping) from now on
    def finish(self) -> dict[str, int]:
        """End sessions, flush, close the journal. sequence and digest at the end, and released: less than sequence only
        at level cluster, and then a snapshot must not be kept."""
    def save(self) -> bytes: ...  # a snapshot; only after finish
    def counters(self) -> dict[str, int]: ...
    def full_pool(self) -> str:
        """The core capacity that a frame was last refused for (core_no_room); empty if none ever was."""
    def sequence(self) -> int: ...
    def digest(self) -> int: ...

class Connection:
    """Callable: the loop calls it when its socket is readable. C all the way."""

    def __call__(self) -> None: ...
    def on_writable(self) -> None: ...
