"""What a process says of the secrets that it holds, and how that is read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ironbook.held import (
    Held,
    HeldInvalid,
    HeldUnreadable,
    HeldUnwritable,
    Holding,
    alternating,
    certificate_value,
    fingerprint,
    login_value,
    process_name,
    read,
)

A, B, C = (fingerprint(bytes([number]) * 32) for number in range(3))


class Clock:
    """Time that moves by one second a look."""

    def __init__(self) -> None:
        self.now_ns = 1_790_000_000_000_000_000

    def __call__(self) -> int:
        self.now_ns += 1_000_000_000
        return self.now_ns


def test_what_is_said_is_read_back_with_who_said_it(tmp_path: Path) -> None:
    held = Held(tmp_path / "gateway.held.json", "gateway-0", "gateway", now_ns=Clock())
    held.say("cookie", [A, B], B)
    held.say("kafka", [], C)
    held.beat()
    said = read(held.path)
    assert (said.process, said.kind, said.pid, said.whole) == ("gateway-0", "gateway", os.getpid(), True)
    assert [(one.secret, one.accepts, one.uses) for one in said.holdings] == [
        ("cookie", (A, B), B),
        ("kafka", (), C),
    ]
    assert said.alive()
    assert (held.path.stat().st_mode & 0o777, [*tmp_path.iterdir()]) == (0o600, [held.path])


def test_a_fingerprint_is_the_agreed_one_and_differs_between_secrets_and_users() -> None:
    assert (
        fingerprint(bytes(32)) == hashlib.sha256(b"ironbook-held\0" + bytes(32)).hexdigest()[:16] == "0fb29b53ad3e5a93"
    )
    values = {fingerprint(login_value("a", "bc")), fingerprint(login_value("ab", "c")), A, B}
    assert len(values) == 4


def test_two_users_that_take_turns_have_one_name_and_a_process_that_of_its_machine() -> None:
    assert [alternating(name) for name in ("gateway_a", "gateway_b", "gateway", "_a")] == [*["gateway"] * 3, "_a"]
    assert process_name("gateway").startswith("gateway@" + socket.gethostname()[:1])


def test_the_first_certificate_of_a_chain_is_what_tls_is_known_by() -> None:
    def block(text: str) -> str:
        return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"

    chain = "subject=leaf\n" + block("bGVhZg==") + block("Y2E=")
    assert certificate_value(chain) == certificate_value(chain.encode()) == b"leaf"
    for wrong in ("", "-----BEGIN CERTIFICATE-----\nonly half", block("%")):
        assert certificate_value_or_error(wrong) in (b"", HeldInvalid)


def certificate_value_or_error(pem: str) -> object:
    try:
        return certificate_value(pem)
    except HeldInvalid as error:
        return type(error)


def test_saying_the_same_again_keeps_since_when_and_a_change_moves_it(tmp_path: Path) -> None:
    held = Held(tmp_path / "x.held.json", "x", "engine", now_ns=Clock())
    held.say("cookie", [A], A)
    first = read(held.path).holdings[0].since_ns
    held.say("cookie", [A], A)
    assert read(held.path).holdings[0].since_ns == first
    held.say("cookie", [A, B], B)
    assert read(held.path).holdings[0].since_ns > first


def test_a_beat_moves_the_time_and_writes_anew_what_somebody_removed(tmp_path: Path) -> None:
    held = Held(tmp_path / "x.held.json", "x", "engine", now_ns=Clock())
    held.say("cookie", [A], None)
    assert not read(held.path).whole, "before the first beat a process may not have said everything"
    held.beat()
    before = read(held.path)
    inode = held.path.stat().st_ino
    held.beat()
    after = read(held.path)
    assert (after.holdings, after.whole, held.path.stat().st_ino) == (before.holdings, True, inode)
    assert after.seen_ns > before.seen_ns
    held.path.unlink()
    held.beat()
    assert read(held.path).holdings == before.holdings


def test_what_is_not_said_of_a_group_is_no_longer_held(tmp_path: Path) -> None:
    held = Held(tmp_path / "x.held.json", "x", "engine")
    held.say("cookie", [A], None)
    held.replace("api_key/", {"api_key/one": ([A, B], None), "api_key/two": ([C], None)})
    held.replace("api_key/", {"api_key/two": ([C], None), "api_key/three": ([A], None)})
    assert {one.secret for one in read(held.path).holdings} == {"cookie", "api_key/two", "api_key/three"}
    held.say("cookie", [], None)
    assert {one.secret for one in read(held.path).holdings} == {"api_key/two", "api_key/three"}


def test_a_clean_stop_removes_the_file_and_nothing_said_later_brings_it_back(tmp_path: Path) -> None:
    held = Held(tmp_path / "x.held.json", "x", "engine")
    held.say("cookie", [A], None)
    held.close()
    held.close()
    held.say("cookie", [B], None)
    held.beat()
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_cannot_be_written_is_told_and_the_next_beat_tries_again(tmp_path: Path) -> None:
    held = Held(tmp_path / "not-there" / "x.held.json", "x", "engine")
    with pytest.raises(HeldUnwritable, match="until it is written no old secret can end"):
        held.say("cookie", [A], None)
    with pytest.raises(HeldUnwritable):
        held.beat()
    held.path.parent.mkdir()
    held.beat()
    assert read(held.path).holdings[0].accepts == (A,)


def test_beating_goes_on_through_trouble_and_tells_it_once(tmp_path: Path) -> None:
    held = Held(tmp_path / "not-there" / "x.held.json", "x", "engine")

    async def run() -> list[HeldUnwritable | None]:
        told: asyncio.Queue[HeldUnwritable | None] = asyncio.Queue()
        beating = asyncio.create_task(held.keep_beating(told.put_nowait, interval_s=0.005))
        first = await told.get()
        held.path.parent.mkdir()
        second = await told.get()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        return [first, second]

    found = asyncio.run(asyncio.wait_for(run(), 30))
    assert [type(one) for one in found] == [HeldUnwritable, type(None)]


@pytest.mark.parametrize(("process", "kind"), [("", "engine"), ("engine 0", "engine"), ("x" * 201, "x"), ("x", "a/b")])
def test_a_process_has_a_plain_name(process: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(HeldInvalid, match="1 to 200"):
        Held(tmp_path / "x", process, kind)


def test_a_secret_said_in_place_of_its_fingerprint_is_refused_and_not_repeated(tmp_path: Path) -> None:
    held = Held(tmp_path / "x", "x", "engine")
    with pytest.raises(HeldInvalid, match="16 hex digits") as caught:
        held.say("cookie", ["f00d" * 16], None)
    assert "f00d" not in str(caught.value)
    with pytest.raises(HeldInvalid, match="at most 8"):
        held.say("cookie", [A] * 9, None)
    with pytest.raises(HeldInvalid, match="name"):
        held.say("", [A], None)
    assert not held.path.exists()


def test_threads_that_say_at_once_lose_nothing(tmp_path: Path) -> None:
    held = Held(tmp_path / "x.held.json", "x", "engine")

    def say(part: int) -> None:
        for number in range(20):
            held.say(f"api_key/{part}-{number}", [A], None)
            held.beat()

    threads = [threading.Thread(target=say, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(held.path).holdings) == 80


def test_a_process_that_died_is_not_alive_though_its_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.held.json"
    program = (
        "import sys, os, signal; from pathlib import Path; from ironbook.held import Held, fingerprint\n"
        "held = Held(Path(sys.argv[1]), 'x', 'engine'); held.say('cookie', [fingerprint(b'1')], None); held.beat()\n"
        "print('said', flush=True); sys.stdin.read()"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"said\n"
        assert read(path).alive()
        started.kill()
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        assert not read(path).alive(), "a process that ended and was not yet collected is dead too"
    assert not read(path).alive()


def test_a_process_of_the_same_number_is_not_the_one_that_wrote(tmp_path: Path) -> None:
    held = Held(tmp_path / "x.held.json", "x", "engine")
    held.say("cookie", [A], None)
    document = json.loads(held.path.read_bytes())
    document["started"] = document["started"].rpartition("/")[0] + "/1"
    held.path.write_text(json.dumps(document))
    assert not read(held.path).alive()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"format": 2, "secrets": []}',
        b'{"format": 1, "process": "x", "kind": "x", "host": "x", "pid": 1, "started": "", "secrets": []}',
        b'{"format":1,"process":"x y","kind":"x","host":"","pid":1,"started":"","whole":true,"secrets":[]}',
        b'{"format":1,"process":"x","kind":"x","host":"","pid":1,"started":"","whole":true,'
        b'"secrets":[{"secret":"a","accepts":["zz"],"uses":null,"since_ns":1}]}',
    ],
)
def test_a_file_of_another_form_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(HeldUnreadable, match="format 1") as caught:
        read(path)
    assert caught.value.hint


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(HeldUnreadable, match="readable"):
            read(path)


def test_a_holding_shows_fingerprints_only() -> None:
    assert repr(Holding(secret="cookie", accepts=(A,))).count(A) == 1
