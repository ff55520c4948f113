"""Who must hold a secret, and who does not yet. Pure: rows of secret_holders in, names of who is missing out.

A process says of a secret what it `accepts` from others (fingerprints of all versions it lets in) and what it `uses`
itself. A verified secret (an API key, the cookie key) must be accepted by everybody who checks it before anybody may
use it; any other one is only used, and whoever uses it gets the new one when it is current.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

from functions.rotation.errors import HoldersUnnamed

__all__ = ["Holder", "Required", "lived_out", "not_accepted", "not_used", "required_of"]

STRAGGLERS_NS = 12 * 3600 * 10**9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One row of secret_holders."""

    process: str
    kind: str
    accepts: frozenset[str]
    uses: str | None
    since_ns: int
    seen_ns: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """How many processes of a kind there must be: those that hold it, and those that must be seen to use it."""

    holders: Mapping[str, int]
    users: Mapping[str, int] = dataclasses.field(default_factory=dict)


def required_of(kind: str, holders: str | None, users: str | None, otherwise: str, where: str) -> Required:
    """From the secret's tags ("engine=1 gateway=2"), or from the setting of all kinds ("cookie:gateway=2;…").

    Raises HoldersUnnamed.
    """
    said = holders
    if said is None:
        for part in otherwise.split(";"):
            name, _, counts = part.strip().partition(":")
            if name == kind:
                said = counts
    if said is None and users is None:
        raise HoldersUnnamed(
            "a secret must say who holds it or who uses it, says nothing",
            detail=where,
            hint="tag it ironbook:holders ('engine=1 gateway=2'; empty: nobody tells) or ironbook:users ('risk=1')",
        )
    return Required(holders=_counts(said or "", where), users=_counts(users or "", where))


def _counts(said: str, where: str) -> dict[str, int]:
    found = {}
    for part in said.replace(",", " ").split():
        name, _, count = part.partition("=")
        if not (name.replace("-", "").isalnum() and count.isascii() and count.isdigit() and int(count) <= 10_000):
            raise HoldersUnnamed(
                f"who holds a secret must be said as kind=count, was {part[:40]!r}", detail=where,
                hint="such as 'engine=1 gateway=2', with blanks between",
            )  # fmt: skip
        found[name] = int(count)
    return found


def not_accepted(rows: Iterable[Holder], new: str, required: Required, *, alive_since_ns: int) -> list[str]:
    """Who checks this secret and would not let the new one in yet; nobody: it may become current."""
    waiting, good = [], collections.Counter[str]()
    for row in rows:
        if not row.accepts:
            continue
        if row.seen_ns < alive_since_ns:
            waiting.append(_silent(row))
        elif new not in row.accepts:
            waiting.append(f"{row.process} does not accept the new one yet")
        else:
            good[row.kind] += 1
    return waiting + _too_few(good, required.holders, "accept the new one")


def not_used(rows: Iterable[Holder], new: str, required: Required, *, verified: bool, alive_since_ns: int) -> list[str]:
    """Who would be refused if the old one ended now; nobody: it may."""
    waiting = []
    holding, using = collections.Counter[str](), collections.Counter[str]()
    for row in rows:
        accepts, uses = new in row.accepts, row.uses == new
        if row.seen_ns < alive_since_ns:
            waiting.append(_silent(row))
            continue
        if row.accepts and not accepts:
            waiting.append(f"{row.process} does not accept the new one")
        if row.uses is not None and not uses:
            waiting.append(f"{row.process} still uses another one")
        holding[row.kind] += accepts if verified else uses
        using[row.kind] += uses
    held = "accept the new one" if verified else "use the new one"
    return waiting + _too_few(holding, required.holders, held) + _too_few(using, required.users, "use the new one")


def lived_out(rows: Iterable[Holder], changed_ns: int, lifetime_ns: int) -> int:
    """When all that was begun with the old one is over: so long after the last holder took up the new one.

    A process that came much later never had the old one, and one whose clock is ahead says nothing of use: what holders
    say counts for STRAGGLERS_NS at most, or an old secret would never end where processes come and go.
    """
    latest_ns = max([changed_ns, *(row.since_ns for row in rows)])
    return min(latest_ns, changed_ns + max(lifetime_ns, STRAGGLERS_NS)) + lifetime_ns


def _silent(row: Holder) -> str:
    return f"{row.process} does not say what it holds now, was last heard of at {row.seen_ns // 10**9} s of the epoch"


def _too_few(found: Mapping[str, int], wanted: Mapping[str, int], what: str) -> list[str]:
    return [
        f"{count} of kind {kind} must {what}, {found.get(kind, 0)} do"
        for kind, count in sorted(wanted.items())
        if found.get(kind, 0) < count
    ]
