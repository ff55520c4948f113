"""What no honest client sends: too slow, too much, malformed, half-closed, unread. Each is answered in the dialect's
shape or closed, costs nobody else anything, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from gateway.routing import Response
from tests.support.door import Door, Line, client_frame

SEED = 20_260_301
FUZZ_S = 600.0 if os.environ.get("IRONBOOK_SOAK") else 2.0
MALFORMED, TOO_LARGE = 400, 431


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """Generous with time."""
    with Door() as running:
        yield running


@pytest.fixture(scope="module")
def hasty() -> Iterator[Door]:
    """Gives nobody more than a moment."""
    moments = dict.fromkeys(("header_timeout", "body_timeout", "idle_timeout", "write_timeout"), 150)
    with Door(**moments, socket_buffer_max=65_536) as running:
        yield running


def refused(door: Door, data: bytes) -> int:
    """The status that these bytes are refused with: in the dialect's shape, and then the connection ends."""
    with door.connect() as line:
        line.send(data)
        answer = line.answer()
        said = answer.json()
        assert set(said) == {"code", "msg"}
        assert said["code"] <= -1000
        assert said["msg"].endswith(".")
        assert answer.headers["connection"] == "close"
        assert line.rest() == b""
        return answer.status


def serves(door: Door) -> None:
    """Others are served as ever."""
    with door.connect() as line:
        assert line.request("POST", "/echo", b"ok").json()["body"] == "ok"


def memory_bytes() -> int:
    """Of this process, resident."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# ---- Malformed -------------------------------------------------------------------------------------------------------

HEAD = b"POST /echo HTTP/1.1\r\nHost: door\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", MALFORMED),  # a hello of TLS
        (b"nonsense\r\n\r\n", MALFORMED),
        (b"GET /echo\r\n\r\n", 505),  # HTTP/0.9
        (b"GET /echo HTTP/1.1\r\n\r\n", MALFORMED),  # no host
        (b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", MALFORMED),
        (b"GET /echo HTTP/3.1\r\nHost: a\r\n\r\n", 505),
        (b"GET /echo HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere\r\n\r\n", 405),
        (b"GET echo HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET ftp://a/echo HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /%0d%0aX:1 HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /echo#there HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n", MALFORMED),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", MALFORMED),
        (b"GET /echo HTTP/1.1\r\nHost: a\x00b\r\n\r\n", MALFORMED),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\nX\xff: b\r\n\r\n", MALFORMED),
        (b"GET /echo HTTP/1.1\nHost: a\n\n", MALFORMED),
        (HEAD + b"Expect: a-miracle\r\nContent-Length: 1\r\n\r\n", 417),
        (b"G" * 100_000, MALFORMED),
    ],
)
def test_bytes_that_are_no_request_are_refused(door, data, status):
    assert refused(door, data) == status
    serves(door)


@pytest.mark.parametrize(
    ("framing", "status"),
    [
        (b"Content-Length: 4\r\nContent-Length: 5\r\n", MALFORMED),
        (b"Content-Length: 4\r\nContent-Length: 4\r\n", MALFORMED),
        (b"Content-Length: 4, 4\r\n", MALFORMED),
        (b"Content-Length: -1\r\n", MALFORMED),
        (b"Content-Length: +4\r\n", MALFORMED),
        (b"Content-Length: 0x4\r\n", MALFORMED),
        (b"Content-Length: 99999999999999999999999999\r\n", MALFORMED),
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", MALFORMED),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", MALFORMED),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", MALFORMED),
        (b"Transfer-Encoding: identity\r\n", 501),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: chunked, identity\r\n", 501),
        (b"Transfer-Encoding: xchunked\r\n", 501),
        (b"Transfer-Encoding: \x0bchunked\r\n", MALFORMED),
        (b"Transfer-Encoding : chunked\r\n", MALFORMED),
    ],
)
def test_a_request_whose_end_is_in_doubt_is_refused_and_nothing_behind_it_is_read(door, framing, status):
    door.requests.clear()
    smuggled = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    assert refused(door, HEAD + framing + b"\r\n" + smuggled) in (status, MALFORMED)
    assert [one.path for one in door.requests] == []


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n", b"-1\r\n", b"5\nhello\r\n0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"fffffffffffffffff\r\n",
        b"5 ;\x00\r\nhello\r\n", b"0\r\nBad Header: 1\r\n\r\n", b"\r\n5\r\nhello\r\n",
    ],
)  # fmt: skip
def test_chunks_that_are_none_are_refused(door, chunks):
    door.requests.clear()
    assert refused(door, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks) == MALFORMED
    assert door.requests == []


def test_an_old_request_has_no_chunks(door):
    assert refused(door, b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == MALFORMED


def test_a_header_that_names_the_caller_comes_once(door):
    data = b"GET /echo HTTP/1.1\r\nHost: a\r\nX-MBX-APIKEY: alice\r\nx-mbx-apikey: bob\r\n\r\n"
    assert refused(door, data) == MALFORMED


def test_a_refusal_never_repeats_what_was_sent(door):
    with door.connect() as line:
        line.send(b"GET /<script>\x01 HTTP/1.1\r\n5ec4e7: 5ec4e7\x00\r\n\r\n")
        answer = line.answer()
        assert b"script" not in answer.body
        assert b"5ec4e7" not in answer.body


def test_what_a_handler_puts_into_a_header_cannot_end_it(door):
    with door.connect() as line:
        answer = line.request("GET", "/injected?a~Set-Cookie:b~~c")
        assert answer.status == 500
        assert "set-cookie" not in answer.headers
        assert line.request("GET", "/injected?a").headers["x-said"] == "a"


def test_a_refusal_waits_for_the_answers_before_it(door):
    door.held.clear()
    with door.connect() as line:
        line.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
        door.until(lambda: door.held, "the request is asked")
        door.answer_held(0, Response(200, b'"first"'))
        assert [line.answer().status, line.answer().status] == [200, 400]
        assert line.rest() == b""


# ---- Too much --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 10_000, TOO_LARGE),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 100_000, TOO_LARGE),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"a" * 100_000, TOO_LARGE),
        (b"GET /" + b"a" * 100_000, 414),
        (b"GET /echo?" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (HEAD + b"Content-Length: 65537\r\n\r\n", 413),
        (HEAD + b"Content-Length: 1000000000000\r\n\r\n", 413),
        (HEAD + b"Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n", 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b"x" * 4_096 + b"\r\n") * 17, 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 10_000, TOO_LARGE),
    ],
)
def test_more_than_the_bounds_is_refused(door, data, status):
    assert refused(door, data) == status


def test_a_body_of_exactly_the_bound_is_taken(door):
    with door.connect() as line:
        assert len(line.request("POST", "/echo", b"x" * 65_536).json()["body"]) == 65_536
        line.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 65_536 + b"0\r\n\r\n")
        assert len(line.answer().json()["body"]) == 65_536


def test_a_refused_body_is_not_kept(door):
    before = memory_bytes()
    with door.connect() as line:
        line.send(HEAD + b"Content-Length: 100000000\r\n\r\n")
        for _ in range(100):
            line.send(bytes(1 << 20))
    assert memory_bytes() - before < 32 << 20
    serves(door)


def test_requests_whose_answers_nobody_reads_are_not_taken(hasty):
    hasty.requests.clear()
    with hasty.connect() as line:
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.socket.settimeout(0.05)
        request = b"GET /large?100000 HTTP/1.1\r\nHost: a\r\n\r\n"
        sent = 0
        try:
            for _ in range(1_000):
                sent += line.socket.send(request * 1_000)
        except (TimeoutError, ConnectionError):
            pass
        hasty.until(lambda: hasty.server.connection_count == 0, "a client that reads nothing is dropped")
    assert len(hasty.requests) < 500
    assert len(hasty.requests) < sent // len(request)
    serves(hasty)


# ---- Too slow --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"G", b"GET /echo HTTP/1.1\r\nHost: a\r\nA: ", HEAD + b"Content-Length: 10\r\n\r\nabc"]
)
def test_a_request_that_does_not_come_to_an_end_is_told_that_it_is_too_late(hasty, data):
    assert refused(hasty, data) == 408


@pytest.mark.parametrize("head", [b"GET /echo HTTP/1.1\r\nHost: a\r\nA: ", HEAD + b"Content-Length: 60000\r\n\r\n"])
def test_a_byte_now_and_then_does_not_help(hasty, head):
    with hasty.connect() as line:
        line.send(head)
        began_s = time.monotonic()
        line.socket.settimeout(0.02)
        while True:
            line.send(b"a")
            try:
                assert line.socket.recv(100).startswith(b"HTTP/1.1 408 ")
                break
            except TimeoutError:
                assert time.monotonic() - began_s < 15


@pytest.mark.parametrize("data", [b"", b"\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_a_connection_without_a_request_is_closed(hasty, data):
    with hasty.connect() as line:
        line.send(data)
        if len(data) > 2:
            assert line.answer().status == 200
        assert line.rest() == b""


def test_empty_lines_for_ever_are_no_request(hasty):
    with hasty.connect() as line:
        began_s = time.monotonic()
        while hasty.server.connection_count:
            line.send(b"\r\n")
            time.sleep(0.005)
            assert time.monotonic() - began_s < 15


def test_many_slow_clients_do_not_keep_a_quick_one_waiting(door):
    lines = [door.connect() for _ in range(200)]
    try:
        for line in lines:
            line.send(b"GET /echo HTTP/1.1\r\nHost: a\r\nA")
        door.until(lambda: door.server.connection_count >= 200, "they are all there")
        serves(door)
    finally:
        for line in lines:
            line.socket.close()
    door.until(lambda: door.server.connection_count == 0, "none is left")


# ---- Half open, gone -------------------------------------------------------------------------------------------------


def test_a_client_that_only_listens_any_more_gets_its_answers(door):
    door.held.clear()
    with door.connect() as line:
        line.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\nGET /done HTTP/1.1\r\nHost: a\r\n\r\n")
        line.socket.shutdown(socket.SHUT_WR)
        door.until(lambda: door.held, "the request is asked")
        door.answer_held(0, Response(200, b'"first"'))
        assert line.answer().json() == "first"
        assert line.rest() in (b"", line.received)


def test_a_client_that_goes_in_the_middle_leaves_nothing_behind(door):
    door.held.clear()
    for data in (b"", b"GET /ech", HEAD + b"Content-Length: 10\r\n\r\nabc", b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"):
        for reset in (False, True):
            with door.connect() as line:
                line.send(data)
                if reset:
                    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    serves(door)  # who came before is known by now

    def none_is_left() -> bool:
        for held in list(door.held):
            door.call(lambda held=held: held.done() or held.set_result(Response(200, b'"nobody hears it"')))
        return door.server.connection_count == 0

    door.until(none_is_left, "none is left")
    serves(door)


def test_connections_that_come_and_go_leave_no_memory_behind(door):
    for _ in range(200):
        with door.connect() as line:
            line.request("GET", "/echo")
    door.until(lambda: door.server.connection_count == 0, "none is left")
    before = memory_bytes()
    for _ in range(2_000):
        with door.connect() as line:
            line.request("GET", "/echo")
    door.until(lambda: door.server.connection_count == 0, "none is left")
    door.requests.clear()
    assert memory_bytes() - before < 16 << 20


# ---- WebSockets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Upgrade": "websocket, h2c"}, 200),  # not asked for a WebSocket alone: served as an ordinary request
        ({"Connection": "keep-alive"}, 200),
    ],
)
def test_a_handshake_that_is_none_is_refused(door, headers, status):
    asked = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    asked |= {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="} | headers
    with door.connect() as line:
        answer = line.request("GET", "/echo", **asked)
        assert answer.status == status
        assert status == 200 or set(answer.json()) == {"code", "msg"}
    with door.connect() as line:
        right = {"Upgrade": "websocket", "Connection": "Upgrade"}
        assert line.request("POST", "/echo", **(asked | right)).status in (400, 405)
    with door.connect() as line:
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in asked.items())
        line.send(f"GET /echo HTTP/1.0\r\n{fields}\r\n".encode())
        assert line.answer().status in (200, 400, 426, 505)


def test_a_socket_that_its_handler_refuses_is_answered_as_http(door):
    for path, status in (("/refused", 401), ("/raise", 500)):
        with door.connect() as line:
            answer = line.request(
                "GET", path, Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Version="13",
                Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
            )  # fmt: skip
            assert (answer.status, answer.headers["connection"]) == (status, "close")


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (client_frame(1, b"hello", mask=b""), 1002),  # a client must mask
        (client_frame(3, b"hello"), 1002),  # no such frame
        (b"\xc1\x80\x01\x02\x03\x04", 1002),  # compression that nobody agreed on
        (client_frame(0, b"hello"), 1002),  # continues nothing
        (client_frame(1, b"a", final=False) + client_frame(1, b"b"), 1002),
        (client_frame(9, b"x" * 126), 1002),  # a ping is small
        (client_frame(9, b"x", final=False), 1002),  # and whole
        (client_frame(8, b"\x03"), 1002),  # half a code
        (client_frame(8, b"\x03\xed"), 1002),  # a code that never stands in a frame
        (client_frame(8, b"\x03\xe8\xff"), 1007),
        (client_frame(1, b"\xff\xfe"), 1007),
        (client_frame(1, b"\xc3", final=False) + client_frame(0, b"("), 1007),
        (client_frame(2, b"binary"), 1003),
        (client_frame(1, b"x" * 16_385), 1009),
        (client_frame(1, b"x" * 70_000), 1009),
        (b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", 1009),  # a length of 2^63
        (client_frame(1, b"x" * 9_000, final=False) + client_frame(0, b"x" * 9_000), 1009),
        (client_frame(1, b"hello") * 11, 1008),  # more than socket_messages_per_s
        (client_frame(9, b"?") * 11, 1008),
        (client_frame(1, b"", final=False) + client_frame(0, b"", final=False) * 1_000, 1008),
    ],
)
def test_frames_that_break_the_rules_end_the_socket_with_their_code(door, frames, code):
    with door.connect() as line:
        line.upgrade()
        handler = door.sockets[-1]
        line.send(frames)
        assert line.closed_with() == code
    door.until(lambda: handler.lost_count == 1, "the handler is told once")
    serves(door)


def test_a_message_with_a_close_behind_it_is_still_heard(door):
    with door.connect() as line:
        line.upgrade("/feed")
        handler = door.sockets[-1]
        line.send(client_frame(1, b"last words") + client_frame(8, b"\x03\xe8bye") + client_frame(1, b"too late"))
        assert line.frame() == (8, b"\x03\xe8bye")
        assert line.rest() == b""
    door.until(lambda: handler.lost_count == 1, "the handler is told once")
    assert handler.received_texts == [b"last words"]


def test_a_handler_that_fails_ends_its_socket_alone(door):
    with door.connect() as line, door.connect() as other:
        line.upgrade()
        other.upgrade("/broken")
        assert other.frame()[1][:2] == b"\x03\xf3"
        line.send_frame(1, b"fail")
        assert line.frame() == (8, b"\x03\xf3internal error")
    serves(door)


def test_a_reader_that_is_slow_is_dropped_alone(hasty):
    text = b"x" * 4_096
    with hasty.connect() as slow, hasty.connect() as quick:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.upgrade("/feed")
        late = hasty.sockets[-1]
        quick.upgrade("/feed")
        assert late.socket is not None
        while not late.socket.closed:
            hasty.send_all(text)
            assert quick.frame() == (1, text)
        assert late.socket.buffered_bytes <= 65_536 + len(text) + 200
        hasty.send_all(b"on")
        assert quick.frame() == (1, b"on")
        hasty.until(lambda: late.lost_count == 1, "the slow one is gone")
    assert hasty.metrics.counters["sockets_slow"] == 1


def test_a_slow_reader_that_wakes_up_is_told_why_it_ends(hasty):
    before = hasty.metrics.counters["sockets_slow"]
    with hasty.connect() as slow:
        slow.upgrade("/feed")
        late = hasty.sockets[-1]
        while not late.socket.closed:
            hasty.call(lambda: [late.socket.send(b"x" * 4_096) for _ in range(8)])
        opcode, data = slow.frame()
        while opcode != 8:
            opcode, data = slow.frame()
        assert (opcode, data) == (8, b"\x03\xf0slow")
        slow.send_frame(8, b"\x03\xf0")
        assert slow.rest() == b""
    assert hasty.metrics.counters["sockets_slow"] == before + 1


def test_a_socket_that_answers_no_pings_is_closed_and_one_that_does_is_not():
    with Door(ping_interval=100) as door, door.connect() as dead, door.connect() as alive:
        dead.upgrade("/feed")
        alive.upgrade("/feed")
        gone = door.sockets[-2]
        alive.socket.settimeout(0.05)
        while not gone.lost_count:
            with contextlib.suppress(TimeoutError):
                opcode, data = alive.frame()
                assert (opcode, data) == (9, b"ironbook")
                alive.send_frame(10, data)
        assert [dead.frame() for _ in range(3)] == [(9, b"ironbook")] * 3
        assert dead.rest() == b""
        alive.send_frame(1, b"still here")
        door.until(lambda: door.sockets[-1].received_texts, "it is heard")


def test_sockets_that_vanish_are_told_to_their_handlers_once(door):
    first = len(door.sockets)
    for reset in (False, True) * 20:
        with door.connect() as line:
            line.upgrade()
            if reset:
                line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    door.until(lambda: sum(one.lost_count for one in door.sockets[first:]) == 40, "all are lost")
    assert {one.lost_count for one in door.sockets[first:]} == {1}
    assert all(one.socket.buffered_bytes == 0 for one in door.sockets[first:])
    door.call(lambda: [one.socket.send(b"nobody hears it") for one in door.sockets[first:]])


# ---- Fuzz ------------------------------------------------------------------------------------------------------------

PIECES = (
    b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"/echo", b"/held", b"/large?9999", b"/nothing",
    b"?a=1&b=%zz", b"*", b"http://a/",
    b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b"\xff", b": ", b" ", b"\t",
    b"Host: a\r\n", b"Content-Length: 5\r\n", b"Content-Length: 99999999\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n",
    b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"Expect: 100-continue\r\n",
    b"Cookie: a=b\r\n", b"X-MBX-APIKEY: a\r\n", b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"fffffff\r\n", b"A" * 5_000,
    b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
)  # fmt: skip


def http_bytes(chance: random.Random) -> bytes:
    """Pieces of requests in any order, sometimes bent."""
    data = bytearray(b"".join(chance.choices(PIECES, k=chance.randint(1, 24))))
    for _ in range(chance.choice((0, 0, 1, 5))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def frame_bytes(chance: random.Random) -> bytes:
    """Frames of any kind, sometimes bent or cut."""
    data = bytearray()
    for _ in range(chance.randint(1, 6)):
        random_bytes = chance.randbytes(chance.choice((2, 125, 300, 20_000)))
        text = chance.choice((b"", b"hello", "ü€".encode(), b"\xff", random_bytes))
        mask = chance.choice((b"\1\2\3\4", b"\1\2\3\4", chance.randbytes(4), b""))
        data += client_frame(chance.choice((0, 1, 1, 2, 8, 9, 10, 15)), text, final=chance.random() < 0.8, mask=mask)
    for _ in range(chance.choice((0, 0, 1, 3))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data[: chance.choice((len(data), len(data), chance.randrange(len(data) + 1)))])


def throw(line: Line, data: bytes, chance: random.Random) -> bytes:
    """Send it in pieces, end our side, and read to the end: it must come."""
    at = 0
    while at < len(data):
        size = chance.choice((1, 7, 100, len(data)))
        line.send(data[at : at + size])
        at += size
    try:
        line.socket.shutdown(socket.SHUT_WR)
    except OSError:
        return b""
    return line.rest()


def test_any_bytes_are_answered_or_closed():
    chance = random.Random(SEED)
    with Door(header_timeout=500, body_timeout=500, idle_timeout=500, socket_messages_per_s=100) as door:
        until_s, count, before = time.monotonic() + FUZZ_S, 0, 0
        while time.monotonic() < until_s or count < 200:
            sockets = chance.random() < 0.4
            data = frame_bytes(chance) if sockets else http_bytes(chance)
            with door.connect() as line:
                if sockets:
                    line.upgrade()
                found = throw(line, data, chance)
            assert sockets or not found or found.startswith(b"HTTP/1.1 "), (data, found)
            door.call(lambda: [one.done() or one.set_result(Response(200, b"{}")) for one in door.held])
            for kept in (door.held, door.requests, door.sockets):
                kept.clear()
            count += 1
            if count == 100:
                serves(door)
                before = memory_bytes()
        door.until(lambda: door.server.connection_count == 0, "none is left")
        serves(door)
        assert door.metrics.counters["http_bad_requests"] > 0
        assert memory_bytes() - before < 32 << 20


def test_the_parts_of_a_request_may_come_in_any_cut():
    chance = random.Random(SEED)
    with Door() as door, door.connect() as line:
        for _ in range(50):
            body = chance.randbytes(chance.choice((0, 1, 100, 5_000)))
            count = chance.randint(1, 3)
            head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
            data = (head + body) * count
            cuts = sorted(chance.randrange(len(data) + 1) for _ in range(4))
            for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
                line.send(data[start:end])
            for _ in range(count):
                assert line.answer().json()["body"].encode("latin-1") == body


# ---- The process's own bounds ----------------------------------------------------------------------------------------


def test_a_flood_of_connections_beyond_the_descriptors_is_survived(tmp_path):
    with Door(tmp_path) as door:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lines = [Line(socket.socket()) for _ in range(20)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 4, hard))
        taken = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            os.close(taken.pop())
            for line in lines:
                line.socket.connect(door.address)  # the kernel takes them; the server has a descriptor for one
            door.until(lambda: door.metrics.counters["http_accepts_failed"], "it runs out of descriptors")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in taken:
                os.close(descriptor)
        assert [line.request("GET", "/echo").status for line in lines] == [200] * 20
        assert "accept_failed" in {one["event"] for one in door.log()}
        for line in lines:
            line.socket.close()
