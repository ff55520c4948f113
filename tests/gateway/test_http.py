"""HTTP as clients speak it: keep-alive, pipelining, bodies, upgrades, limits of connections, TLS, the log."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.routing import Response
from gateway.settings import SettingsInvalid
from tests.support.door import Door, Line


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
            assert "strict-transport-security" not in answer.headers, "without TLS it would mean nothing"
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
        assert line.request("GET", "/echo").json()["headers"] == {"host": "door"}


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


# ---- Who asks --------------------------------------------------------------------------------------------------------


def test_a_proxy_is_believed_only_if_it_is_trusted(door):
    with door.connect() as line:
        assert line.request("GET", "/echo", X_Forwarded_For="192.0.2.1").json()["peer"] == "127.0.0.1"
    with Door(trusted_proxies="127.0.0.0/8, 10.0.0.0/8, 2001:db8::/32") as behind, behind.connect() as line:
        for said, found in (
            ("192.0.2.1", "192.0.2.1"),
            ("198.51.100.7, 192.0.2.1, 10.1.1.1", "192.0.2.1"),  # what the client wrote itself stands further left
            ("::ffff:192.0.2.9", "192.0.2.9"),
            ("2001:db9::1, 2001:db8::5", "2001:db9::1"),
            ("192.0.2.1, nonsense", "127.0.0.1"),
            ("nonsense, 10.0.0.1", "10.0.0.1"),
        ):
            assert line.request("GET", "/echo", X_Forwarded_For=said).json()["peer"] == found


def test_an_address_has_its_share_of_connections_and_all_have_theirs():
    busy = (503, {"code": -1000, "msg": "There are too many connections."})
    with Door(connection_count_per_address_max=2) as door, door.connect() as one, door.connect() as two:
        assert [one.request("GET", "/echo").status, two.request("GET", "/echo").status] == [200, 200]
        with door.connect() as three:
            answer = three.answer()
            assert (answer.status, answer.json()) == busy
            assert three.rest() == b""
        two.socket.close()
        door.until(lambda: door.server.connection_count == 1, "the second is gone")
        with door.connect() as four:
            assert four.request("GET", "/echo").status == 200
        assert door.metrics.counters["http_connections_refused"] == 1
    with Door(connection_count_max=1, trusted_proxies="127.0.0.1") as door, door.connect() as one:
        assert one.request("GET", "/echo").status == 200
        with door.connect() as two:
            assert two.answer().status == 503


def test_an_ipv6_client_has_one_share_of_connections_for_its_whole_subnet(monkeypatch):
    seen = iter(["2001:db8::1", "2001:db8::2:1", "2001:db8::3", "2001:db8:0:1::1", "2001:db8::4"])
    monkeypatch.setattr("gateway.http.plain_address", lambda text: next(seen))
    with Door(connection_count_per_address_max=2) as door, door.connect() as one, door.connect() as two:
        assert one.request("GET", "/echo").json()["peer"] == "2001:db8::1"
        assert two.request("GET", "/echo").json()["peer"] == "2001:db8::2:1"
        with door.connect() as three, door.connect() as elsewhere:
            assert three.answer().status == 503
            assert elsewhere.request("GET", "/echo").status == 200
        one.socket.close()
        door.until(lambda: door.server.connection_count == 1, "all but one are gone")
        with door.connect() as four:
            assert four.request("GET", "/echo").status == 200, "what was given back can be had by another address"


def test_a_websocket_counts_as_a_connection_and_gives_it_back():
    with Door(connection_count_max=1) as door:
        with door.connect() as line:
            line.upgrade()
            with door.connect() as other:
                assert other.answer().status == 503
        door.until(lambda: door.server.connection_count == 0, "the socket is gone")
        with door.connect() as line:
            assert line.request("GET", "/echo").status == 200


# ---- The end ---------------------------------------------------------------------------------------------------------


def test_what_is_under_way_is_answered_before_the_server_stops():
    with Door() as door, door.connect() as idle, door.connect() as busy, door.connect() as feed:
        assert idle.request("GET", "/echo").status == 200
        busy.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        feed.upgrade()
        door.until(lambda: door.held, "the request is asked")
        stopped = asyncio.run_coroutine_threadsafe(door.server.stop(10), door.loop)
        assert idle.rest() == b""
        assert feed.frame() == (8, b"\x03\xe9the gateway stops")
        feed.send_frame(8, b"\x03\xe9")
        assert feed.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            door.connect()
        door.answer_held(0, Response(200, b'"late"'))
        answer = busy.answer()
        assert (answer.json(), answer.headers["connection"]) == ("late", "close")
        busy.socket.close()
        stopped.result(10)
        assert door.server.connection_count == 0


def test_what_does_not_end_is_cut_when_the_server_stops():
    with Door() as door, door.connect() as busy:
        busy.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        door.until(lambda: door.held, "the request is asked")
        door.wait(door.server.stop(0.05))
        assert busy.rest() == b""
        assert door.server.connection_count == 0


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (directory / "certificate.pem").write_bytes(made.public_bytes(pem))
    (directory / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory / "certificate.pem", directory / "key.pem"


def test_tls_carries_requests_and_websockets(certificate):
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with Door(tls_certificate=certificate[0], tls_key=certificate[1]) as door:
        with door.connect(context) as line:
            assert line.socket.version() == "TLSv1.3"
            answer = line.request("POST", "/echo", b"x" * 50_000)
            assert answer.json()["body"] == "x" * 50_000
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            assert len(line.request("GET", "/large?1000000").body) == 1_000_000
            assert line.request("GET", "/echo", Connection="close").status == 200
            assert line.rest() == b""
        with door.connect(context) as line:
            assert line.upgrade()["strict-transport-security"] == "max-age=31536000"
            line.send_frame(1, b"hello")
            assert line.frame() == (1, b"hello")
            line.send_frame(8, b"\x03\xe8")
            assert line.frame() == (8, b"\x03\xe8")
            assert line.rest() == b""
        door.until(lambda: door.server.connection_count == 0, "all is closed")


def test_an_old_tls_is_refused_and_so_is_none(certificate):
    with Door(tls_certificate=certificate[0], tls_key=certificate[1], header_timeout=300) as door:
        old = ssl.create_default_context(cafile=str(certificate[0]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        with pytest.raises(OSError):
            door.connect(old)
        with door.connect() as plain:
            plain.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" not in plain.rest()
        with door.connect() as silent:
            assert silent.rest() == b"", "a handshake must come within header_timeout"
        door.until(lambda: door.server.connection_count == 0, "all is closed")
        with door.connect(ssl.create_default_context(cafile=str(certificate[0]))) as line:
            assert line.request("GET", "/echo").status == 200


def test_settings_that_cannot_be_used_say_so(tmp_path):
    for settings, said in (
        ({"tls_certificate": tmp_path / "none.pem"}, "tls_certificate"),
        ({"trusted_proxies": "everybody"}, "trusted_proxies"),
        ({"listen": "nowhere"}, "listen"),
    ):
        with pytest.raises(SettingsInvalid, match=said), Door(**settings):
            pass


def test_several_addresses_are_listened_at():
    door = Door(listen="127.0.0.1:0,127.0.0.1:0")
    with door:
        assert len(door.addresses) == 2
        for address in door.addresses:
            host, _, port = address.rpartition(":")
            with Line(socket.create_connection((host, int(port)))) as line:
                assert line.request("GET", "/echo").status == 200


# ---- The log ---------------------------------------------------------------------------------------------------------


def test_the_log_has_one_line_for_a_refused_request_and_never_a_query(tmp_path):
    with Door(tmp_path) as door:
        with door.connect() as line:
            missing = line.request("POST", "/missing?signature=5ec4e7&timestamp=1", b"signature=5ec4e7")
            assert line.request("GET", "/echo").status == 200
            failed = line.request("GET", "/raise?signature=5ec4e7")
        with door.connect() as line:
            line.send(b"GET /echo?signature=5ec4e7 HTTP/1.1\r\n\r\n")
            bad = line.answer()
        lines = door.log()
        assert "5ec4e7" not in door.log_path.read_text()
    refused = [one for one in lines if one["event"] == "request_refused"]
    assert [one["status"] for one in refused] == [404, 400]
    assert refused[0]["request_id"] == missing.headers["x-request-id"]
    assert (refused[0]["method"], refused[0]["path"], refused[0]["peer"]) == ("POST", "/missing", "127.0.0.1")
    assert refused[1]["request_id"] == bad.headers["x-request-id"]
    ids = {one["event"]: one["request_id"] for one in lines if one["level"] == "error"}
    assert ids == dict.fromkeys(("request_raised", "request_failed"), failed.headers["x-request-id"])


def test_debug_logs_every_request(tmp_path):
    with Door(tmp_path, log_level="debug") as door, door.connect() as line:
        line.request("GET", "/echo?secret=1")
        line.upgrade("/ws/0123456789abcdef")
        events = {one["event"]: one for one in door.log()}
    assert events["request"]["path"] == "/echo"
    assert events["socket_opened"]["path"] == "/ws/..."


def test_a_flood_of_refusals_is_counted_rather_than_written(tmp_path):
    with Door(tmp_path) as door, door.connect() as line:
        line.send(b"GET /missing HTTP/1.1\r\nHost: a\r\n\r\n" * 1_000)
        for _ in range(1_000):
            assert line.answer().status == 404
        door.until(lambda: door.log()[-1]["event"] == "requests_refused_unlogged", "what was not written is counted")
        lines = door.log()
        written = sum(one["event"] == "request_refused" for one in lines)
        counted = sum(one["count"] for one in lines if one["event"] == "requests_refused_unlogged")
        assert written + counted == 1_000
        assert written <= 200


def test_counters_tell_what_happened():
    with Door() as door:
        with door.connect() as line:
            line.request("GET", "/echo")
            line.request("GET", "/missing")
        with door.connect() as line:
            line.send(b"nonsense\r\n\r\n")
            line.rest()
        with door.connect() as line:
            line.upgrade()
            line.send_frame(1, b"hello")
            line.frame()
        door.until(lambda: door.metrics.counters["sockets_closed"], "the socket has ended")
        counters = door.metrics.counters
        assert counters["http_connections"] == 3
        assert (counters["http_requests"], counters["http_bad_requests"]) == (3, 1)
        assert (counters["sockets_opened"], counters["socket_messages_received"]) == (1, 1)
        assert (counters["socket_messages_sent"], counters["socket_bytes_sent"]) == (1, 7)
        assert counters["http_bytes_received"] > 0
        assert counters["http_bytes_sent"] > 0
        door.until(lambda: door.metrics.gauges["http_connections_open"] == 0, "all is closed")
        assert door.metrics.gauges["sockets_open"] == 0
