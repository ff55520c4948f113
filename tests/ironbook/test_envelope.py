"""Signed envelopes: the page's worked example byte for byte, and what is signed cannot be taken for anything else."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironbook import InputInvalid, Key
from ironbook.envelope import LIMITS, ORDER, Envelope, nonce_name, sign_limits, sign_order, signed_bytes, verify

PAGE = (Path(__file__).resolve().parents[2] / "schemas/topics/envelope.md").read_text()
SECRET = bytes(range(32))
KEY = Key(key_id="demo-1", secret=SECRET)
BODY = {
    "action": "new", "account": 1, "symbol": "BTC/USD", "side": "buy", "price": "60010.00", "quantity": "0.5",
}  # fmt: skip
NOW = 1_790_000_000_000_000_000


def block(name: str) -> bytes:
    """Bytes of a hex block of the page."""
    found = re.search(rf"^```hex {name}\n(.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return bytes.fromhex(found[1])


def test_the_page_s_example_is_what_the_package_makes() -> None:
    envelope = sign_order(KEY, BODY, timestamp_ns=NOW, nonce="b7f0")
    assert signed_bytes(ORDER, "demo-1", NOW, "b7f0", envelope["body"]) == block("signed")
    assert bytes.fromhex(envelope["signature"]) == block("signature")
    assert bytes.fromhex(nonce_name("demo-1", NOW, "b7f0")) == block("name")
    found = re.search(r"^```json\n(.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    assert orjson.loads(found[1]) == envelope
    limits = sign_limits(
        KEY, '{"firm":1,"account":0,"limits":{"daily_loss_units":100000}}', timestamp_ns=NOW, nonce="b7f1"
    )
    assert bytes.fromhex(limits["signature"]) == block("limits signature")


def test_the_page_s_example_follows_from_its_words_alone() -> None:
    assert hmac.new(SECRET, block("signed"), hashlib.sha256).digest() == block("signature")
    head = block("signed").split(b"\n", 1)[1].rsplit(b"\n", 1)[0]
    assert hashlib.sha256(head).digest()[:16] == block("name")


def test_either_live_secret_is_good_and_no_other() -> None:
    envelope = sign_order(KEY, BODY, timestamp_ns=NOW, nonce="n")
    other = bytes(32)
    assert verify(envelope, [SECRET])
    assert verify(envelope, [other, SECRET])
    assert verify(envelope, [SECRET, other])
    assert not verify(envelope, [other])
    assert not verify(envelope, [])


def test_an_order_is_never_taken_for_limits() -> None:
    envelope = sign_order(KEY, BODY, timestamp_ns=NOW, nonce="n")
    assert not verify(envelope, [SECRET], domain=LIMITS)
    assert verify(sign_limits(KEY, BODY, timestamp_ns=NOW, nonce="n"), [SECRET], domain=LIMITS)


@given(
    st.sampled_from(["key_id", "timestamp_ns", "nonce", "body", "signature"]),
    st.text(max_size=40).filter(lambda text: text.isascii()),
    st.integers(0, 2**64 - 1),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_changed_the_signature_is_bad(field: str, text: str, number: int) -> None:
    envelope: dict[str, Any] = dict(sign_order(KEY, BODY, timestamp_ns=NOW, nonce="n"))
    changed = number if field == "timestamp_ns" else text
    good = changed == envelope[field]
    envelope[field] = changed
    assert verify(Envelope(**envelope), [SECRET]) is good  # type: ignore[typeddict-item]


@pytest.mark.parametrize("nonce", ["", "n" * 37, "a\nb", "ä", "\x7f", 5])
def test_a_nonce_must_be_short_and_printable(nonce: Any) -> None:
    with pytest.raises(InputInvalid, match="a nonce must be 1 to 36 printable ASCII characters"):
        sign_order(KEY, BODY, timestamp_ns=NOW, nonce=nonce)


@pytest.mark.parametrize("timestamp_ns", [-1, 2**64, 1.5, True, "1"])
def test_a_timestamp_must_be_whole_nanoseconds(timestamp_ns: Any) -> None:
    with pytest.raises(InputInvalid, match="timestamp_ns must be whole nanoseconds"):
        sign_order(KEY, BODY, timestamp_ns=timestamp_ns, nonce="n")


def test_a_float_in_a_body_is_refused_before_it_is_signed() -> None:
    with pytest.raises(InputInvalid, match="price must not be a float"):
        sign_order(KEY, BODY | {"price": 60010.0}, timestamp_ns=NOW, nonce="n")


@pytest.mark.parametrize("body", [{"a": "x" * 4096}, {"a": object()}, {"a": 2**70}, "\ud800"])
def test_a_body_must_be_short_and_have_a_json_text(body: Any) -> None:
    with pytest.raises(InputInvalid, match="a body must be"):
        sign_order(KEY, body, timestamp_ns=NOW, nonce="n")
