"""`ironbook journal`: prove it, read it, hand it on.

verify    replays every record in a core of its own: the CRC chain, the rules, and each digest record must agree;
          those of the engine's data directory, or of the journal's archive
statement the ledger at the end of a day, and the best prices that each order of the day met
retain    remove segments that are archived and that nobody here needs
snapshot  the newest published snapshot, for a gateway or standby elsewhere
show      records as they are, decoded
export    commands or events to CSV or Parquet, in a stream: a journal of any length in little memory
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import enum
import functools
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape

from ironbook import DependencyMissing, EngineFailed, InputInvalid, JournalInvalid
from ironbook.cli._archive import ArchiveOption, ShardOption, fetch_snapshot, retain, say_statement, verify_archive
from ironbook.cli._output import JsonOption, progress, say_json, show, stdout
from ironbook.cli._place import DATA, DataOption
from schemas.vocabulary import (
    COMMANDS,
    RECORD_BYTES,
    REPORT_BYTES,
    Code,
    EventKind,
    HaltAction,
    HaltScope,
    Kind,
    Level3Action,
    LinkAction,
    LogoffReason,
    LogonOption,
    OrderOption,
    OrderType,
    Peg,
    Record,
    SelfTradePrevention,
    Side,
    TermOption,
    TimeInForce,
    TradingState,
    Trigger,
)
from schemas.vocabulary import Report as WireReport

app = typer.Typer(
    help="The journal: verify it, show its records, export commands and events.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

BATCH_RECORDS = 16_384
CHECK_EVERY_RECORDS = 4_000_000  # core_check walks the whole state


class What(enum.StrEnum):
    COMMANDS = "commands"
    EVENTS = "events"


class Format(enum.StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


FromOption = Annotated[int, typer.Option("--from", help="First sequence.", min=1)]


@app.command("verify")
def verify(
    data: DataOption = DATA,
    from_snapshot: Annotated[
        bool, typer.Option("--from-snapshot", help="Begin at the newest good snapshot instead of the first record.")
    ] = False,
    archive: ArchiveOption = None,
    shard: ShardOption = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Archive: begin at its newest checkpoint instead of the first record.")
    ] = False,
    full_pass: Annotated[
        bool,
        typer.Option(
            "--full-pass",
            help="Archive, with --record: from the first record, over several runs: each goes on where the last one "
            "was late, and behind the end the next begins anew.",
        ),
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Archive: write verified/… into it, and a checkpoint to resume from.")
    ] = False,
    statements: Annotated[
        bool, typer.Option("--statements", help="Archive: write the statement of each day that is replayed into it.")
    ] = False,
    limit_s: Annotated[
        int,
        typer.Option(
            "--limit-s",
            help="Archive, with --record: end at the first day's end behind so many seconds; 0: none.",
            min=0,
        ),
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Replay the whole journal and compare every digest in it; exit code 5 and the place if it is damaged.

    A journal whose older segments were removed is replayed from the oldest snapshot that it goes on from; all of it is
    in its archive.

    Examples:

      ironbook journal verify --data /srv/exchange

      ironbook journal verify --archive s3://firm-archive/ --shard 0
    """
    if archive is not None:
        if full_pass and (resume or not record):
            raise typer.BadParameter("--full-pass must be with --record, to know where to go on, and without --resume")
        verify_archive(
            archive, shard, resume=resume, full_pass=full_pass, record=record, statements=statements, limit_s=limit_s,
            json=json,
        )  # fmt: skip
        return
    if resume or full_pass or record or statements or limit_s:
        raise typer.BadParameter(
            "--resume, --full-pass, --record, --statements and --limit-s are of an archive: name it with --archive"
        )
    answer = _verified(data, from_snapshot, quiet=json)

    def render(console: Any) -> None:
        console.print("[bold green]sound[/]: every record chains, applies, and agrees with the digests in the journal")
        for name, value in answer.items():
            if name != "sound":
                console.print(f"  [dim]{name:<18}[/] {value}")

    show(json, answer, render)


def _verified(data: Path, from_snapshot: bool, *, quiet: bool) -> dict[str, Any]:
    """Replay the journal of a data directory; what was found."""
    from engine_node import replica as replicas

    require_journal(data)
    found = {"records": 0, "digest_records": 0, "terms": 0, "logons": 0}
    began_s = time.monotonic()
    before = None if from_snapshot else _begin(data)
    chosen = from_snapshot or before is not None
    with damage(data), replicas.Replica.open(data, event_mask=0, use_snapshot=chosen, before=before) as replica:
        last = replica.reader.written()
        first = replica.core.sequence() + 1
        checked = 0
        with progress("replaying", last, quiet=quiet) as at:
            while replica.core.sequence() < last and (step := replica.step(last, BATCH_RECORDS)) is not None:
                _count(step.records, found)
                if found["records"] - checked >= CHECK_EVERY_RECORDS:
                    _check(replica.core)
                    checked = found["records"]
                at(replica.core.sequence())
        _check(replica.core)
        held = len(replica._held) // RECORD_BYTES
        return {
            "sound": True,
            "snapshot": replica.snapshot.path.name if replica.snapshot else "",
            "first_sequence": first,
            "last_sequence": replica.core.sequence(),
            **found,
            "open_prefixes": held,
            "term": replica.core.term(),
            "digest": f"{replica.core.digest():016x}",
            "durable_sequence": replica.reader.durable(),
            "released_sequence": replica.reader.released(),
            "records_per_s": round(found["records"] / max(1e-9, time.monotonic() - began_s)),
        }


def _begin(data: Path) -> int | None:
    """The oldest snapshot that the journal goes on from, where its first segment is gone; None: it begins at 1."""
    from engine_node.replica import first_kept
    from engine_node.snapshots import list_snapshots

    first = first_kept(data / "journal")
    if first == 1:
        return None
    usable = [one.sequence for one in list_snapshots(data / "snapshots") if one.sequence >= first - 1]
    if not usable:
        raise JournalInvalid(
            f"a journal that begins at sequence {first} must have a snapshot that it goes on from, has none",
            detail=str(data / "snapshots"),
            hint="fetch one from the archive (ironbook journal snapshot), or verify the archive (--archive)",
        )
    return min(usable)


def _count(records: bytes, found: dict[str, int]) -> None:
    kinds = records[::RECORD_BYTES]
    found["records"] += len(kinds)
    found["digest_records"] += kinds.count(bytes([Kind.DIGEST]))
    found["terms"] += kinds.count(bytes([Kind.TERM]))
    found["logons"] += kinds.count(bytes([Kind.LOGON]))


def _check(core: Any) -> None:
    wrong = core.check()
    if wrong is not None:
        raise JournalInvalid(
            f"the state must hold together after each command: {wrong}",
            detail=f"after sequence {core.sequence()}",
            hint="this is a fault of the core: keep the journal and report it",
        )


app.command("statement")(say_statement)
app.command("retain")(retain)
app.command("snapshot")(fetch_snapshot)


@app.command("show")
def show_records(
    data: DataOption = DATA,
    first: FromOption = 1,
    count: Annotated[int, typer.Option(help="How many records at most; 0: all there are.", min=0)] = 50,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only these kinds, for example new_order (repeatable).")
    ] = None,
    key: Annotated[int | None, typer.Option("--key-number", help="Only records of this key.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as records are written.")] = False,
    json: JsonOption = False,
) -> None:
    """Show records of the journal, decoded; with --json one a line.

    Example:  ironbook journal show --from 1000 --count 20 --kind new_order --kind cancel
    """
    wanted = None if kind is None else {_kind(name) for name in kind}
    told = 0
    for sequence, record in _records(data, first, follow):
        if (wanted is not None and record.command[0] not in wanted) or (key is not None and record.key != key):
            continue
        row = _row(sequence, record)
        if json:
            say_json(row)
        else:
            stdout.print(_line(row), soft_wrap=True)
        told += 1
        if count and told >= count:
            return


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="File to write; it must not exist.", show_default=False)],
    what: Annotated[What, typer.Option(help="Commands as recorded, or the events that they cause.")] = What.COMMANDS,
    format_: Annotated[Format | None, typer.Option("--format", help="Default: by the file's name.")] = None,
    first: FromOption = 1,
    last: Annotated[int | None, typer.Option("--to", help="Last sequence; default: all that is written.")] = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Write commands or events to CSV or Parquet.

    Examples:

      ironbook journal export commands.csv

      ironbook journal export events.parquet --what events --from 1000
    """
    chosen = format_ or _format_of(out)
    if last is not None and last < first:
        raise typer.BadParameter(f"--to must be at least --from ({first}), was {last}")
    if out.exists():
        raise typer.BadParameter(f"{out} exists; name a new file")
    if not out.absolute().parent.is_dir():
        raise InputInvalid(
            "the directory of the file to write must be there, is not",
            detail=str(out.absolute().parent),
            hint=f"make it (mkdir -p {out.absolute().parent}), or name a file elsewhere",
        )
    require_journal(data)
    beside = out.with_name(f".{out.name}.part")
    rows = _command_rows if what is What.COMMANDS else _event_rows
    columns = COMMAND_COLUMNS if what is What.COMMANDS else EVENT_COLUMNS
    written = 0
    try:
        with _sink(beside, chosen, columns) as write, damage(data), rows(data, first, last, json) as batches:
            for batch in batches:
                write(batch)
                written += len(batch)
        os.replace(beside, out)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
    size = out.stat().st_size
    answer = {"file": str(out), "format": chosen.value, "what": what.value, "rows": written, "bytes": size}
    show(json, answer, lambda console: console.print(f"{written} {what.value} in {escape(str(out))} ({size} bytes)"))


def _format_of(out: Path) -> Format:
    known = {".csv": Format.CSV, ".parquet": Format.PARQUET, ".pq": Format.PARQUET}
    try:
        return known[out.suffix.lower()]
    except KeyError:
        raise typer.BadParameter(
            f"the file's name must end in {', '.join(known)}, was {out.name!r}; or give --format"
        ) from None


# ---- Reading ---------------------------------------------------------------------------------------------------------


def require_journal(data: Path) -> None:
    if not (data / "journal").is_dir():
        raise EngineFailed(
            "a journal must be there to be read, is not",
            detail=str((data / "journal").absolute()),
            hint="name the engine's data directory with --data",
        )


@contextmanager
def damage(data: Path) -> Iterator[None]:
    """Damage and divergence, as errors of this package with segment and offset."""
    from engine_node import _engine
    from engine_node.errors import ReplicaError

    try:
        yield
    except (_engine.JournalError, _engine.CoreDiverged, ReplicaError) as error:
        where = [str(data / "journal")]
        for name in ("segment", "offset", "sequence"):
            if value := getattr(error, name, None):
                where.append(f"{name} {value}")
        if detail := getattr(error, "detail", ""):
            where.append(str(detail))
        message = getattr(error, "message", "") or str(error)
        hint = getattr(error, "hint", "") or "restore the segment from its copy, or from another replica's"
        raise JournalInvalid(message, detail=", ".join(dict.fromkeys(where)), hint=hint) from error


def _records(data: Path, first: int, follow: bool) -> Iterator[tuple[int, Record]]:
    from engine_node import _engine

    require_journal(data)
    with damage(data), _engine.JournalReader(str(data / "journal"), first) as reader:
        while True:
            sequence = reader.place()
            records = reader.next(BATCH_RECORDS)
            if not records:
                if not follow:
                    return
                time.sleep(0.05)
                continue
            for offset in range(0, len(records), RECORD_BYTES):
                yield sequence + offset // RECORD_BYTES, Record.unpack(records, offset)


def _kind(name: str) -> int:
    try:
        return int(Kind[name.upper()])
    except KeyError:
        known = ", ".join(kind.name.lower() for kind in Kind)
        raise typer.BadParameter(f"a kind must be one of {known}; was {name!r}") from None


# Fields that hold one of a list: shown and exported by name. 0 is none of them; flags are joined by "+".
_ENUMERATIONS: dict[str, type[enum.IntEnum]] = {
    "side": Side,
    "order_type": OrderType,
    "time_in_force": TimeInForce,
    "self_trade_prevention": SelfTradePrevention,
    "trading_state": TradingState,
    "scope": HaltScope,
    "action": HaltAction,
    "trigger": Trigger,
    "peg": Peg,
    "reason": LogoffReason,
    "code": Code,
    "refused_kind": Kind,
}
_FLAGS: dict[tuple[str, int], type[enum.IntFlag]] = {
    ("options", int(Kind.NEW_ORDER)): OrderOption,
    ("options", int(Kind.LOGON)): LogonOption,
    ("options", int(Kind.ORDER_TERMS)): TermOption,
}


def _named(name: str, value: Any, kind: int = 0) -> Any:
    """The name of a value, "" for none; the number as a text if it has no name, as a client may have sent it."""
    known = LinkAction if (name, kind) == ("action", Kind.ORDER_LINK) else _ENUMERATIONS.get(name)
    if known is not None:
        return "" if value == 0 and name != "code" else _name(known, value)
    if flags := _FLAGS.get((name, kind)):
        unnamed = value & ~sum(flags)
        names = [str(flag.name).lower() for flag in flags if value & flag] + ([str(unnamed)] if unnamed else [])
        return "+".join(names)
    return value


@functools.lru_cache(maxsize=4096)
def _name(known: type[enum.IntEnum], value: int) -> str:
    try:
        return known(value).name.lower()
    except ValueError:
        return str(value)


_SHORT = {
    "instrument": "book",
    "price_ticks": "ticks",
    "quantity_lots": "lots",
    "client_order_id": "own",
    "target_client_order_id": "target_own",
}
_USUAL = {"order_type": "limit", "time_in_force": "good_till_cancelled", "self_trade_prevention": "cancel_taker"}


def _line(row: dict[str, Any]) -> str:
    """A record on a line: what is named by itself, numbers behind their names; nothing, zero and the usual left out."""
    parts = []
    for name, value in row["fields"].items():
        if value in (0, "") or _USUAL.get(name) == value:
            continue
        text = escape(str(value))
        bare = name in _ENUMERATIONS or name == "options"
        parts.append((not bare, f"[cyan]{text}[/]" if bare else f"[dim]{_SHORT.get(name, name)}[/]={text}"))
    fields = " ".join(text for _, text in sorted(parts, key=lambda part: part[0]))
    head = f"[dim]{row['sequence']:>8}[/] [cyan]{row['kind']:<17}[/]"
    number = f" #{row['client_sequence']}" if row["client_sequence"] else ""
    signed = f"key {row['key']}{number}" if row["key"] else ""
    return f"{head} {signed:<12} {fields}".rstrip()


@functools.cache
def _field_names(known: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(known) if field.name not in ("flags", "client_sequence"))


def _row(sequence: int, record: Record) -> dict[str, Any]:
    known = COMMANDS.get(record.command[0])
    fields: dict[str, Any] = {}
    client_sequence = int.from_bytes(record.command[2:8], "little")
    if known is not None:
        command: Any = known.unpack(record.command)  # type: ignore[attr-defined]
        for name in _field_names(known):
            value = getattr(command, name)
            if isinstance(value, bytes):
                value = value.rstrip(b"\0").decode("ascii", "replace") if name == "text" else value.hex()
            fields[name] = _named(name, value, record.command[0])
    kind = record.command[0]
    return {
        "sequence": sequence,
        "received_ns": record.received_ns,
        "key": record.key,
        "client_sequence": client_sequence,
        "kind": Kind(kind).name.lower() if kind in set(Kind) else str(kind),
        "fields": fields,
    }


# ---- Exporting -------------------------------------------------------------------------------------------------------

COMMAND_COLUMNS: dict[str, str] = {
    "sequence": "u64",
    "received_ns": "u64",
    "key": "u32",
    "client_sequence": "u64",
    "kind": "text",
    "account": "u32",
    "instrument": "u32",
    "order_id": "u64",
    "client_order_id": "u64",
    "price_ticks": "i64",
    "quantity_lots": "i64",
    "side": "text",
    "order_type": "text",
    "time_in_force": "text",
    "fields": "text",
}
_FIELD_COLUMNS = tuple(COMMAND_COLUMNS.items())[5:-1]
EVENT_COLUMNS: dict[str, str] = {
    "sequence": "u64",
    "n": "u32",
    "received_ns": "u64",
    "kind": "text",
    "code": "text",
    "side": "text",
    "flags": "u32",
    "key": "u32",
    "report_number": "u64",
    "account": "u32",
    "instrument": "u32",
    "order_id": "u64",
    "client_order_id": "u64",
    "price_ticks": "i64",
    "quantity_lots": "i64",
    "remaining_lots": "i64",
    "reference": "u64",
    "amount_units": "i64",
}
Row = tuple[Any, ...]
_EVENTS = {int(kind): kind.name.lower() for kind in EventKind}
_CODE_OF: dict[int, type[enum.IntEnum]] = {EventKind.STATE: TradingState, EventKind.LEVEL3: Level3Action}
_SIDELESS = frozenset(
    {
        EventKind.APPLIED,
        EventKind.TRADE,
        EventKind.STATE,
        EventKind.BALANCE,
        EventKind.BOOK_CHECKSUM,
        EventKind.TRADE_BUST,
        EventKind.TRADE_CORRECTION,
    }
)


@contextmanager
def _command_rows(data: Path, first: int, last: int | None, quiet: bool) -> Iterator[Iterator[list[Row]]]:
    from engine_node import _engine

    with _engine.JournalReader(str(data / "journal"), first) as reader:
        end = min(reader.written(), last or reader.written())
        with progress("exporting", end, quiet=quiet) as at:

            def batches() -> Iterator[list[Row]]:
                while True:
                    sequence = reader.place()
                    records = reader.next(BATCH_RECORDS, end)
                    if not records:
                        return
                    yield [_command_row(sequence + i // RECORD_BYTES, records, i) for i in _offsets(records)]
                    at(sequence)

            yield batches()


def _offsets(records: bytes) -> range:
    return range(0, len(records), RECORD_BYTES)


def _command_row(sequence: int, records: bytes, offset: int) -> Row:
    row = _row(sequence, Record.unpack(records, offset))
    fields = row["fields"]
    return (
        sequence,
        row["received_ns"],
        row["key"],
        row["client_sequence"],
        row["kind"],
        *(fields.get(name, "" if kind == "text" else 0) for name, kind in _FIELD_COLUMNS),
        orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode(),
    )


@contextmanager
def _event_rows(data: Path, first: int, last: int | None, quiet: bool) -> Iterator[Iterator[list[Row]]]:
    from engine_node.replica import Replica

    with Replica.open(data, use_snapshot=(before := _begin(data)) is not None, before=before) as replica:
        end = min(replica.reader.written(), last or replica.reader.written())
        with progress("exporting", end, quiet=quiet) as at:

            def batches() -> Iterator[list[Row]]:
                while replica.core.sequence() < end and (step := replica.step(end, BATCH_RECORDS)) is not None:
                    rows = [_event_row(step.events, i) for i in range(0, len(step.events), REPORT_BYTES)]
                    kept = list(itertools.dropwhile(lambda row: row[0] < first, rows))
                    if kept:
                        yield kept
                    at(replica.core.sequence())

            yield batches()


_SIDES = ("buy", "sell")  # by ReportFlag.SELL, which is 1
_unpack_event = WireReport._STRUCT.unpack_from


def _refuses_order(rest: list[int]) -> bool:
    """Does a reject repeat a new order? Other commands have an order id or no quantity, and say no side."""
    order_id, quantity_lots = rest[0], rest[3]
    return not order_id and quantity_lots != 0


def _event_row(events: bytes, offset: int) -> Row:
    kind, flags, code, instrument, account, n, word, sequence, received_ns, *rest = _unpack_event(events, offset)
    text = _name(_CODE_OF.get(kind, Code), code)
    side = "" if kind in _SIDELESS or (kind == EventKind.REJECTED and not _refuses_order(rest)) else _SIDES[flags & 1]
    name = _EVENTS.get(kind, str(kind))
    number, key = word >> 16, word & 0xFFFF
    return (sequence, n, received_ns, name, text, side, flags, key, number, account, instrument, *rest)


@contextmanager
def _sink(path: Path, format_: Format, columns: dict[str, str]) -> Iterator[Callable[[list[Row]], None]]:
    """A function that writes a batch of rows; the file is whole when the block ends without an error."""
    if format_ is Format.CSV:
        with path.open("x", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)

            def write_csv(rows: Iterable[Row]) -> None:
                writer.writerows(rows)

            yield write_csv
        return
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DependencyMissing(
            "pyarrow must be installed to write Parquet, is not",
            hint="pip install 'ironbook[export]', or use --format csv",
        ) from error
    types = {"u64": pa.uint64(), "u32": pa.uint32(), "i64": pa.int64(), "text": pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as parquet:

        def write_parquet(rows: list[Row]) -> None:
            columns_of = zip(zip(*rows, strict=True), schema, strict=True)
            arrays = [pa.array(column, field.type) for column, field in columns_of]
            parquet.write_batch(pa.record_batch(arrays, schema=schema))

        yield write_parquet
