"""Every way labels can lie on versions, and every call in each of them: what is to be done is one of six things."""

from __future__ import annotations

import itertools

import pytest

from functions.common.errors import SecretInvalid
from functions.rotation.errors import RotationRefused
from functions.rotation.steps import CURRENT, PENDING, PREVIOUS, Next, Step, is_done, labels_of, next_step, step_named

VERSIONS = ("v1", "v2", "v3")
# Each label on one of three versions or on none: 4 * 4 * 4 states.
STATES = list(itertools.product((*VERSIONS, ""), repeat=3))


def state(current: str, pending: str, previous: str) -> dict[str, list[str]]:
    labels: dict[str, list[str]] = {version: [] for version in VERSIONS}
    for label, version in ((CURRENT, current), (PENDING, pending), (PREVIOUS, previous)):
        if version:
            labels[version].append(label)
    return labels


@pytest.mark.parametrize(("current", "pending", "previous"), STATES)
def test_every_state_of_labels_has_exactly_one_next_step(current: str, pending: str, previous: str):
    if not current:
        with pytest.raises(SecretInvalid, match="exactly one version must be AWSCURRENT, were 0"):
            labels_of(state(current, pending, previous), "secret s")
        return
    labels = labels_of(state(current, pending, previous), "secret s")
    for has_value in (False, True):
        found = next_step(labels, pending_has_value=has_value)
        if pending == current:
            assert found is Next.TIDY
        elif previous and previous not in (current, pending):
            assert found is Next.RETIRE
        elif pending:
            assert found is (Next.CARRY if has_value else Next.CREATE)
        else:
            assert found is Next.REST


@pytest.mark.parametrize(("current", "pending", "previous"), [one for one in STATES if one[0]])
def test_a_step_is_done_only_for_the_pending_version_and_only_when_no_old_one_lives(
    current: str, pending: str, previous: str
):
    labels = labels_of(state(current, pending, previous), "secret s")
    for step, version in itertools.product(Step, (*VERSIONS, "unknown")):
        if version == current:
            assert is_done(step, version, labels, "secret s")
        elif version != pending or previous not in ("", current, pending):
            with pytest.raises(RotationRefused):
                is_done(step, version, labels, "secret s")
        else:
            assert not is_done(step, version, labels, "secret s")


@pytest.mark.parametrize("has_value", [False, True])
@pytest.mark.parametrize(("current", "pending", "previous"), [one for one in STATES if one[0]])
def test_from_every_state_a_rotation_comes_to_rest_with_one_labelled_version(
    current: str, pending: str, previous: str, has_value: bool
):
    """What the steps do to the labels, done here by hand: no state is a dead end, none goes in a circle."""
    now = state(current, pending, previous)
    for _ in range(6):
        labels = labels_of(now, "secret s")
        step = next_step(labels, pending_has_value=has_value)
        if step is Next.REST:
            break
        if step is Next.CREATE:
            has_value = True
        elif step is Next.TIDY:
            now[labels.pending].remove(PENDING)
        elif step is Next.RETIRE:
            now[labels.previous].remove(PREVIOUS)
        else:
            for version in VERSIONS:
                now[version] = [label for label in now[version] if label != PREVIOUS]
            now[labels.current] = [PREVIOUS]
            now[labels.pending] = [CURRENT]
    assert sorted(label for labels in now.values() for label in labels if label != PREVIOUS) == [CURRENT]
    assert labels_of(now, "secret s").previous == ""


def test_two_versions_with_one_label_are_refused():
    for label in (CURRENT, PENDING, PREVIOUS):
        versions = {"v1": [CURRENT], "v2": [label], "v3": [label]}
        with pytest.raises(SecretInvalid, match=f"one version must be {label}, were"):
            labels_of(versions, "secret s")


def test_steps_have_awss_names():
    assert [step_named(name) for name in ("createSecret", "set", "testSecret", "finish")] == list(Step)
    for wrong in ("", "rotate", None, 7):
        with pytest.raises(RotationRefused, match="a step must be one of"):
            step_named(wrong)
