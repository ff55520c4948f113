"""One run: read a day in one snapshot, let its rows stream past files and figures, and show all of it or nothing.

    covered? ─▶ executions · cash flows · trades · audit trail · … ─▶ books ─▶ figures ─▶ page ─▶ commit ─▶ manifest

What is written depends on the day's rows and the archive's statements alone, never on when it is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from functions.common.aws import Clients, put_object, read_secret
from functions.common.errors import SecretInvalid
from functions.common.settings import need
from functions.reporting import coverage
from functions.reporting.archive import Archive
from functions.reporting.database import Database, opened
from functions.reporting.figures import FILES, DayFigures, Figures
from functions.reporting.files import Decimals
from functions.reporting.notify import link_to, tell
from functions.reporting.output import Output
from functions.reporting.page import render
from functions.reporting.request import Request, day_before
from functions.reporting.rows import (
    AuditEvent,
    Books,
    CashFlow,
    Execution,
    Pnl,
    Position,
    Reference,
    StreamRefusal,
    Trade,
)
from functions.reporting.settings import Settings
from functions.reporting.statement import Missing, Statement
from functions.reporting.upload import Outbox

__all__ = ["REPORTS", "run"]

STREAMED: Final[Mapping[str, type]] = {
    "executions": Execution,
    "cash_flows": CashFlow,
    "trades": Trade,
    "audit_trail": AuditEvent,
    "refusals": StreamRefusal,
}
FOLDED: Final = {"executions": "execution", "cash_flows": "cash_flow", "trades": "trade"}  # by whom of DayFigures
TABLES: Final[Mapping[str, type]] = {**STREAMED, "positions": Position, "pnl": Pnl, **FILES}
REPORTS: Final = tuple(sorted([*TABLES, "page"]))
FORMAT: Final = 1


async def run(settings: Settings, request: Request, clients: Clients) -> dict[str, Any]:
    """Make a day's reports; what was done. Raises FunctionError, and then nothing of them is to be seen."""
    need(settings, "reports_bucket")
    outbox = Outbox(clients, settings.reports_bucket)
    try:
        async with opened(_where(settings, clients), settings.database_tls, settings.database_ca_pem) as database:
            output, manifest, headline = await _Run(settings, request, clients, database, outbox).make()
        outbox.commit()
    finally:
        outbox.abort()
    key, page = f"{output.folder}/manifest.json", f"{output.folder}/page.html"
    put_object(clients, settings.reports_bucket, key, manifest, content_type="application/json")
    answer = {
        "day": request.day,
        "partial": request.partial,
        "headline": headline,
        "folder": output.folder,
        "manifest": key,
        "sha256": hashlib.sha256(manifest).hexdigest(),
        "rows": {file["name"]: file["rows"] for file in output.files},
        "bytes": sum(file["bytes"] for file in output.files),
        "link": link_to(clients, settings, page if "page" in request.reports else key),
    }
    return answer | {"told": tell(clients, settings, answer)}


def _where(settings: Settings, clients: Clients) -> dict[str, Any]:
    if settings.database_url:
        return {"dsn": settings.database_url}
    need(settings, "database_secret")
    secret = read_secret(clients, settings.database_secret)
    where = f"secret {settings.database_secret}"
    names = {"host": "host", "dbname": "database", "username": "user", "password": "password"}
    for name in names:
        if not isinstance(secret.get(name), str) or not secret[name]:
            raise SecretInvalid(f"{name} of the database's secret must be a text, is not", detail=where)
    port = str(secret.get("port", 5432))  # some tools write it as a text
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        raise SecretInvalid("port of the database's secret must be a number from 1 to 65535, is not", detail=where)
    return {names[name]: secret[name] for name in names} | {"port": int(port)}


class _Run:
    """One day out of one snapshot."""

    def __init__(
        self, settings: Settings, request: Request, clients: Clients, database: Database, outbox: Outbox
    ) -> None:
        self._settings, self._request, self._database, self._outbox = settings, request, database, outbox
        self._archive = Archive(clients, settings.archive_bucket)
        self._shards: list[int] = []
        self._statements: list[Statement | Missing] = []

    async def make(self) -> tuple[Output, bytes, str]:
        """All files, not yet to be seen; the manifest, and what comes first."""
        request, database = self._request, self._database
        reach = coverage.joined(await database.reach(request.end_ns), self._archive.shards())
        self._shards = [one.shard for one in reach]
        self._statements = self._statements_of(request.day)
        if not request.partial:
            coverage.check(request.day, reach, self._statements)
        lasts = await database.lasts(request.start_ns, request.end_ns)
        reference = await database.reference(request.day, request.start_ns, request.partial)
        folder = _folder(self._settings.reports_prefix, request, [seq for _, seq in lasts])
        output = Output(self._outbox, folder, request.reports, Decimals(reference))
        headline = await self._write(output, reference)
        if not lasts:
            headline = f"Nothing happened on {request.day}. {headline}"
        return output, output.manifest(**self._said(lasts, headline)), headline

    async def _write(self, output: Output, reference: Reference) -> str:
        """All that is wanted. Tables alone need no figures, and what is not wanted is not read."""
        request, database = self._request, self._database
        books = await database.books(request.start_ns, request.end_ns)
        figures = self._figures(reference, books[0]) if set(request.reports) & {"page", "pnl", *FILES} else None
        for name, kind in STREAMED.items():
            take: Any = getattr(figures, FOLDED[name], None) if name in FOLDED else None
            if name in request.reports or take is not None:
                with output.table(name, kind) as table:
                    async for rows in database.stream(name, request.start_ns, request.end_ns):
                        table.write(rows)
                        for row in rows if take is not None else ():
                            take(row)
        output.whole("positions", Position, books[1].positions)
        if figures is None:
            return f"Tables alone, nothing reconciled: {', '.join(request.reports)}."
        return self._close(output, figures.close(books[1], await database.profits(request.start_ns)))

    def _close(self, output: Output, found: Figures) -> str:
        output.whole("pnl", Pnl, [Pnl(*(getattr(one, name) for name in Pnl._fields)) for one in found.accounts])
        for name, kind in FILES.items():
            output.whole(name, kind, found.tables[name])
        output.text("page.html", render(found, files=output.listed(), notes=self._notes(found)).encode())
        return found.reconciliation.headline

    def _figures(self, reference: Reference, opening: Books) -> DayFigures:
        request = self._request
        return DayFigures(
            reference,
            statements=self._statements,
            before=self._archive.statements(self._shards, day_before(request.day)),
            opening=opening,
            arrivals=self._archive.arrivals(self._shards, request.day),
        )

    def _notes(self, found: Figures) -> list[str]:
        """What a reader must know beside the headline."""
        notes = list(self._archive.notes)
        if self._request.partial:
            notes.insert(0, "The day is not over: these are its figures as far as the tables went.")
        if found.execution_count == 0:
            notes.insert(0, "Nothing happened on this day: no order, no fill, no refusal.")
        return notes

    def _statements_of(self, day: str) -> list[Statement | Missing]:
        if self._request.partial:
            why = "the day must be over to be compared with the engine's ledger"
            return [Missing(shard=shard, why=why, where=day) for shard in self._shards]
        return self._archive.statements(self._shards, day)

    def _said(self, lasts: Sequence[tuple[int, int]], headline: str) -> dict[str, Any]:
        """What the manifest says of the day and of the sources, as far as it does not change any more."""
        return {
            "format": FORMAT,
            "day": self._request.day,
            "partial": self._request.partial,
            "empty": not lasts,
            "headline": headline,
            "tables": [{"shard": shard, "last_sequence": seq} for shard, seq in lasts],
            "statements": [
                {"shard": one.shard, "missing": one.why}
                if isinstance(one, Missing)
                else {"shard": one.shard, "sequence": one.sequence, "digest": one.digest}
                for one in self._statements
            ],
        }


def _folder(prefix: str, request: Request, lasts: Sequence[int]) -> str:
    """Where the files go: a whole day, a day in progress and some reports alone are never mixed."""
    parts = [prefix, request.day]
    if request.partial:
        parts.append("partial-" + "-".join(map(str, lasts or [0])))
    if request.reports != REPORTS:
        parts.append("only-" + "+".join(request.reports))
    return "/".join(part for part in parts if part)
