"""What `ironbook journal` does with a journal's archive: prove it, and state what was held at the end of a day."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import orjson
import typer
from rich.markup import escape

from ironbook import InputInvalid
from ironbook.archive.replay import Closed, Replay, capacities
from ironbook.archive.statements import arrivals_key, day_text, parse_day, statement_key
from ironbook.archive.stores import open_store
from ironbook.archive.verify import one_day, put_statement, state_day, verify
from ironbook.cli._output import JsonOption, progress, show
from ironbook.cli._place import DATA, DataOption

ArchiveOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--archive", envvar="IRONBOOK_ARCHIVE", help="The archive: s3://bucket/prefix, or a directory."),
]
ShardOption: TypeAlias = Annotated[int, typer.Option("--shard", help="Whose journal it is.", min=0, max=99_999)]
BATCH_RECORDS = 16_384


def verify_archive(
    archive: str, shard: int, *, resume: bool, full_pass: bool, record: bool, statements: bool, limit_s: int, json: bool
) -> None:
    """The body of `ironbook journal verify --archive`."""
    store = open_store(archive)
    began_s = time.monotonic()
    with progress("replaying", None, quiet=json) as at:
        late = functools.partial(_later_than, began_s + limit_s if limit_s else float("inf"))
        answer = verify(
            store, shard, resume=resume, full_pass=full_pass, record=record, statements=statements, told=at, late=late
        )
    answer["records_per_s"] = round(answer["records"] / max(1e-9, time.monotonic() - began_s))

    def render(console: Any) -> None:
        console.print("[bold green]sound[/]: manifests and records chain, and every digest agrees")
        for name, value in answer.items():
            if name != "sound":
                console.print(f"  [dim]{name:<18}[/] {escape(str(value))}")

    show(json, answer, render)


def _later_than(moment_s: float) -> bool:
    return time.monotonic() > moment_s


def say_statement(
    day: Annotated[str, typer.Option("--day", help="UTC day, YYYY-MM-DD.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory for the two files; default: the present one.")
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Write them into the archive instead.")] = False,
    archive: ArchiveOption = None,
    shard: ShardOption = 0,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """The ledger after the last record of a day, and the best prices just before each order of it.

    Examples:

      ironbook journal statement --day 2026-03-02 --out /tmp

      ironbook journal statement --day 2026-03-02 --archive s3://firm-archive/ --record
    """
    number = parse_day(day)
    if record and (archive is None or out is not None):
        raise typer.BadParameter("--record writes into the archive: name it with --archive, and leave --out away")
    store = None if archive is None else open_store(archive)
    closed = _state_local(data, shard, number) if store is None else state_day(store, shard, number)
    if store is not None and record:
        files = [store.place + key for key in put_statement(store, shard, closed)]
    else:
        files = _write(out or Path(), shard, closed)
    said = orjson.loads(closed.statement)
    answer = {name: said[name] for name in ("day", "partial", "sequence", "digest", "open_orders_count")} | {
        "balances": len(said["balances"]),
        "positions": len(said["positions"]),
        "files": files,
    }

    def render(console: Any) -> None:
        console.print(f"{day_text(number)}{' so far' if closed.partial else ''}, as of sequence {said['sequence']}")
        for file in files:
            console.print(f"  {escape(file)}")

    show(json, answer, render)


def _write(directory: Path, shard: int, closed: Closed) -> list[str]:
    if not directory.is_dir():
        raise InputInvalid("the directory to write to must be there, is not", detail=str(directory.absolute()))
    files = []
    for key, data in (
        (statement_key(shard, closed.day), closed.statement),
        (arrivals_key(shard, closed.day), closed.arrivals),
    ):
        path = directory / Path(key).name
        path.write_bytes(data)
        files.append(str(path))
    return files


def _state_local(data: Path, shard: int, day: int) -> Closed:
    """From the engine's own journal, whose first record must still be there."""
    from engine_node import _engine
    from engine_node.replica import first_kept
    from ironbook.cli.journal import damage, require_journal

    require_journal(data)
    journal = data / "journal"
    if first_kept(journal) > 1:
        raise InputInvalid(
            f"a statement needs every record from the first, the journal begins at {first_kept(journal)}",
            detail=str(journal),
            hint="make it of the archive: --archive s3://bucket/",
        )

    def replay(scale: int, on_day: Callable[[Closed, Replay], None]) -> None:
        with damage(data), _engine.JournalReader(str(journal)) as reader:
            made = Replay(_engine.Core(**capacities(scale)), shard=shard, on_day=on_day, only=day)
            released = reader.released()
            while records := reader.next(BATCH_RECORDS, released):
                made.feed(records)
            made.end()

    return one_day(replay, day, str(journal))


def retain(
    data: DataOption = DATA,
    archive: ArchiveOption = None,
    keep: Annotated[
        int, typer.Option("--keep", help="Records to keep behind what nobody needs any more.", min=0)
    ] = 10_000_000,
    lock_days: Annotated[
        int, typer.Option("--snapshot-lock-days", help="Lock of published snapshots; 0: as the bucket says.", min=0)
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove segments that are archived and that no start and no reader needs; publish the newest snapshots first.

    A segment goes when all its records are below the archive's newest manifest, below the two newest good snapshots and
    below the snapshot that the publisher would begin at, and when no process has it or an older one open.

    Example:  ironbook journal retain --data /var/lib/ironbook --archive s3://firm-archive/ --keep 10000000
    """
    from ironbook.archive import retention
    from ironbook.cli.journal import damage, require_journal

    if archive is None:
        raise typer.BadParameter("--archive must name the archive: nothing is removed that is not in it")
    require_journal(data)
    with damage(data):
        done = retention.retain(data, open_store(archive), keep_records=keep, dry_run=dry_run, lock_days=lock_days)

    def render(console: Any) -> None:
        verb = "would remove" if dry_run else "removed"
        console.print(f"{verb} {len(done.removed)} segments; all below sequence {done.floor_sequence + 1} may go")
        for name, bound in done.bounds.items():
            console.print(f"  [dim]{name:<18}[/] {bound or 'nothing may go'}")
        for name in done.kept_for_readers:
            console.print(f"  [dim]kept for a reader [/] {name}")
        for key in done.published:
            console.print(f"  [dim]published         [/] {escape(key)}")

    show(json, done.to_json(), render)


def fetch_snapshot(
    to: Annotated[Path, typer.Option("--to", help="Directory for the snapshot.")],
    archive: ArchiveOption = None,
    shard: ShardOption = 0,
    keep: Annotated[int, typer.Option("--keep", help="Snapshots to keep in that directory.", min=1, max=100)] = 2,
    if_any: Annotated[bool, typer.Option("--if-any", help="None is published yet: that is no error.")] = False,
    json: JsonOption = False,
) -> None:
    """Copy the newest good published snapshot here, for a gateway or standby that begins at the journal's topic.

    With --if-any a new installation may begin: before any is published, the topic has every record from the first.

    Example:  ironbook journal snapshot --archive s3://firm-archive/ --to /var/lib/ironbook-gateway/snapshots
    """
    from ironbook.archive import retention

    if archive is None:
        raise typer.BadParameter("--archive must name the archive")
    store = open_store(archive)
    if if_any and not retention.any_published(store, shard):
        said = "none is published yet: begin at the topic's first record"
        show(json, {"file": None}, lambda console: console.print(said))
        return
    path = retention.fetch_snapshot(store, shard, to, keep_count=keep)
    show(json, {"file": str(path)}, lambda console: console.print(escape(str(path))))
