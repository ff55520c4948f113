"""Who must have confirmed, and who has not."""

from __future__ import annotations

import pytest

from functions.rotation.errors import HoldersUnnamed
from functions.rotation.holders import Holder, Required, not_accepted, not_used, required_of

NOW_NS, SINCE_NS = 1000, 900
ENGINE_AND_GATEWAY = Required(holders={"engine": 1, "gateway": 1})


def row(process: str, accepts: str = "", uses: str | None = None, seen_ns: int = NOW_NS) -> Holder:
    kind = process.rpartition("-")[0]
    return Holder(
        process=process, kind=kind, accepts=frozenset(accepts.split()), uses=uses, since_ns=0, seen_ns=seen_ns
    )


def accepted(*rows: Holder, required: Required = ENGINE_AND_GATEWAY) -> list[str]:
    return not_accepted(rows, "new", required, alive_since_ns=SINCE_NS)


def used(*rows: Holder, required: Required = ENGINE_AND_GATEWAY, verified: bool = True) -> list[str]:
    return not_used(rows, "new", required, verified=verified, alive_since_ns=SINCE_NS)


def test_all_that_are_required_and_all_that_are_there_must_accept_the_new_one():
    assert accepted(row("engine-0", "old new"), row("gateway-0", "new old")) == []
    assert accepted(row("engine-0", "old new")) == ["1 of kind gateway must accept the new one, 0 do"]
    assert accepted(row("engine-0", "old new"), row("gateway-0", "old")) == [
        "gateway-0 does not accept the new one yet",
        "1 of kind gateway must accept the new one, 0 do",
    ]
    assert accepted(row("engine-0", "old new"), row("gateway-0", "new"), row("risk-0", "old")) == [
        "risk-0 does not accept the new one yet"
    ]


def test_nobody_at_all_is_not_everybody():
    assert len(accepted()) == 2
    assert len(used()) == 2


def test_who_is_silent_has_not_confirmed_even_if_it_accepted_the_new_one():
    waiting = accepted(row("engine-0", "old new", seen_ns=SINCE_NS - 1), row("gateway-0", "new"))
    assert waiting[0].startswith("engine-0 does not say what it holds now")
    assert waiting[1] == "1 of kind engine must accept the new one, 0 do"
    assert len(used(row("engine-0", "new", seen_ns=0), row("gateway-0", "new"))) == 2


def test_who_only_uses_it_need_not_accept_it_before_it_is_current():
    assert accepted(row("engine-0", "old new"), row("gateway-0", "new"), row("submitter-0", uses="old")) == []


def test_the_old_one_stays_while_anybody_uses_another_one_than_the_new():
    both = (row("engine-0", "old new"), row("gateway-0", "old new"))
    assert used(*both) == []
    assert used(*both, row("submitter-0", uses="new")) == []
    assert used(*both, row("submitter-0", uses="old")) == ["submitter-0 still uses another one"]
    assert used(*both, row("submitter-0", uses="even-older")) == ["submitter-0 still uses another one"]


def test_the_old_one_stays_while_a_process_that_came_later_does_not_accept_the_new():
    assert used(row("engine-0", "new"), row("gateway-0", "new"), row("gateway-1", "old")) == [
        "gateway-1 does not accept the new one"
    ]


def test_a_login_is_held_by_using_it():
    one = Required(holders={"gateway": 2})
    rows = row("gateway-0", uses="new"), row("gateway-1", uses="new")
    assert used(*rows, required=one, verified=False) == []
    assert used(rows[0], row("gateway-1", uses="old"), required=one, verified=False) == [
        "gateway-1 still uses another one",
        "2 of kind gateway must use the new one, 1 do",
    ]


def test_users_that_must_be_seen_are_waited_for():
    wanted = Required(holders={"engine": 1}, users={"submitter": 1})
    assert used(row("engine-0", "new"), required=wanted) == ["1 of kind submitter must use the new one, 0 do"]
    assert used(row("engine-0", "new"), row("submitter-0", uses="new"), required=wanted) == []


def test_who_is_required_stands_in_the_tags_or_in_the_setting():
    setting = "api_key:engine=1,gateway=2;cookie:gateway=3"
    assert required_of("cookie", "gateway=1", None, setting, "s").holders == {"gateway": 1}
    assert required_of("cookie", None, None, setting, "s").holders == {"gateway": 3}
    assert required_of("api_key", None, "submitter=1", setting, "s") == Required(
        holders={"engine": 1, "gateway": 2}, users={"submitter": 1}
    )
    assert required_of("tls", "", None, setting, "s").holders == {}
    assert required_of("tls", None, "gateway=1", setting, "s") == Required(holders={}, users={"gateway": 1})
    with pytest.raises(HoldersUnnamed, match="must say who holds it or who uses it, says nothing; s"):
        required_of("tls", None, None, setting, "s")


@pytest.mark.parametrize("wrong", ["gateway", "gateway=", "gateway=-1", "gateway=many", "=2", "gateway=99999"])
def test_a_count_that_is_none_is_refused(wrong: str):
    with pytest.raises(HoldersUnnamed, match="must be said as kind=count"):
        required_of("cookie", wrong, None, "", "s")
