"""The worked example of schemas/wire/ingress.md, computed again."""

from __future__ import annotations

import hmac
import re
import struct
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "schemas" / "wire" / "ingress.md"


def test_session_key_and_frame_on_the_page_are_what_the_formula_gives() -> None:
    blocks = dict(re.findall(r"```hex (session key|frame)\n([0-9a-f \n]+)```", PAGE.read_text()))
    key_id = b"maker".ljust(16, b"\0")
    seed = b"IRONBK01 session" + bytes(range(0xA0, 0xB0)) + bytes(range(0xB0, 0xC0)) + key_id
    session_key = hmac.digest(bytes(range(32)), seed, "sha256")
    command = struct.pack("<QQ", 5, 7).ljust(48, b"\0")
    frame = command + hmac.digest(session_key, command, "sha256")[:16]
    assert bytes.fromhex(blocks["session key"].replace("\n", " ")) == session_key
    assert bytes.fromhex(blocks["frame"].replace("\n", " ")) == frame
