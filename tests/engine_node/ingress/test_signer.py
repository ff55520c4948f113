"""Signer: the frames that the compiled module signs are those of the wire's own page."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from engine_node._engine import Signer
from schemas.vocabulary import COMMAND_BYTES, FRAME_BYTES, Deposit, Ping

KEY = bytes.fromhex("512c01d2d1f501579160ff0826f72825bd3bb5d8148ea89f44a12c4acfc5c497")


def test_the_worked_example_of_the_page_comes_out() -> None:
    frame = Signer(KEY).frames((Ping(echo=7).pack(),), 0)
    assert frame[COMMAND_BYTES:].hex() == "1ad51a9690227f6ea26f13f1e7de67e5"


def test_frames_are_numbered_and_each_has_its_own_tag() -> None:
    parts = [Deposit(account=n, asset=1, amount_units=10**n).pack() for n in range(1, 6)]
    frames = Signer(KEY).frames(parts, (1 << 48) - 5)
    assert len(frames) == 5 * FRAME_BYTES
    for index, part in enumerate(parts):
        frame = frames[index * FRAME_BYTES : (index + 1) * FRAME_BYTES]
        numbered = part[:2] + ((1 << 48) - 5 + index).to_bytes(6, "little") + part[8:]
        assert frame[:COMMAND_BYTES] == numbered
        assert frame[COMMAND_BYTES:] == hmac.new(KEY, numbered, hashlib.sha256).digest()[:16]


def test_nothing_is_signed_for_no_parts() -> None:
    assert Signer(KEY).frames((), 1) == b""


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33)])
def test_a_session_key_has_32_bytes(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Signer(wrong)


@pytest.mark.parametrize(
    ("parts", "first", "error"),
    [
        ((bytes(47),), 1, ValueError),
        ((bytes(49),), 1, ValueError),
        ((bytes(48),), 1 << 48, ValueError),
        ((bytes(48), bytes(48)), (1 << 48) - 1, ValueError),
        ((bytes(48),), -1, OverflowError),
        ((bytes(48),), "1", TypeError),
        (("x" * 48,), 1, TypeError),
        ((bytearray(48),), 1, TypeError),
        (5, 1, TypeError),
    ],
)
def test_what_is_no_command_is_refused(parts: object, first: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Signer(KEY).frames(parts, first)  # type: ignore[arg-type]


def test_frames_takes_two_arguments() -> None:
    with pytest.raises(TypeError, match="parts and first"):
        Signer(KEY).frames(())  # type: ignore[call-arg]
