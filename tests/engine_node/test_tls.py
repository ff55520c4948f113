"""TLS, ended in a process of its own: real handshakes with certificates made here, through to the engine and back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from engine_node import tls
from engine_node.errors import TerminatorError
from engine_node.settings import Settings
from ironbook import held
from schemas import vocabulary as v
from tests.support.certificates import write_certificate
from tests.support.node import Client, LogonRefused, Node, wait_until

MakeNode = Callable[..., Node]


def trusting(directory: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(directory / "certificate.pem"))


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    write_certificate(tmp_path)
    made: list[Node] = []

    def make(name: str = "data", **settings: object) -> Node:
        chosen = {
            "tls_listen": "127.0.0.1:0",
            "tls_certificate_file": tmp_path / "certificate.pem",
            "tls_key_file": tmp_path / "key.pem",
        } | settings
        made.append(Node(tmp_path / name, **chosen))
        return made[-1]

    yield make
    for node in made:
        node.end()


def started(node: Node) -> tuple[str, int]:
    node.start()
    node.wait_event("terminator_started")
    return node.address("tls_addresses")


def test_a_client_trades_through_tls(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node()
    secret = node.make_key()
    address = started(node)
    client = Client.connect(address, "admin", secret, tls=trusting(tmp_path))
    client.define_market()
    assert client.ask(client.order(v.Side.BUY, 100, 5)).kind == v.EventKind.ACCEPTED
    count = 2000
    client.send(*[client.order(v.Side.BUY, 99, 1)] * count)
    assert [client.report().kind for _ in range(count)] == [v.EventKind.ACCEPTED] * count
    node.tell(signal.SIGTERM)
    assert client.ended_with() == v.Code.SERVER_STOPPING
    assert node.stop() == 0


def test_the_engine_sees_the_clients_true_address(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node()
    near = node.make_key("near", networks=["127.0.0.0/8"])
    far = node.make_key("far", networks=["192.0.2.0/24"])
    address = started(node)
    Client.connect(address, "near", near, tls=trusting(tmp_path)).close()
    with pytest.raises((LogonRefused, ssl.SSLError)):
        Client.connect(address, "far", far, tls=trusting(tmp_path))


def test_versions_below_1_2_are_refused_and_both_others_serve(make_node: MakeNode, tmp_path: Path) -> None:
    address = started(make_node())
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting(tmp_path)
        context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection(address, timeout=10) as line,
            context.wrap_socket(line, server_hostname="localhost") as safe,
        ):
            assert safe.version() == version.name.replace("_", ".")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(address, timeout=10) as line, pytest.raises(OSError):
        old.wrap_socket(line, server_hostname="localhost").recv(1)


def test_a_cipher_without_forward_secrecy_is_refused(make_node: MakeNode, tmp_path: Path) -> None:
    address = started(make_node())
    context = trusting(tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA")
    with socket.create_connection(address, timeout=10) as line, pytest.raises(ssl.SSLError):
        context.wrap_socket(line, server_hostname="localhost")


def test_an_idle_handshake_is_given_up_and_plain_text_is_refused(make_node: MakeNode) -> None:
    address = started(make_node(tls_handshake_timeout_ms=300))
    with socket.create_connection(address, timeout=10) as silent:
        assert silent.recv(1) == b""
    with socket.create_connection(address, timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n" * 4)
        with contextlib.suppress(ConnectionResetError):
            while plain.recv(4096):
                pass


def test_one_address_cannot_take_all_handshakes(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node(tls_handshake_peer_max=3, tls_handshake_timeout_ms=60_000)
    secret = node.make_key()
    address = started(node)
    silent = [socket.create_connection(address, timeout=10) for _ in range(3)]
    wait_until(lambda: refused_at_once(address), 10)
    for line in silent[:1]:
        line.close()
    wait_until(lambda: serves(address, secret, tmp_path), 10)
    for line in silent:
        line.close()


def refused_at_once(address: tuple[str, int]) -> bool:
    with socket.create_connection(address, timeout=10) as line:
        line.settimeout(0.3)
        try:
            return line.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def serves(address: tuple[str, int], secret: bytes, directory: Path) -> bool:
    try:
        Client.connect(address, "admin", secret, tls=trusting(directory)).close()
    except OSError:
        return False
    return True


def test_beyond_all_handshakes_others_wait_and_are_served_after_the_time_out(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node(tls_handshake_count_max=2, tls_handshake_timeout_ms=700)
    secret = node.make_key()
    address = started(node)
    silent = [socket.create_connection(address, timeout=10) for _ in range(4)]
    Client.connect(address, "admin", secret, tls=trusting(tmp_path)).close()
    for line in silent:
        line.close()


def test_connections_beyond_the_most_are_closed(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node(tls_connection_count_max=1)
    secret = node.make_key()
    address = started(node)
    first = Client.connect(address, "admin", secret, tls=trusting(tmp_path))
    assert refused_at_once(address)
    assert first.ask(v.Ping(echo=1)).kind == v.MessageKind.PONG
    first.close()
    wait_until(lambda: serves(address, secret, tmp_path), 10)


def test_a_new_certificate_is_taken_on_sighup_and_a_bad_one_is_not(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node()
    address = started(node)

    def serial() -> int:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(address, timeout=10) as line, context.wrap_socket(line) as safe:
            return x509.load_der_x509_certificate(safe.getpeercert(True) or b"").serial_number

    assert serial() == 1
    write_certificate(tmp_path, serial=2)
    node.tell(signal.SIGHUP)
    node.wait_event("certificate_reloaded")
    assert serial() == 2
    (tmp_path / "certificate.pem").write_text("nonsense")
    node.tell(signal.SIGHUP)
    node.wait_event("certificate_not_reloaded")
    assert serial() == 2


def test_a_new_certificate_is_taken_when_its_files_change_and_the_one_in_use_is_said(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node(key_poll_ms=50)
    secret = node.make_key()
    address = started(node)

    def shown() -> bytes:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(address, timeout=10) as line, context.wrap_socket(line) as safe:
            return safe.getpeercert(True) or b""

    path = node.directory / "tls.held.json"

    def said() -> str | None:
        return {one.secret: one.uses for one in held.read(path).holdings}["tls/localhost"]

    wait_until(path.exists, 10)
    assert said() == held.fingerprint(shown())
    first = Client.connect(address, "admin", secret, tls=trusting(tmp_path))
    old = shown()
    whole = (tmp_path / "certificate.pem").read_text()
    (tmp_path / "certificate.pem").write_text(whole[: len(whole) // 2])
    node.wait_event("secret_not_renewed")
    assert shown() == old
    assert said() == held.fingerprint(old)
    write_certificate(tmp_path, serial=3)
    wait_until(lambda: said() != held.fingerprint(old), 10)
    assert said() == held.fingerprint(shown())
    assert shown() != old
    assert first.ask(v.Ping(echo=1)).kind == v.MessageKind.PONG, "open connections keep theirs"
    first.close()
    node.stop()
    assert not path.exists()


def test_a_terminator_that_dies_comes_back_on_the_same_port_and_plain_sessions_go_on(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node()
    plain_secret, secret = node.make_key("plain"), node.make_key()
    address = started(node)
    plain = Client.connect(node.address(), "plain", plain_secret)
    os.kill(node.wait_event("terminator_started")[0]["pid"], signal.SIGKILL)
    node.wait_event("child_died")
    assert plain.ask(v.Ping(echo=1)).kind == v.MessageKind.PONG
    Client.connect(address, "admin", secret, tls=trusting(tmp_path), timeout_s=20).close()
    assert node.address("tls_addresses") == address


def test_a_client_that_does_not_read_is_dropped_and_memory_stays_bounded(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node(tls_buffer_bytes=65536)
    secret = node.make_key()
    address = started(node)
    client = Client.connect(address, "admin", secret, tls=trusting(tmp_path))
    client.define_market()
    client.line.settimeout(1)
    pid = node.wait_event("terminator_started")[0]["pid"]
    with contextlib.suppress(OSError):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            client.send(*[client.order(v.Side.BUY, 99, 1)] * 500)
    status = Path(f"/proc/{pid}/status").read_text()
    peak_kib = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    assert peak_kib < 200_000
    other = node.make_key("other")
    node.wait_event("keys_reloaded")
    again = Client.connect(address, "other", other, tls=trusting(tmp_path))
    assert again.ask(v.Ping(echo=1)).kind == v.MessageKind.PONG


# ---- Without a process -----------------------------------------------------------------------------------------------


def with_files(directory: Path, **changes: str) -> Settings:
    chosen = {
        "tls_listen": (),
        "tls_certificate_file": str(directory / "certificate.pem"),
        "tls_key_file": str(directory / "key.pem"),
    }
    return Settings(**chosen | changes)  # type: ignore[arg-type]


def test_bad_certificates_and_keys_are_told_apart(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    tls.make_context(with_files(tmp_path))
    with pytest.raises(TerminatorError, match="readable"):
        tls.make_context(with_files(tmp_path, tls_certificate_file=str(tmp_path / "none")))
    (tmp_path / "key.pem").chmod(0o644)
    with pytest.raises(TerminatorError, match="mode 0600 or 0400, had 0644"):
        tls.make_context(with_files(tmp_path))
    (tmp_path / "key.pem").chmod(0o600)
    other = tmp_path / "other"
    other.mkdir()
    write_certificate(other)
    with pytest.raises(TerminatorError, match="belong together"):
        tls.make_context(with_files(tmp_path, tls_key_file=str(other / "key.pem")))
    write_certificate(other, encrypted=True)
    with pytest.raises(TerminatorError, match="encrypted"):
        tls.make_context(with_files(other))


def test_a_start_with_a_bad_certificate_fails_before_anything_listens(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node()
    (tmp_path / "certificate.pem").write_text("nonsense")
    node.start(wait=False)
    assert node.process is not None
    assert node.process.wait(30) == 1
    assert node.events("start_failed")[0]["error"] == "terminator"


ZEROS = "00" * 11


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (("192.0.2.1", 1), ("198.51.100.2", 65535), "2111000c c0000201 c6336402 0001 ffff"),
        (("2001:db8::1", 7), ("2001:db8::2", 8), f"21210024 20010db8{ZEROS}01 20010db8{ZEROS}02 0007 0008"),
        (("fe80::1%eth0", 7), ("fe80::2", 8), f"21210024 fe800000{ZEROS}01 fe800000{ZEROS}02 0007 0008"),
    ],
)
def test_the_proxy_header_is_byte_for_byte_version_2(
    source: tuple[str, int], target: tuple[str, int], expected: str
) -> None:
    assert tls.proxy_header(source, target) == b"\r\n\r\n\0\r\nQUIT\n" + bytes.fromhex(expected)
