"""HTTP as clients speak it: keep-alive, pipelining, bodies, upgrades, limits of connections, TLS, the log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.routing import Response
from tests.support.door import Door


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with Door() as running:
        yield running


def test_a_connection_carries_many_requests(door):
    with door.connect() as line:
        for number in range(3):
            answer = line.request("GET", f"/echo?n={number}", X_MBX_APIKEY="me")
            assert answer.status == 200
            said = answer.json()
            assert (said["method"], said["path"], said["query"]) == ("GET", "/echo", f"n={number}")
            assert said["headers"] == {"host": "door", "x-mbx-apikey": "me"}
            assert said["peer"] == "127.0.0.1"
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["date"].endswith(" GMT")
            assert "connection" not in answer.headers


def test_every_request_has_an_id_of_its_own(door):
    with door.connect() as line, door.connect() as other:
        ids = [one.request("GET", "/echo").headers["x-request-id"] for one in (line, other, line)]
    assert len(set(ids)) == 3


def test_a_body_comes_whole_however_it_is_cut(door):
    body = bytes(range(256)) * 20
    head = b"POST /echo HTTP/1.1\r\nHost: door\r\nContent-Length: %d\r\n\r\n" % len(body)
    data = head + body
    with door.connect() as line:
        for cut in (1, 7, len(head) - 1, len(head), len(head) + 1, len(data) - 1):
            line.send(data[:cut])
            line.send(data[cut:])
            assert line.answer().json()["body"].encode("latin-1") == body


def test_a_chunked_body_is_put_together_and_its_trailers_are_no_headers(door):
    with door.connect() as line:
        line.send(b"POST /echo HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\nTrailer: X-MBX-APIKEY\r\n\r\n")
        line.send(b"4\r\nsymb\r\n5;name=value\r\nol=BT\r\n2\r\nC/\r\n0\r\nX-MBX-APIKEY: stolen\r\n\r\n")
        said = line.answer().json()
        assert said["body"] == "symbol=BTC/"
        assert "x-mbx-apikey" not in said["headers"]
        assert line.request("GET", "/echo").status == 200


def test_pipelined_requests_are_answered_in_order(door):
    door.held.clear()
    one = b"%s /%s HTTP/1.1\r\nHost: door\r\n\r\n"
    with door.connect() as line:
        line.send(b"".join(one % (b"GET", path) for path in (b"echo?1", b"held", b"held", b"done")))
        assert line.answer().json()["query"] == "1"
        door.until(lambda: len(door.held) == 1, "the second request of the four is asked alone")
        door.answer_held(0, Response(200, b'"first"'))
        assert line.answer().json() == "first"
        door.until(lambda: len(door.held) == 2, "then the third")
        door.answer_held(1, Response(200, b'"second"'))
        assert [line.answer().json(), line.request("GET", "/done").json()] == ["second", "done"]


def test_thousands_of_requests_sent_at_once_are_all_answered(door):
    count = 5_000
    with door.connect() as line:
        line.send(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        assert [line.answer().status for _ in range(count)] == [204] * count


def test_head_is_answered_without_its_body(door):
    with door.connect() as line:
        answer = line.request("HEAD", "/large?500")
        assert (answer.status, answer.headers["content-length"]) == (200, "500")
        assert line.request("GET", "/echo").status == 200


def test_answers_without_a_body_have_no_length(door):
    with door.connect() as line:
        answer = line.request("GET", "/nothing")
        assert answer.status == 204
        assert "content-length" not in answer.headers
        assert "content-type" not in answer.headers


def test_a_client_that_asks_for_an_end_gets_it_after_its_answer(door):
    with door.connect() as line:
        answer = line.request("GET", "/echo", Connection="close")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert line.rest() == b""


def test_http_1_0_ends_unless_it_asks_for_more(door):
    with door.connect() as line:
        line.send(b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert line.answer().headers["connection"] == "keep-alive"
        line.send(b"GET /echo HTTP/1.0\r\n\r\n")
        assert line.answer().headers["connection"] == "close"
        assert line.rest() == b""


def test_a_body_is_asked_for_if_the_client_waits_for_that(door):
    with door.connect() as line:
        line.send(b"POST /echo HTTP/1.1\r\nHost: door\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert line.answer().status == 100
        line.send(b"ok")
        assert line.answer().json()["body"] == "ok"


def test_paths_are_decoded_and_queries_are_left_as_they_came(door):
    with door.connect() as line:
        said = line.request("GET", "/echo/BTC%2FUSD/%C3%A9?symbol=%42TC&x=%2B+").json()
        assert (said["path"], said["query"]) == ("/echo/BTC/USD/é", "symbol=%42TC&x=%2B+")
        assert line.request("GET", "http://elsewhere:80/echo?a=1").json()["path"] == "/echo"
        assert line.request("OPTIONS", "*").json()["path"] == "*"


def test_headers_that_come_twice_are_joined(door):
    with door.connect() as line:
        line.send(b"GET /echo HTTP/1.1\r\nHost: a\r\nAccept: b\r\nCookie: c=1\r\naccept: d\r\nCookie: e=2\r\n")
        line.send(b"X-Empty:\r\n\r\n")
        assert line.answer().json()["headers"] == {"host": "a", "accept": "b, d", "cookie": "c=1; e=2", "x-empty": ""}


def test_a_handler_that_fails_is_a_500_and_the_connection_goes_on(door):
    with door.connect() as line:
        answer = line.request("GET", "/raise")
        assert (answer.status, answer.json()["code"]) == (500, -1000)
        door.held.clear()
        line.send(b"GET /failing HTTP/1.1\r\nHost: a\r\n\r\n")
        door.until(lambda: door.held, "the request is asked")
        door.call(lambda: door.held[0].set_exception(RuntimeError("no")))
        assert line.answer().status == 500
        assert line.request("GET", "/echo").status == 200


def test_a_large_answer_comes_whole(door):
    size = 3_000_000
    with door.connect() as line:
        assert line.request("GET", f"/large?{size}").body == b"x" * size
        assert line.request("GET", f"/large?{size}", Connection="close").body == b"x" * size


def test_another_protocol_is_not_heard(door):
    with door.connect() as line:
        answer = line.request("GET", "/echo", Upgrade="h2c", Connection="Upgrade, HTTP2-Settings")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert line.rest() == b""
