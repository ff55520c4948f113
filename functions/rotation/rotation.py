"""One secret led from step to step, by whoever asks: Secrets Manager, the schedule, a person.

    Secrets Manager   createSecret · setSecret · testSecret · finishSecret, of the version that it names
    every 5 minutes   drive: each secret goes as far as it can, from wherever it stood
    a person          rotate: a new version, then as drive; status; with dry_run nothing but reading; install, once

All three do the same parts below, under a lock in PostgreSQL that lets one at a time work on a secret. Nothing waits:
where somebody has not confirmed, RotationUnfinished says who, the old secret works on, and the next call looks again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from functions.common.errors import EventInvalid, SecretInvalid
from functions.rotation.errors import KindUnknown, NewSecretRefused, RotationBusy, RotationError, RotationUnfinished
from functions.rotation.holders import Holder, Required, lived_out, not_accepted, not_used, required_of
from functions.rotation.kinds import Kind, Value
from functions.rotation.steps import PENDING, Labels, Next, Step, is_done, labels_of, next_step
from functions.rotation.store import ENVIRONMENT_TAG, HOLDERS_TAG, KIND_TAG, USERS_TAG, Found, Store, Version

__all__ = ["Book", "Outcome", "Rotation", "Rules", "each", "text_of"]

PARTS_MAX: Final = 8  # of one drive of one secret: create, carry, tidy, retire; more would go in a circle
SECOND_NS: Final = 10**9
MINUTE_NS: Final = 60 * SECOND_NS


class Book(Protocol):
    """Where holders are written down and locks are taken: the database."""

    def locked(self, secret: str) -> Any:
        """An async context: only we work on this secret. Raises RotationBusy."""

    async def still_held(self) -> None:
        """Raises where the lock is lost."""

    async def holders(self, secret: str) -> list[Holder]:
        """All rows of a secret."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the settings say."""

    environment: str
    required_holders: str
    silent_ns: int
    newcomer_ns: int = 0  # who had just begun says what it holds within
    settle_ns: int = 0  # who took up a new login ends what it began with the old one
    login_ns: int = 0  # how long a login may live that an old key or cookie key signed


@dataclasses.dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one secret. state: rest, unfinished, busy, would (dry run)."""

    secret: str
    kind: str
    state: str = "rest"
    did: list[str] = dataclasses.field(default_factory=list)
    waiting: list[str] = dataclasses.field(default_factory=list)
    since_ns: int = 0  # when the rotation that is under way began

    def to_json(self) -> dict[str, Any]:
        """As handlers answer."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value or name in ("did", "state")}


class _Case:
    """One secret as it stands now, its values read and checked."""

    def __init__(self, found: Found, labels: Labels, kind: Kind, otherwise: str) -> None:
        self.found, self.labels, self.kind, self._otherwise = found, labels, kind, otherwise
        self.where = f"secret {found.name}"
        self.values: dict[str, Version | None] = {}

    def required(self) -> Required:
        """Who must confirm. Raises HoldersUnnamed."""
        tags = self.found.tags
        return required_of(self.kind.name, tags.get(HOLDERS_TAG), tags.get(USERS_TAG), self._otherwise, self.where)

    @property
    def next(self) -> Next:
        pending = self.labels.pending
        return next_step(self.labels, pending_has_value=bool(pending) and self.values.get(pending) is not None)

    def value(self, version_id: str) -> Value:
        """Raises SecretInvalid where the version has none."""
        version = self.values.get(version_id)
        if version is None:
            raise SecretInvalid(
                "a version with a label must have a value, has none", detail=f"{self.where}, version {version_id}",
                hint="put a value, or take the label away",
            )  # fmt: skip
        return version.value

    @property
    def new(self) -> Value:
        """What is being rotated to."""
        return self.value(self.labels.pending or self.labels.current)

    @property
    def old(self) -> Value:
        """What is used until then."""
        return self.value(self.labels.current)

    @property
    def before(self) -> Value | None:
        """What was used before; None where that is no secret of this kind, so that nobody can be let in by it."""
        try:
            version = self.values.get(self.labels.previous)
            if version is not None:
                self.kind.check(version.value, self.where)
        except SecretInvalid:
            return None
        return None if version is None else version.value

    def fresh(self) -> Value:
        """The next value. Raises HoldersUnnamed before one is made that nobody could ever confirm, SecretInvalid."""
        self.required()
        value = self.kind.fresh(self.old)
        self.kind.check(value, self.where)
        self.kind.pair(value, self.old, self.where)
        return value

    @property
    def since_ns(self) -> int:
        """When the rotation under way began: its version was made then."""
        newest = self.values.get(self.labels.pending or self.labels.current)
        return newest.made_ns if newest is not None else self.found.changed_ns


class Rotation:
    """All that can be asked."""

    def __init__(
        self, store: Store, book: Book, kinds: Mapping[str, Kind], rules: Rules, now_ns: Callable[[], int]
    ) -> None:
        self._store, self._book, self._kinds, self._rules, self._now_ns = store, book, kinds, rules, now_ns
        self.urgent: dict[str, str] = {}  # by secret, what people must hear of the value in use

    # ---- What is asked ----------------------------------------------------------------------------------------------

    async def step(self, step: Step, secret_id: str, version: str) -> Outcome:
        """One of Secrets Manager's four calls. Raises whatever keeps it from being done."""
        name = self._store.describe(secret_id).name
        async with self._book.locked(name):
            case = self._look(secret_id)
            outcome = _outcome(case)
            if not is_done(step, version, case.labels, case.where):
                if step is Step.CREATE:
                    await self._create(case, outcome)
                elif step is Step.SET:
                    await self._set(case, outcome)
                elif step is Step.TEST and _is_trial(case):
                    outcome.did.append("a trial: labels, tags, database and holders can be read")
                elif step is Step.TEST:
                    await self._test(case, outcome)
                else:
                    await self._test(case, outcome)  # what was tested some time ago may hold no longer
                    await self._finish(case, outcome)
            if step is Step.FINISH:
                await self._go_on(secret_id, outcome)
            return outcome

    async def drive(self, secret_id: str) -> Outcome:
        """As far as it goes, from wherever it stands."""
        name = self._store.describe(secret_id).name
        async with self._book.locked(name):
            case = self._look(secret_id)
            outcome = _outcome(case)
            if urgent := case.kind.urgent(case.old):
                self.urgent[name] = urgent  # it stays where what follows fails
            if case.next is Next.REST and case.kind.due(case.old):
                await self._create(case, outcome)
            await self._go_on(secret_id, outcome)
            if name in self.urgent:
                case = self._look(secret_id)
                self.urgent[name] = case.kind.urgent(case.old)
            return outcome

    async def rotate(self, secret_id: str, *, dry_run: bool) -> Outcome:
        """A new version, then as drive. One that is under way already is gone on with instead."""
        if dry_run:
            return await self._would(secret_id)
        name = self._store.describe(secret_id).name
        async with self._book.locked(name):
            case = self._look(secret_id)
            outcome = _outcome(case)
            if case.next is Next.REST:
                await self._create(case, outcome)
            else:
                outcome.did.append(f"a rotation was under way already ({case.next}); went on with that one")
            await self._go_on(secret_id, outcome)
            return outcome

    async def install(self, secret_id: str) -> Outcome:
        """Make what the current value names and what is not there yet: users, a first certificate."""
        name = self._store.describe(secret_id).name
        async with self._book.locked(name):
            case = self._look(secret_id)
            outcome = _outcome(case)
            if case.next is Next.REST and case.kind.made(case.old):
                await self._book.still_held()
                outcome.did += await case.kind.set(case.old)
                return outcome
            if case.next is Next.REST:
                await self._create(case, outcome)
            await self._go_on(secret_id, outcome)
            return outcome

    async def status(self, secret_id: str) -> Outcome:
        """Where it stands, and who is waited for. Reads only."""
        case = self._look(secret_id)
        outcome = _outcome(case)
        outcome.state = case.next.value
        outcome.since_ns = case.since_ns if case.next is not Next.REST else 0
        if case.next in (Next.CARRY, Next.RETIRE):
            outcome.waiting = await self._waiting(case, case.next)
        return outcome

    def listed(self) -> list[str]:
        """ARNs of all secrets that rotate in this environment."""
        return [found.arn for found in self._store.list(self._rules.environment)]

    # ---- From step to step ------------------------------------------------------------------------------------------

    async def _go_on(self, secret_id: str, outcome: Outcome) -> None:
        for _ in range(PARTS_MAX):
            case = self._look(secret_id)
            outcome.since_ns = case.since_ns
            try:
                if case.next is Next.REST:
                    outcome.state, outcome.since_ns = "rest", 0
                    return
                if case.next is Next.CREATE:
                    await self._create(case, outcome)
                elif case.next is Next.CARRY:
                    await self._set(case, outcome)
                    await self._test(case, outcome)
                    await self._finish(case, outcome)
                elif case.next is Next.TIDY:
                    await self._tidy(case)
                else:
                    await self._retire(case, outcome)
            except RotationUnfinished as unfinished:
                outcome.state, outcome.waiting = "unfinished", list(unfinished.waiting)
                return
        raise RotationError("a rotation must come to rest, goes in a circle", detail=f"secret {outcome.secret}")

    async def _create(self, case: _Case, outcome: Outcome) -> None:
        """A new value for the pending version, or a new pending version."""
        pending = case.labels.pending
        if pending and case.values.get(pending) is not None:
            return
        value = case.fresh()
        await self._book.still_held()
        version = self._store.put_pending(case.found, pending, value)
        outcome.did.append(f"version {version} made")

    async def _set(self, case: _Case, outcome: Outcome) -> None:
        self._checked_pair(case)
        await self._book.still_held()
        outcome.did += await case.kind.set(case.new)

    async def _test(self, case: _Case, outcome: Outcome) -> None:
        self._checked_pair(case)
        if waiting := await self._waiting(case, Next.CARRY):
            raise RotationUnfinished(
                "everybody who checks a secret must accept the new one before it is used, some do not yet", waiting,
                detail=case.where, hint="the old one stays in use; the next drive looks again",
            )  # fmt: skip
        outcome.did += await case.kind.test(case.new)

    async def _finish(self, case: _Case, outcome: Outcome) -> None:
        await self._book.still_held()
        self._store.make_current(case.found, case.labels.pending, case.labels.current)
        outcome.did.append(f"version {case.labels.pending} is current")

    async def _tidy(self, case: _Case) -> None:
        """AWS moves AWSCURRENT and leaves AWSPENDING at the same version."""
        await self._book.still_held()
        self._store.take_label(case.found, PENDING, case.labels.pending)

    async def _retire(self, case: _Case, outcome: Outcome) -> None:
        """The old one ends: first where it is let in, then its label, so that whatever stops here is done again."""
        if waiting := await self._waiting(case, Next.RETIRE):
            raise RotationUnfinished(
                "nobody may need the old secret when it ends, some may", waiting, detail=case.where,
                hint="the old one works until then; the next drive looks again",
            )  # fmt: skip
        if not case.kind.verified:
            await self._try_current(case)
        await self._book.still_held()
        if case.before is not None:
            outcome.did += await case.kind.end(case.before, case.old)
        self._store.end_previous(case.found, case.labels.previous)
        outcome.did.append(f"version {case.labels.previous} ended")

    async def _try_current(self, case: _Case) -> None:
        """Somebody may have put a value or moved a label by hand. Two that do not work would be one too many."""
        if not case.kind.made(case.old):
            raise NewSecretRefused("the current version must have a value before the old one ends", detail=case.where)
        await case.kind.test(case.old)

    async def _waiting(self, case: _Case, step: Next) -> list[str]:
        """Who must confirm before this step, and has not."""
        now_ns = self._now_ns()
        alive_since_ns = now_ns - self._rules.silent_ns
        new = case.new if step is Next.CARRY else case.old
        names = {case.kind.holder(value) for value in (new, case.before or new)}
        rows = [row for name in sorted(names) for row in await self._book.holders(name)]
        fingerprint = case.kind.fingerprint(new)
        if step is Next.CARRY:
            if not case.kind.verified:
                return []
            waiting = not_accepted(rows, fingerprint, case.required(), alive_since_ns=alive_since_ns)
            return waiting + self._coming(case, now_ns)
        if case.before is not None and not case.kind.made(case.before):
            return []  # there was nothing before the first one
        verified = case.kind.verified
        waiting = not_used(rows, fingerprint, case.required(), verified=verified, alive_since_ns=alive_since_ns)
        waiting += self._living(case, rows, now_ns)
        return waiting + (await case.kind.unused(case.before, new) if case.before is not None else [])

    def _coming(self, case: _Case, now_ns: int) -> list[str]:
        """Who read the secret just before the new version was there, checks with it, and has said nothing yet."""
        left_ns = max(case.since_ns, case.found.changed_ns) + self._rules.newcomer_ns - now_ns
        said = f"a process that had just begun may say what it holds within {-(-left_ns // SECOND_NS)} s more"
        return [said] if self._rules.newcomer_ns and left_ns > 0 else []

    def _living(self, case: _Case, rows: Sequence[Holder], now_ns: int) -> list[str]:
        """What was begun with the old one, and may need it for some time yet."""
        if case.kind.verified:
            left_ns = lived_out(rows, case.found.changed_ns, self._rules.login_ns) - now_ns
            said = f"logins that the old one signed may live on for {-(-left_ns // MINUTE_NS)} minutes"
            return [said] if self._rules.login_ns and left_ns > 0 else []
        left_ns = lived_out(rows, case.found.changed_ns, self._rules.settle_ns) - now_ns
        said = f"what was begun with the old one may need {-(-left_ns // SECOND_NS)} s more"
        return [said] if self._rules.settle_ns and left_ns > 0 else []

    async def _would(self, secret_id: str) -> Outcome:
        """What rotate would do. Reads only."""
        case = self._look(secret_id)
        outcome = _outcome(case)
        outcome.state = "would"
        step = case.next
        outcome.waiting = await self._waiting(case, step) if step in (Next.CARRY, Next.RETIRE) else []
        rest = ["test it", "make it current", "end the old one when nobody needs it"]
        planned = {
            Next.REST: ["make a new version", "set it", *rest],
            Next.CREATE: ["give the pending version a value", "set it", *rest],
            Next.CARRY: ["set the pending version", *rest],
            Next.TIDY: ["take AWSPENDING from the current version"],
            Next.RETIRE: ["end the old version when nobody needs it"],
        }
        outcome.did = [f"would {part}" for part in planned[step]]
        case.required()
        if step is Next.REST:
            case.fresh()  # whether one could be made at all; it goes nowhere
            await self._book.holders(case.kind.holder(case.old))
        return outcome

    # ---- How it stands ----------------------------------------------------------------------------------------------

    def _look(self, secret_id: str) -> _Case:
        """Read labels, tags and the values that have a label. Raises SecretInvalid, KindUnknown."""
        found = self._store.describe(secret_id)
        where = f"secret {found.name}"
        if found.deleted:
            raise SecretInvalid("a secret must be there to rotate, is marked for deletion", detail=where)
        if found.tags.get(ENVIRONMENT_TAG) != self._rules.environment:
            raise SecretInvalid(
                f"a secret must be of environment {self._rules.environment} to rotate here, "
                f"its tag says {found.tags.get(ENVIRONMENT_TAG)}",
                detail=where, hint=f"correct the tag {ENVIRONMENT_TAG} or ask the function of its environment",
            )  # fmt: skip
        kind = self._kinds.get(found.tags.get(KIND_TAG, ""))
        if kind is None:
            raise KindUnknown(
                f"a secret's kind must be one of {', '.join(sorted(self._kinds))}, was {found.tags.get(KIND_TAG)}",
                detail=where, hint=f"correct the tag {KIND_TAG}; tls needs ca_secret, kafka needs kafka_bootstrap",
            )  # fmt: skip
        case = _Case(found, labels_of(found.versions, where), kind, self._rules.required_holders)
        for version in {case.labels.current, case.labels.pending, case.labels.previous} - {""}:
            case.values[version] = self._store.read(found, version, strict=version != case.labels.previous)
        kind.check(case.old, where)
        if case.labels.pending and case.values[case.labels.pending] is not None:
            kind.check(case.new, f"{where}, the pending version")
        return case

    def _checked_pair(self, case: _Case) -> None:
        case.kind.pair(case.new, case.old, case.where)
        if case.kind.fingerprint(case.new) == case.kind.fingerprint(case.old):
            raise NewSecretRefused(
                "the new version must be another secret than the current one, is the same", detail=case.where,
                hint="take AWSPENDING away from that version",
            )  # fmt: skip


def _is_trial(case: _Case) -> bool:
    """Where a schedule is set up, AWS calls testSecret once, of a version that is no new secret."""
    pending = case.values.get(case.labels.pending)
    return pending is None or pending.value == case.old


def _outcome(case: _Case) -> Outcome:
    return Outcome(secret=case.found.name, kind=case.kind.name)


async def each(
    work: Callable[[str], Awaitable[Outcome]], secrets: Sequence[str], failed: Callable[[str, Exception], None]
) -> list[Outcome]:
    """Drive or install one secret after the other; one that fails keeps no other one from going on."""
    outcomes = []
    for secret in secrets:
        try:
            outcomes.append(await work(secret))
        except RotationBusy:
            outcomes.append(Outcome(secret=secret, kind="", state="busy"))
        except Exception as error:  # whatever it is, the others must go on; the caller raises at the end
            failed(secret, error)
    return outcomes


def text_of(event: Mapping[str, Any], field: str) -> str:
    """A field of the event that must be a text. Raises EventInvalid."""
    found = event.get(field)
    if not isinstance(found, str) or not 1 <= len(found) <= 2048:
        raise EventInvalid(f"{field} must be a text of 1 to 2048 characters, is not", hint="see event.example.json")
    return found
