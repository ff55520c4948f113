"""Keys and signatures: who may call, from where, and when."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import pairs
from gateway.auth import Caller, KeyRing, Pads
from gateway.errors import (
    BANNED,
    ILLEGAL,
    KEY_FORMAT,
    KEY_REFUSED,
    MANDATORY,
    RECV_WINDOW,
    SIGNATURE,
    TIMESTAMP,
    TIMESTAMP_AHEAD,
    TOO_MANY_PARAMETERS,
    TOO_MANY_REQUESTS,
    ApiError,
    Problem,
)
from gateway.limits import Limits
from gateway.routing import Request
from gateway.settings import GatewaySettings
from ironbook import keystore
from ironbook.keystore import KeyFile
from ironbook.renewal import Renewal
from schemas.vocabulary import Permission
from tests.support.aio import in_loop, until

NOW_MS = 1_700_000_000_000
LOG: list[tuple[str, Any]] = []  # of renewals
TRADER = Permission.TRADE | Permission.CANCEL | Permission.READ


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFile:
    monkeypatch.setattr(keystore, "_SCRYPT_LOG2_N", 14)  # half the work; what is slow about it is tested elsewhere
    made = KeyFile(tmp_path / "keys.ironbook", b"correct horse battery")
    made.initialise()
    return made


@asynccontextmanager
async def opened(store: KeyFile, **limits: Any) -> AsyncIterator[KeyRing]:
    settings = dataclasses.replace(GatewaySettings(), **limits)
    reader = KeyFile(store.path, b"correct horse battery")
    ring = KeyRing(reader, Limits(settings))
    await ring.open()
    renewal = Renewal(0.01, lambda level, event, more: LOG.append((event, more)))
    renewal.watch("key file", ring.mark, ring.renew)
    await renewal.open()
    try:
        yield ring
    finally:
        await renewal.close()
        await ring.close()


def sign(secret: bytes, signed: bytes) -> str:
    return hmac.new(secret.hex().encode(), signed, hashlib.sha256).hexdigest()


def request(
    key_id: str, query: bytes = b"", body: bytes = b"", path: str = "/api/v3/order", peer: str = "192.0.2.7"
) -> Request:
    return Request("POST", path, query, {"x-mbx-apikey": key_id}, body, peer, "r", NOW_MS * 1_000_000)


def ask(
    ring: KeyRing, made: Request, permission: int = Permission.READ, now_ms: int = NOW_MS
) -> tuple[Caller, bytes, int]:
    sent = pairs(made, form=not made.path.startswith("/api/v1/"))
    return ring.authenticate(made, sent, permission, now_ms * 1_000_000)


def refusal(ring: KeyRing, made: Request, permission: int = Permission.READ, now_ms: int = NOW_MS) -> Problem:
    with pytest.raises(ApiError) as caught:
        ask(ring, made, permission, now_ms)
    return caught.value.problem


def sign_v1(secret: bytes, method: str, path: str, query: bytes, body: bytes = b"") -> bytes:
    return sign(secret, f"{method} {path}?".encode() + query + body).encode()


def signed(secret: bytes, key_id: str = "desk", rest: bytes = b"symbol=BTCUSD&", **more: Any) -> Request:
    query = rest + b"timestamp=%d" % NOW_MS
    return request(key_id, query + b"&signature=" + sign(secret, query).encode(), **more)


@in_loop
async def test_a_signed_query_names_its_caller(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER, account=7).secret
    async with opened(store) as ring:
        caller, nonce, timestamp_ns = ask(ring, signed(secret))
        assert (caller.key_id, caller.number, caller.account, caller.via) == ("desk", 1, 7, "signature")
        assert caller.may(Permission.TRADE | Permission.READ)
        assert not caller.may(Permission.TRADE | Permission.ADMIN)
        assert (len(nonce), timestamp_ns) == (16, NOW_MS * 1_000_000)


@in_loop
async def test_the_published_example_of_the_dialect_verifies(store: KeyFile) -> None:
    """The signature is over text, with the secret's text as key: any client's own HMAC gives it."""
    secret = store.create_key("desk", permissions=TRADER).secret
    query = b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
    query += b"&timestamp=%d" % NOW_MS
    made = hmac.new(secret.hex().encode("ascii"), query, "sha256").hexdigest()
    async with opened(store) as ring:
        assert ask(ring, request("desk", query + b"&signature=" + made.encode()))


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (b"%s&signature=%t", b""),
        (b"signature=%t&%s", b""),
        (b"", b"%s&signature=%t"),
        (b"", b"signature=%t&%s"),
        (b"%s", b"signature=%t"),
        (b"signature=%t", b"%s"),
    ],
)
@in_loop
async def test_the_signature_may_stand_anywhere(store: KeyFile, query: bytes, body: bytes) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    text = b"symbol=BTCUSD&timestamp=%d&mysignature=x&recvWindow=100" % NOW_MS
    tag = sign(secret, text).encode()
    parts = [part.replace(b"%s", text).replace(b"%t", tag) for part in (query, body)]
    async with opened(store) as ring:
        assert ask(ring, request("desk", *parts))


@in_loop
async def test_query_and_form_are_signed_as_received_one_behind_the_other(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    query, form = b"symbol=BTC%2FUSD&a=%c3%a4&b=2", b"timestamp=%d&quantity=1" % NOW_MS
    tag = sign(secret, query + form).encode()
    async with opened(store) as ring:
        assert ask(ring, request("desk", query, form + b"&signature=" + tag))
        assert ask(ring, request("desk", query + b"&signature=" + tag, form))
        other = request("desk", b"symbol=BTC/USD&a=%c3%a4&b=2", form + b"&signature=" + tag)
        assert refusal(ring, other) is SIGNATURE, "the same after decoding is not the same"


@in_loop
async def test_a_json_body_is_signed_whole_and_names_nothing(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    query, body = b"timestamp=%d" % NOW_MS, b'{"text":"&signature=no&timestamp=1"}'
    tag = sign_v1(secret, "POST", "/api/v1/orders", query, body)
    async with opened(store) as ring:
        made = request("desk", query + b"&signature=" + tag, body, "/api/v1/orders")
        assert ask(ring, made)
        assert refusal(ring, request("desk", made.query, body + b" ", "/api/v1/orders")) is SIGNATURE
        assert refusal(ring, request("desk", b"", b"timestamp=1&signature=00", "/api/v1/orders")) is MANDATORY


@in_loop
async def test_under_api_v1_a_signature_is_good_for_one_operation(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    query = b"timestamp=%d" % NOW_MS
    async with opened(store) as ring:
        of_read = sign_v1(secret, "GET", "/api/v1/balances", query)
        of_dialect = sign(secret, query).encode()
        for tag, path in ((of_read, "/api/v1/balances"), (of_read, "/api/v1/orders"), (of_dialect, "/api/v1/orders")):
            assert refusal(ring, request("desk", query + b"&signature=" + tag, path=path)) is SIGNATURE
        good = request("desk", query + b"&signature=" + of_read, path="/api/v1/balances")
        good.method = "GET"
        assert ask(ring, good)


@in_loop
async def test_any_changed_byte_makes_the_signature_wrong(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    good = signed(secret).query
    wrong = (SIGNATURE, MANDATORY, ILLEGAL, TIMESTAMP, TIMESTAMP_AHEAD, TOO_MANY_PARAMETERS)
    async with opened(store, bad_signatures_max=1_000_000) as ring:
        for at in range(len(good)):
            changed = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
            assert refusal(ring, request("desk", changed)) in wrong


@pytest.mark.parametrize("signature", ["0" * 64, "0" * 63, "x" * 64, "  " * 32, "+" * 64, "0" * 100_000])
@in_loop
async def test_what_is_no_signature_is_a_wrong_one(store: KeyFile, signature: str) -> None:
    store.create_key("desk", permissions=TRADER)
    async with opened(store) as ring:
        query = b"timestamp=%d&signature=" % NOW_MS + signature.encode()
        assert refusal(ring, request("desk", query)) is SIGNATURE


@in_loop
async def test_both_secrets_of_a_rotating_key_sign_until_one_is_dropped(store: KeyFile) -> None:
    old = store.create_key("desk", permissions=TRADER).secret
    async with opened(store) as ring:
        told = asyncio.Event()
        ring.on_change(told.set)
        new = store.begin_rotation("desk").secret
        await asyncio.wait_for(told.wait(), 10)
        first, second = ask(ring, signed(old))[0], ask(ring, signed(new))[0]
        assert first.secret != second.secret
        told.clear()
        store.finish_rotation("desk")
        await asyncio.wait_for(told.wait(), 10)
        assert refusal(ring, signed(old)) is SIGNATURE
        assert ask(ring, signed(new))


@in_loop
async def test_a_revoked_key_is_unknown_at_once_after_an_edit_here(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    async with opened(store) as ring:
        assert ask(ring, signed(secret))
        await ring.edit(lambda file: file.revoke("desk"))
        assert refusal(ring, signed(secret)) is KEY_REFUSED
        assert ring.lookup("desk") is None


@in_loop
async def test_what_a_key_lacks_is_refused_like_an_unknown_key(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=Permission.READ).secret
    store.create_key("near", permissions=TRADER, networks=["10.0.0.0/8"])
    async with opened(store) as ring:
        assert refusal(ring, signed(secret), Permission.TRADE) is KEY_REFUSED
        assert refusal(ring, signed(secret), Permission.READ | Permission.ADMIN) is KEY_REFUSED
        assert refusal(ring, signed(secret, "nobody")) is KEY_REFUSED
        assert refusal(ring, signed(secret, "near")) is KEY_REFUSED


@pytest.mark.parametrize("key_id", ["", "with space", "x" * 17, "-", "ä", "a\0b"])
@in_loop
async def test_what_is_no_key_id_has_a_refusal_of_its_own(store: KeyFile, key_id: str) -> None:
    async with opened(store) as ring:
        assert refusal(ring, signed(b"x" * 32, key_id)) is KEY_FORMAT


@in_loop
async def test_networks_of_both_families_rule_and_change_while_running(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER, networks=["192.0.2.0/29", "2001:db8::/32"]).secret
    inside, outside = ("192.0.2.7", "::ffff:192.0.2.1", "2001:db8:1::9"), ("192.0.2.8", "2001:db9::", "", "here")
    async with opened(store) as ring:
        for peer in inside:
            assert ask(ring, signed(secret, peer=peer))
        for peer in outside:
            assert refusal(ring, signed(secret, peer=peer)) is KEY_REFUSED
        await ring.edit(lambda file: file.set_networks("desk", ["192.0.2.8/32"]))
        assert ask(ring, signed(secret, peer="192.0.2.8"))
        for peer in inside:
            assert refusal(ring, signed(secret, peer=peer)) is KEY_REFUSED
        await ring.edit(lambda file: file.set_networks("desk", []))
        assert ask(ring, signed(secret, peer="here"))


@in_loop
async def test_a_request_must_be_recent_by_its_own_window(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    async with opened(store) as ring:
        assert ask(ring, signed(secret), now_ms=NOW_MS + 5000)
        assert refusal(ring, signed(secret), now_ms=NOW_MS + 5001) is TIMESTAMP
        assert ask(ring, signed(secret), now_ms=NOW_MS - 999)
        assert refusal(ring, signed(secret), now_ms=NOW_MS - 1000) is TIMESTAMP_AHEAD
        assert ask(ring, signed(secret, rest=b"recvWindow=60000&"), now_ms=NOW_MS + 60_000)
        assert refusal(ring, signed(secret, rest=b"recvWindow=200&"), now_ms=NOW_MS + 201) is TIMESTAMP
        assert refusal(ring, signed(secret, rest=b"recvWindow=60001&")) is RECV_WINDOW
        assert refusal(ring, signed(secret, rest=b"recvWindow=soon&")) is ILLEGAL


@in_loop
async def test_a_timestamp_may_be_in_microseconds(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    query = b"timestamp=%d" % (NOW_MS * 1000 + 7)
    async with opened(store) as ring:
        made = request("desk", query + b"&signature=" + sign(secret, query).encode())
        assert ask(ring, made)[2] == NOW_MS * 1_000_000 + 7000


@pytest.mark.parametrize("query", [b"", b"timestamp=&signature=00", b"signature=00", b"timestamp=%d" % NOW_MS])
@in_loop
async def test_timestamp_and_signature_must_be_there(store: KeyFile, query: bytes) -> None:
    store.create_key("desk", permissions=TRADER)
    async with opened(store) as ring:
        assert refusal(ring, request("desk", query)) is MANDATORY


@in_loop
async def test_the_nonce_is_of_the_signature_however_it_is_spelled(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    query = b"timestamp=%d" % NOW_MS
    tag = sign(secret, query)
    async with opened(store) as ring:
        spelled = [
            request("desk", query + b"&signature=" + tag.encode()),
            request("desk", query + b"&signature=" + tag.upper().encode()),
            request("desk", b"signature=" + tag.encode(), query),
        ]
        assert len({ask(ring, made)[1] for made in spelled}) == 1
        assert ask(ring, signed(secret))[1] != ask(ring, spelled[0])[1]


@in_loop
async def test_a_flood_of_bad_signatures_is_stopped_by_429_and_then_by_418(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    async with opened(store, bad_signatures_max=4, ban_after=100) as ring:
        found = [refusal(ring, signed(b"x" * 32)), refusal(ring, signed(b"x" * 32, "nobody"))]
        found += [refusal(ring, signed(b"x" * 32, "??")) for _ in range(3)]
        assert found == [SIGNATURE, KEY_REFUSED, TOO_MANY_REQUESTS, TOO_MANY_REQUESTS, BANNED]
        assert ask(ring, signed(secret, peer="192.0.2.8")), "other addresses go on"


@in_loop
async def test_a_key_file_that_cannot_be_read_leaves_the_keys_that_were_read(store: KeyFile) -> None:
    secret = store.create_key("desk", permissions=TRADER).secret
    async with opened(store) as ring:
        whole = store.path.read_bytes()
        LOG.clear()
        store.path.write_bytes(whole[:-1] + b"!")
        await until(lambda: [event for event, _ in LOG] == ["secret_not_renewed"])
        assert ask(ring, signed(secret))
        store.path.write_bytes(whole)
        store.create_key("other", permissions=TRADER)
        await until(lambda: [event for event, _ in LOG] == ["secret_not_renewed", "secret_renewed"])
        assert ring.lookup("other")


@in_loop
async def test_who_fails_on_a_change_of_keys_keeps_nobody_from_hearing_of_it(store: KeyFile) -> None:
    async with opened(store) as ring:
        heard: list[int] = []

        def fail() -> None:
            raise RuntimeError("a listener failed")

        ring.on_change(fail)
        ring.on_change(lambda: heard.append(1))
        await ring.edit(lambda file: file.create_key("here", permissions=TRADER))
        store.create_key("elsewhere", permissions=TRADER)
        await until(lambda: ring.lookup("elsewhere"))
        store.create_key("again", permissions=TRADER)
        await until(lambda: ring.lookup("again"))
        assert len(heard) == 3


@in_loop
async def test_a_key_that_is_only_named_must_be_live_and_near(store: KeyFile) -> None:
    store.create_key("desk", permissions=TRADER, networks=["10.0.0.0/8"])
    async with opened(store) as ring:
        assert ring.named("desk", "10.1.2.3").key_id == "desk"
        for key_id, peer, problem in [("desk", "11.0.0.1", KEY_REFUSED), ("x", "", KEY_REFUSED), ("", "", KEY_FORMAT)]:
            with pytest.raises(ApiError) as caught:
                ring.named(key_id, peer)
            assert caught.value.problem is problem


@in_loop
async def test_every_refusal_costs_as_many_signatures_whatever_is_wrong(
    store: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown keys, keys of one secret and of two, wrong networks: who measures the time learns nothing."""
    store.create_key("desk", permissions=Permission.READ)
    store.create_key("rotating", permissions=TRADER)
    store.begin_rotation("rotating")
    store.create_key("near", permissions=TRADER, networks=["10.0.0.0/8"])
    checked: list[bytes] = []
    good = Pads.good

    def counted(pads: Pads, signed: bytes, tag: bytes) -> bool:
        checked.append(signed)
        return good(pads, signed, tag)

    monkeypatch.setattr(Pads, "good", counted)
    async with opened(store) as ring:
        for key_id, permission in [
            ("nobody", 0), ("desk", 0), ("desk", Permission.TRADE), ("rotating", 0), ("near", 0), ("??", 0),
        ]:  # fmt: skip
            checked.clear()
            refusal(ring, signed(b"x" * 32, key_id), permission)
            assert len(checked) == 2, key_id
