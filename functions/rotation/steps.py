"""What the labels of a secret's versions say is to be done. Pure: no AWS, no clock, no database.

Secrets Manager keeps the state of a rotation, and nothing else does; so whatever ends half-way, the next one to look
sees where it stood, and every step may be done again.

    labels on versions                     what is to be done
    ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    CURRENT v1                             rest                (begin: a new version gets PENDING)
    CURRENT v1 · PENDING v2 (no value)     create              a new value for v2
    CURRENT v1 · PENDING v2                carry               set, test, finish: each again until finish is done
    CURRENT v2 + PENDING v2 · PREVIOUS v1  tidy, then retire   finish moved CURRENT, which leaves PENDING where it is
    CURRENT v2 · PREVIOUS v1               retire              when nobody needs v1 any more, its label goes
    PENDING v3 · PREVIOUS v1               retire first        v1 may be the very user that v3 is to take over

There is no way from PENDING to nothing: a new secret that cannot be set or tested stays pending, the old one stays
current, and a failing step is tried again.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from functions.common.errors import SecretInvalid
from functions.rotation.errors import RotationRefused

__all__ = [
    "CURRENT",
    "PENDING",
    "PREVIOUS",
    "Labels",
    "Next",
    "Step",
    "is_done",
    "labels_of",
    "next_step",
    "step_named",
]

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"


class Step(enum.StrEnum):
    """The four calls of Secrets Manager, in their order; AWS's own names."""

    CREATE = "createSecret"
    SET = "setSecret"
    TEST = "testSecret"
    FINISH = "finishSecret"


class Next(enum.StrEnum):
    """What is to be done now."""

    REST = "rest"
    CREATE = "create"
    CARRY = "carry"
    TIDY = "tidy"
    RETIRE = "retire"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Which version has which label; "" where none has it. known: all versions, labelled or not."""

    current: str
    pending: str = ""
    previous: str = ""
    known: frozenset[str] = frozenset()


def labels_of(versions: Mapping[str, Iterable[str]], where: str) -> Labels:
    """From VersionIdsToStages. Raises SecretInvalid where none is current, or two have one label."""
    found: dict[str, list[str]] = {CURRENT: [], PENDING: [], PREVIOUS: []}
    for version, labels in versions.items():
        for label in labels:
            if label in found:
                found[label].append(version)
    for label, holders in found.items():
        if len(holders) > 1 or (label == CURRENT and not holders):
            raise SecretInvalid(
                f"exactly one version must be {label}, were {len(holders)}"
                if label == CURRENT
                else f"at most one version must be {label}, were {len(holders)}",
                detail=where,
                hint="put the secret's first value" if not holders else "move the label by update-secret-version-stage",
            )
    one = {label: holders[0] if holders else "" for label, holders in found.items()}
    if one[PREVIOUS] == one[CURRENT]:
        one[PREVIOUS] = ""
    return Labels(current=one[CURRENT], pending=one[PENDING], previous=one[PREVIOUS], known=frozenset(versions))


def next_step(labels: Labels, *, pending_has_value: bool) -> Next:
    """See the table above."""
    if labels.pending == labels.current:
        return Next.TIDY
    if labels.previous and labels.previous != labels.pending:
        return Next.RETIRE
    if not labels.pending:
        return Next.REST
    return Next.CARRY if pending_has_value else Next.CREATE


def step_named(name: object) -> Step:
    """AWS's name, with or without "Secret" behind it. Raises RotationRefused."""
    for step in Step:
        if name in (step.value, step.value.removesuffix("Secret")):
            return step
    raise RotationRefused(
        f"a step must be one of {', '.join(Step)}, was {str(name)[:40]!r}", hint="Secrets Manager names the step"
    )


def is_done(step: Step, version: str, labels: Labels, where: str) -> bool:
    """Has Secrets Manager's call nothing left to do? False: it is to be done now.

    Raises RotationRefused where this version is not the one to rotate to: nothing of it may be done then.
    """
    if version not in labels.known:
        raise RotationRefused(
            f"the version of step {step} must be one of the secret's, is not", detail=f"{where}, version {version}",
            hint="only Secrets Manager names versions; start a rotation by rotate-secret or {\"action\": \"rotate\"}",
        )  # fmt: skip
    if version == labels.current:
        return True
    if version != labels.pending:
        raise RotationRefused(
            f"the version of step {step} must be {PENDING}, is not: "
            + (f"{labels.pending} is" if labels.pending else "no version is"),
            detail=f"{where}, version {version}",
            hint="an earlier or other rotation; {\"action\": \"drive\"} goes on with the one that is pending",
        )  # fmt: skip
    if labels.previous and labels.previous != labels.pending:
        raise RotationRefused(
            f"the secret before must have ended before the next one is made, version {labels.previous} is {PREVIOUS}",
            detail=where,
            hint="{\"action\": \"status\"} says who still needs it; {\"action\": \"drive\"} ends it when nobody does",
        )  # fmt: skip
    return False
