"""Certificates: signed by the firm's authority, tried by a real handshake, retired when servers show the new one."""

from __future__ import annotations

import contextlib
import datetime
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from functions.common.errors import SecretInvalid
from functions.rotation.doors import GatewayDoor
from functions.rotation.errors import DriveFailed, NewSecretRefused
from functions.rotation.kinds.tls import make_certificate
from tests.support.rotation import CURRENT, PENDING, World, authority

NOW = datetime.datetime.now(datetime.UTC)
NAMES = ["localhost", "gateway.internal", "127.0.0.1"]


@pytest.fixture
def firm(world: World) -> dict[str, str]:
    """The world has an authority."""
    made = authority()
    arn = world.secret("ca", "ca", made, environment="elsewhere")
    world.settings(ca_secret=arn)
    return made


def certificate(world: World, **more: Any) -> str:
    """A secret whose certificate is not made yet."""
    value = {"certificate": "", "private_key": "", "names": NAMES, "days": 90}
    return world.secret("tls/gateway", "tls", value | more, "gateway=1")


def test_the_first_certificate_and_every_later_one_are_signed_and_of_these_names(world: World, firm: dict[str, str]):
    secret = certificate(world)
    seen = set()
    for turn in range(3):
        answer = world.handle({"action": "install"}) if turn == 0 else world.rotate(secret)
        assert answer is not None
        world.hold(secret)
        assert world.drive(secret)["state"] == "rest"
        value = world.value(secret)
        leaf, signer = x509.load_pem_x509_certificates(value["certificate"].encode())
        leaf.verify_directly_issued_by(signer)
        assert signer.public_bytes(serialization.Encoding.PEM).decode() == firm["certificate"]
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == NAMES[:2]
        assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == NAMES[2:]
        assert 89 <= (leaf.not_valid_after_utc - NOW).days <= 90
        seen.add(leaf.serial_number)
    assert len(seen) == 3
    assert set(world.labels(secret)) == {CURRENT}


class Server:
    """Shows a certificate, another one when told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        owner = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                try:
                    owner.context.wrap_socket(self.request, server_side=True).close()
                except OSError:
                    return

        self.server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def show(self, value: dict[str, Any]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for field in ("certificate", "private_key"):
            (self.directory / field).write_text(value[field])
        context.load_cert_chain(self.directory / "certificate", self.directory / "private_key")
        self.context = context


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_the_old_certificate_is_retired_when_servers_show_the_new_one(
    world: World, firm: dict[str, str], server: Server
):
    address = f"127.0.0.1:{server.server.server_address[1]}"
    chain, key = make_certificate(firm, NAMES, 90, NOW)
    secret = certificate(world, certificate=chain, private_key=key, addresses=[address])
    server.show(world.value(secret))
    world.hold(secret)
    world.rotate(secret)
    world.hold(secret)
    assert world.drive(secret)["waiting"] == [f"{address} does not show the new certificate"]
    server.show(world.value(secret))
    assert world.drive(secret)["state"] == "rest"


def test_a_certificate_that_no_client_would_accept_never_becomes_current(world: World, firm: dict[str, str]):
    good, key = make_certificate(firm, NAMES, 90, NOW)
    secret = certificate(world, certificate=good, private_key=key)
    stranger = authority(name="Stranger")
    wrong = [
        make_certificate(stranger, NAMES, 90, NOW),  # who is that?
        make_certificate(firm, ["other.internal"], 90, NOW),  # another name
        make_certificate(firm, NAMES, 1, NOW - datetime.timedelta(days=2)),  # it has ended
        (make_certificate(firm, NAMES, 90, NOW)[0], key),  # another one's key
    ]
    current = world.labels(secret)[CURRENT]
    for chain, private in wrong:
        value = world.value(secret) | {"certificate": chain, "private_key": private}
        put = json.dumps(value)
        world.api.put_secret_value(SecretId=secret, SecretString=put, VersionStages=[PENDING])
        pending = world.labels(secret)[PENDING]
        for step in ("testSecret", "finishSecret"):
            with pytest.raises(NewSecretRefused, match="a client must accept the new certificate, would not"):
                world.step(step, secret, pending)
        assert world.labels(secret)[CURRENT] == current


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"certificate": "", "private_key": ""}, "certificate of the authority must be PEM"),
        ({**authority(), "private_key": authority()["private_key"]}, "must belong to its certificate"),
        (authority(days=-1), "the authority must live as long as what it signs"),
        ({**authority(), "private_key": "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"}, "must be PEM"),
    ],
)
def test_an_authority_that_cannot_sign_makes_nothing(value: dict[str, str], what: str):
    with pytest.raises(SecretInvalid, match=what):
        make_certificate(value, NAMES, 90, NOW)


def test_a_certificate_is_refused_and_not_cut_short_where_its_authority_ends_first(world: World):
    with pytest.raises(
        SecretInvalid, match=r"live as long as what it signs, ends .* 90 days would end .*new authority"
    ):
        make_certificate(authority(days=89), NAMES, 90, NOW)
    make_certificate(authority(days=91), NAMES, 90, NOW)
    world.settings(ca_secret=world.secret("ca", "ca", authority(days=89), environment="elsewhere"))
    secret = certificate(world)
    before = world.labels(secret)
    with pytest.raises(DriveFailed):
        world.handle({"action": "install"})
    assert world.labels(secret) == before
    assert "the authority must live as long" in world.alerts()[-1]


@pytest.mark.parametrize(
    ("days", "days_ago", "what"),
    [
        (180, 149, ""),
        (180, 151, "in 28 days, and no new one took its place"),
        (20, 14, ""),  # it was never meant to live for 30 days
        (20, 16, "in 3 days, and no new one took its place"),
        (90, 91, "the certificate in use ended "),
    ],
)
def test_people_hear_of_a_certificate_that_ends_soon_and_has_no_successor(
    world: World, firm: dict[str, str], days: int, days_ago: int, what: str
):
    chain, key = make_certificate(firm, NAMES, days, NOW - datetime.timedelta(days=days_ago))
    secret = certificate(world, certificate=chain, private_key=key, days=days)
    world.hold(secret)
    world.row("gateway-0", "tls/localhost", [], "another one's")
    pending = {**world.value(secret), "certificate": make_certificate(authority(name="Stranger"), NAMES, 9, NOW)[0]}
    world.api.put_secret_value(SecretId=secret, SecretString=json.dumps(pending), VersionStages=[PENDING])
    with pytest.raises(DriveFailed):  # no client would take the pending one, so the one in use stays
        world.handle({"action": "drive"})
    told = [alert for alert in world.alerts() if " must change\n" in alert]
    assert len(told) == (what != "")
    assert what in "".join(told)


def test_a_certificate_in_its_last_third_is_made_anew_whatever_the_schedule_says(world: World, firm: dict[str, str]):
    for days_ago, new in ((50, False), (70, True)):
        chain, key = make_certificate(firm, NAMES, 90, NOW - datetime.timedelta(days=days_ago))
        value = {"certificate": chain, "private_key": key, "names": NAMES, "days": 90}
        secret = world.secret(f"tls/{days_ago}", "tls", value, "")
        assert world.drive(secret)["state"] == "rest"
        assert (world.value(secret)["certificate"] != chain) == new
    assert world.alerts() == [], "of one that ended soon nobody need hear: its successor took its place"


class Session(BaseHTTPRequestHandler):
    """Takes whatever key."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def test_a_new_key_is_tried_at_a_gateway_with_the_firms_certificate_or_behind_one_of_the_systems_authorities(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    public, firm, stranger = (authority(name=name) for name in ("Public", "Firm", "Stranger"))
    (tmp_path / "system.pem").write_text(public["certificate"])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    for signer, good in ((public, True), (firm, True), (stranger, False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for field, text in zip(("certificate", "private_key"), make_certificate(signer, NAMES, 9, NOW), strict=True):
            (tmp_path / field).write_text(text)
        context.load_cert_chain(tmp_path / "certificate", tmp_path / "private_key")
        with ThreadingHTTPServer(("127.0.0.1", 0), Session) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"https://localhost:{server.server_address[1]}"
            door = GatewayDoor(url, lambda: firm["certificate"], lambda: 0)
            with contextlib.nullcontext() if good else pytest.raises(NewSecretRefused, match="SSLCert"):
                assert door.try_key("desk-1", b"x" * 32) == f"signed request at the gateway {url}"
            server.shutdown()
