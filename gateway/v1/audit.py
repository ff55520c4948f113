"""/api/v1/audit: who changed what, and when: risk's audit, and administrators' commands in the journal.

audit (risk.audit) ──┐
                     ├──▶ by time, newest first
executions, applied and rejected commands of administration ──┘
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway import errors
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.routing import Access, Call, Route
from gateway.v1.models import AuditEntry, PageQuery
from gateway.v1.risk import place
from gateway.v1.types import Page
from schemas.vocabulary import KIND_PERMISSION, Kind, Permission

__all__ = ["ROUTES"]

# Kinds of commands that only administrators send, as the database writes them.
KINDS: Final = [Kind(kind).name.lower() for kind, needs in KIND_PERMISSION.items() if needs == Permission.ADMIN]
ENTRIES: Final = """
SELECT * FROM (
    (SELECT audit_id, who, NULL::bigint AS key, what, firm, account, NULL::text AS symbol, before::text AS before,
        after::text AS after, code, NULL::text AS text, seq, time_ns
    FROM audit WHERE ($1::bigint IS NULL OR account = $1)
        AND ($2::bigint IS NULL OR (time_ns, audit_id) < ($2, $3::text))
    ORDER BY time_ns DESC, audit_id DESC LIMIT $4)
    UNION ALL
    (SELECT journal.* FROM (
        SELECT concat_ws(':', 'journal', e.shard, e.seq, e.n) AS audit_id, k.key_id AS who, e.key,
            CASE e.type WHEN 'rejected' THEN e.kind || '_rejected' ELSE e.kind END AS what, e.firm, e.account, e.symbol,
            NULL::text AS before, NULL::text AS after, e.code, e.text, e.seq, e.received_ns AS time_ns
        FROM executions e LEFT JOIN keys k ON k.number = e.key AND k.number > 0
        WHERE e.type IN ('applied', 'rejected') AND e.kind = ANY($5::text[])
            AND ($1::bigint IS NULL OR e.account = $1) AND ($2::bigint IS NULL OR e.received_ns <= $2)
        ) journal
    WHERE $2::bigint IS NULL OR (journal.time_ns, journal.audit_id) < ($2, $3::text)
    ORDER BY journal.time_ns DESC, journal.audit_id DESC LIMIT $4)
) entries ORDER BY time_ns DESC, audit_id DESC LIMIT $4"""


async def audit(call: Call) -> Page[AuditEntry]:
    """Who changed what, newest first.

    Of the caller's account; with the permission `admin` of all.
    """
    gateway, asked, caller = call.gateway, call.parameters, call.caller
    if gateway.history is None:
        raise ApiError(errors.HISTORY_AWAY, "The audit is in the database, and this gateway has none.")
    account = None if caller is None or caller.may(Permission.ADMIN) else caller.account
    time_ns, audit_id = place(asked.after)
    rows = await gateway.history.rows(ENTRIES, account, time_ns, audit_id, asked.limit, KINDS)
    items = [_entry(gateway, row) for row in rows]
    return Page(items=items, next=f"{items[-1].time_ns}.{items[-1].audit_id}" if len(items) == asked.limit else None)


def _entry(gateway: Gateway, row: Any) -> AuditEntry:
    before, after = (None if row[name] is None else msgspec.json.decode(row[name]) for name in ("before", "after"))
    return AuditEntry(
        audit_id=row["audit_id"],
        who=row["who"] or f"key {row['key']}",
        what=row["what"],
        firm=row["firm"],
        account=row["account"],
        symbol=row["symbol"],
        before=before,
        after=after,
        code=row["code"],
        text=row["text"],
        sequence=row["seq"],
        time_ns=row["time_ns"],
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/audit",
        handler=audit,
        summary="Who changed what, newest first.",
        tag="operations",
        access=Access.READ,
        parameters=PageQuery,
        returns=Page[AuditEntry],
        weight=20,
        problems=(errors.HISTORY_AWAY,),
    ),
)
