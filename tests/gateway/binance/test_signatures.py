"""Signatures that were seen begin nothing, also when more come than can be remembered."""

from __future__ import annotations

import pytest

from gateway.binance import signatures as module
from gateway.binance.signatures import STALE_NS, Signatures
from gateway.errors import REPEATED, TOO_MANY_REQUESTS, UNREAD, ApiError, Problem

NOW = 1_700_000_000_000_000_000
BARE = ("apiKey", "timestamp")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Signatures:
    monkeypatch.setattr(module, "SEEN_MAX", 3)
    return Signatures()


def refused(seen: Signatures, nonce: bytes, now_ns: int, names: tuple[str, ...] = BARE) -> Problem:
    with pytest.raises(ApiError) as caught:
        seen.begin(nonce, names, now_ns)
    return caught.value.problem


def test_a_signature_begins_one_thing_and_only_if_it_was_made_for_nothing_else(seen: Signatures) -> None:
    seen.begin(b"a", BARE, NOW)
    assert refused(seen, b"a", NOW) is REPEATED
    assert refused(seen, b"b", NOW, (*BARE, "symbol")) is UNREAD
    seen.saw(b"c", BARE, NOW)
    assert refused(seen, b"c", NOW) is REPEATED
    seen.begin(b"a", BARE, NOW + STALE_NS + 1)  # which nobody verifies any more


def test_while_what_was_seen_could_not_be_kept_nothing_begins(seen: Signatures) -> None:
    for nonce in (b"a", b"b", b"c"):
        seen.saw(nonce, BARE, NOW)
    later = NOW + STALE_NS // 2
    seen.saw(b"d", BARE, later)  # there is no room for it
    assert refused(seen, b"d", later) is TOO_MANY_REQUESTS
    assert refused(seen, b"d", NOW + STALE_NS + 1) is TOO_MANY_REQUESTS, "room alone does not tell who was seen"
    seen.begin(b"e", BARE, later + STALE_NS + 1)


def test_what_is_stale_makes_room_for_what_is_seen(seen: Signatures) -> None:
    for nonce in (b"a", b"b", b"c"):
        seen.saw(nonce, BARE, NOW)
    later = NOW + STALE_NS + 1
    seen.saw(b"d", BARE, later)
    assert refused(seen, b"d", later) is REPEATED
    seen.begin(b"e", BARE, later)
