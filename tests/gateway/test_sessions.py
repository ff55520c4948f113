"""The dashboard's cookie: who made it, what it may, and what ends it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.app import pairs
from gateway.auth import Caller, KeyRing
from gateway.ended import ENDED_A_KEY_MAX, ENDED_FILE, Ended, EndedUnreadable
from gateway.errors import KEY_REFUSED, STATE_UNWRITABLE, UNAUTHORIZED, ApiError, Problem
from gateway.limits import Limits
from gateway.routing import Request
from gateway.sessions import COOKIE, SECURE_COOKIE, CookieSecretInvalid, Session, Sessions
from gateway.settings import GatewaySettings
from ironbook.keystore import KeyFile
from schemas.vocabulary import Permission
from tests.support.aio import in_loop

S = 1_000_000_000
NOW = 1_700_000_000 * S
HOUR = 3600 * S
TRADER = Permission.TRADE | Permission.CANCEL | Permission.READ
PEER = "192.0.2.7"
OWN = {"host": "exchange.example:7480", "origin": "https://exchange.example:7480"}


@dataclasses.dataclass
class Desk:
    """A key, and a gateway's sessions."""

    ring: KeyRing
    sessions: Sessions
    store: KeyFile
    secret: bytes
    settings: GatewaySettings

    def caller(self, secret: bytes | None = None, now_ns: int = NOW) -> Caller:
        """The caller of a signed request."""
        query = b"timestamp=%d" % (now_ns // 1_000_000)
        signed = b"POST /api/v1/session?" + query
        tag = hmac.new((secret or self.secret).hex().encode(), signed, hashlib.sha256).hexdigest()
        made = request("POST", {"x-mbx-apikey": "desk"}, query + b"&signature=" + tag.encode())
        return self.ring.authenticate(made, pairs(made, form=False), Permission.READ, now_ns)[0]

    def log_in(self, rights: int = 31, secret: bytes | None = None) -> str:
        """The cookie's value."""
        header = self.sessions.make(self.caller(secret), rights, request("POST", OWN), NOW)[1]
        return header.split(";")[0].removeprefix(f"{SECURE_COOKIE}=")

    def ask(
        self, cookie: str, /, method: str = "GET", permission: int = Permission.READ, now_ns: int = NOW,
        peer: str = PEER, **headers: str,
    ) -> tuple[Session, bytes, int]:  # fmt: skip
        """Call with that cookie."""
        sent = {"cookie": f"theme=dark; {SECURE_COOKIE}={cookie}"} | OWN
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.sessions.authenticate(request(method, sent, peer=peer), permission, now_ns)

    def refusal(self, cookie: str, /, method: str = "GET", **more: object) -> Problem:
        """What such a call is refused with."""
        with pytest.raises(ApiError) as caught:
            self.ask(cookie, method, **more)  # type: ignore[arg-type]
        return caught.value.problem


def request(method: str, headers: Mapping[str, str], query: bytes = b"", peer: str = PEER) -> Request:
    return Request(method, "/api/v1/session", query, headers, b"", peer, "r", NOW)


@asynccontextmanager
async def desk(directory: Path, *, networks: tuple[str, ...] = ()) -> AsyncIterator[Desk]:
    store = KeyFile(directory / "keys.ironbook", b"correct horse battery")
    store.initialise()
    secret = store.create_key("desk", permissions=TRADER, account=7, networks=networks).secret
    settings = dataclasses.replace(GatewaySettings(), data=str(directory), session_hours=2)
    ring = KeyRing(KeyFile(store.path, b"correct horse battery"), Limits(settings))
    await ring.open()
    try:
        yield Desk(ring, Sessions(settings, ring), store, secret, settings)
    finally:
        await ring.close()


def nonce() -> str:
    return os.urandom(16).hex()


@in_loop
async def test_a_cookie_stands_for_the_key_that_signed_the_login(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        session, header = here.sessions.make(here.caller(), 31, request("POST", OWN), NOW)
        assert header.split("; ")[1:] == ["Path=/", "Max-Age=7200", "HttpOnly", "SameSite=Strict", "Secure"]
        found, _, _ = here.ask(header.split(";")[0].removeprefix(f"{SECURE_COOKIE}="))
        assert (found.key_id, found.account, found.permissions, found.via) == ("desk", 7, TRADER, "cookie")
        assert found.expires_ns == session.expires_ns == NOW + 2 * HOUR


@in_loop
async def test_over_plain_http_the_cookie_is_not_kept_for_tls(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        made = request("POST", OWN | {"origin": "http://exchange.example:7480"})
        header = here.sessions.make(here.caller(), 31, made, NOW)[1]
        assert header.startswith(f"{COOKIE}=")
        assert "Secure" not in header
        value = header.split(";")[0].removeprefix(f"{COOKIE}=")
        assert here.ask("", cookie=f"{COOKIE}={value}")


@in_loop
async def test_where_tls_ends_here_only_the_cookie_that_this_host_set_counts(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.sessions = Sessions(dataclasses.replace(here.settings, tls_certificate="certificate.pem"), here.ring)
        cookie = here.log_in()
        assert here.refusal("", cookie=f"{COOKIE}={cookie}") is UNAUTHORIZED
        assert here.ask("", cookie=f"{COOKIE}=planted; {SECURE_COOKIE}={cookie}")
        planted = request("GET", {"cookie": f"{COOKIE}=planted"} | OWN)
        assert here.sessions.of_socket(planted, NOW) is None, "nobody has logged in"


@in_loop
async def test_of_two_session_cookies_neither_is_taken(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        one, two = here.log_in(), here.log_in()
        for name in (COOKIE, SECURE_COOKIE):
            assert here.ask("", cookie=f"{name}={one}")
            twice = f"{name}={one}; theme=dark; {name}={two}"
            assert here.refusal("", cookie=twice) is UNAUTHORIZED
            with pytest.raises(ApiError):
                here.sessions.of_socket(request("GET", {"cookie": twice} | OWN), NOW)
        assert here.ask("", cookie=f"{COOKIE}={one}; {SECURE_COOKIE}={two}"), "only this host can set the latter"


@in_loop
async def test_rights_are_what_was_asked_for_as_far_as_the_key_has_them(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        cookie = here.log_in(Permission.READ | Permission.ADMIN)
        assert here.ask(cookie)[0].permissions == Permission.READ
        assert here.refusal(cookie, permission=Permission.TRADE) is KEY_REFUSED
        everything = here.log_in()
        await here.ring.edit(lambda file: file.set_permissions("desk", Permission.READ))
        assert here.ask(everything)[0].permissions == Permission.READ, "and has them now"


@in_loop
async def test_any_changed_character_makes_the_cookie_worthless(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        cookie = here.log_in()
        for at, was in enumerate(cookie):
            changed = cookie[:at] + ("B" if was != "B" else "C") + cookie[at + 1 :]
            if base64.urlsafe_b64decode(changed + "==") != base64.urlsafe_b64decode(cookie + "=="):
                assert here.refusal(changed) is UNAUTHORIZED
        for wrong in ("", "x", cookie[:-4], cookie * 2, "é" * 20, "A" * 10_000, "%00", cookie + "===="):
            assert here.refusal(wrong) is UNAUTHORIZED


@in_loop
async def test_a_session_ends_when_its_time_is_over(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        cookie = here.log_in()
        assert here.ask(cookie, now_ns=NOW + 2 * HOUR - 1)
        assert here.refusal(cookie, now_ns=NOW + 2 * HOUR) is UNAUTHORIZED


@in_loop
async def test_a_session_ends_at_once_when_its_key_is_revoked(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        cookie = here.log_in()
        session = here.ask(cookie)[0]
        assert here.sessions.good(session, PEER, NOW)
        await here.ring.edit(lambda file: file.revoke("desk"))
        assert here.refusal(cookie) is UNAUTHORIZED
        assert not here.sessions.good(session, PEER, NOW)


@in_loop
async def test_a_session_ends_when_the_secret_that_opened_it_is_rotated_away(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        old = here.log_in()
        new_secret = (await here.ring.edit(lambda file: file.begin_rotation("desk"))).secret
        new = here.log_in(secret=new_secret)
        assert here.ask(old)
        assert here.ask(new)
        await here.ring.edit(lambda file: file.finish_rotation("desk"))
        assert here.refusal(old) is UNAUTHORIZED
        assert here.ask(new)


@in_loop
async def test_a_session_is_good_from_the_keys_networks_only_and_they_change_while_it_lives(tmp_path: Path) -> None:
    async with desk(tmp_path, networks=("192.0.2.0/24", "2001:db8::/32")) as here:
        cookie = here.log_in()
        assert here.ask(cookie, peer="2001:db8::5")
        assert here.refusal(cookie, peer="198.51.100.1") is UNAUTHORIZED
        await here.ring.edit(lambda file: file.set_networks("desk", ["198.51.100.0/24"]))
        assert here.refusal(cookie) is UNAUTHORIZED
        assert here.ask(cookie, peer="198.51.100.1")


@in_loop
async def test_a_session_that_was_logged_out_is_over(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        cookie, other = here.log_in(), here.log_in()
        header = here.sessions.end(here.ask(cookie)[0], request("DELETE", OWN), NOW)
        assert header.startswith(f"{SECURE_COOKIE}=; Path=/; Max-Age=0;")
        assert here.refusal(cookie) is UNAUTHORIZED
        assert here.ask(other)
        path = tmp_path / ENDED_FILE
        assert path.stat().st_mode & 0o777 == 0o600
        here.sessions = Sessions(here.settings, here.ring)
        assert here.refusal(cookie) is UNAUTHORIZED, "a restart does not take it up again"
        assert here.ask(other)


@in_loop
async def test_a_logout_that_cannot_be_kept_is_told_and_holds_until_a_restart(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        (tmp_path / f"{ENDED_FILE}.new").mkdir()  # where the new file would be written
        cookie = here.log_in()
        with pytest.raises(ApiError) as caught:
            here.sessions.end(here.ask(cookie)[0], request("DELETE", OWN), NOW)
        assert caught.value.problem is STATE_UNWRITABLE
        assert here.refusal(cookie) is UNAUTHORIZED


@in_loop
async def test_a_file_of_ended_sessions_that_cannot_be_read_stops_the_start_and_is_named(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        for wrong in (b"", b"{", b"[]", b'{"desk": 1}', b'{"desk": {"ab": "soon"}}', b"\xff"):
            (tmp_path / ENDED_FILE).write_bytes(wrong)
            with pytest.raises(EndedUnreadable) as caught:
                Sessions(here.settings, here.ring)
            assert caught.value.detail == str(tmp_path / ENDED_FILE)


def test_ended_sessions_are_bounded_by_key_and_forgotten_with_their_time(tmp_path: Path) -> None:
    ended = Ended(tmp_path / ENDED_FILE)
    ended.add("desk", b"one", NOW + HOUR, NOW)
    for number in range(ENDED_A_KEY_MAX + 1):
        ended.add("other", b"%d" % number, NOW + 2 * HOUR + number, NOW)
    for one in (ended, Ended(tmp_path / ENDED_FILE)):
        assert one.holds("desk", b"one"), "others make no room at its cost"
        assert not one.holds("other", b"0"), "the first to expire made room"
        assert one.holds("other", b"1")
        assert not one.holds("desk", b"1"), "of another key"
    ended.add("third", b"one", NOW + 9 * HOUR, NOW + 5 * HOUR)
    assert set(json.loads((tmp_path / ENDED_FILE).read_bytes())) == {"third"}


@in_loop
async def test_what_changes_something_needs_a_nonce_and_a_page_of_ours(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        cookie, digits = here.log_in(), nonce()
        found = here.ask(cookie, "POST", x_ironbook_request=digits)[1]
        assert len(found) == 16
        assert here.ask(cookie, "POST", x_ironbook_request=digits.upper())[1] == found, "the same call, the same nonce"
        assert here.ask(cookie, "POST", x_ironbook_request=nonce())[1] != found
        assert here.ask(here.log_in(), "POST", x_ironbook_request=digits)[1] != found, "other sessions have their own"
        for wrong in ({}, {"x_ironbook_request": "1"}, {"x_ironbook_request": "g" * 32}):
            assert here.refusal(cookie, "DELETE", **wrong) is UNAUTHORIZED
        own = OWN["origin"]
        for origin in ("", "null", "https://evil.example", own.removesuffix(":7480"), own + "0"):
            assert here.refusal(cookie, "PUT", x_ironbook_request=nonce(), origin=origin) is UNAUTHORIZED


@in_loop
async def test_an_allowed_origin_may_use_the_cookie_too(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        settings = dataclasses.replace(here.settings, allowed_origins="https://app.example, https://other.example")
        here.sessions = Sessions(settings, here.ring)
        cookie = here.log_in()
        assert here.ask(cookie, "POST", x_ironbook_request=nonce(), origin="https://other.example")


@in_loop
async def test_a_socket_is_opened_by_cookie_only_from_a_page_of_ours(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        sent = {"cookie": f"{SECURE_COOKIE}={here.log_in()}"}
        found = here.sessions.of_socket(request("GET", sent | OWN), NOW)
        assert found is not None
        assert found.key_id == "desk"
        assert here.sessions.of_socket(request("GET", OWN), NOW) is None
        with pytest.raises(ApiError):
            here.sessions.of_socket(request("GET", sent | OWN | {"origin": "https://evil.example"}), NOW)


@in_loop
async def test_sessions_survive_a_restart_and_a_changed_secret_while_both_are_live(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        cookie = here.log_in()
        path = tmp_path / "cookie-secret"
        assert path.stat().st_mode & 0o777 == 0o600
        here.sessions = Sessions(here.settings, here.ring)
        assert here.ask(cookie), "the same file, the same sessions"
        path.write_text("ab" * 32 + "\n" + path.read_text())
        assert await here.sessions.renew()
        assert here.ask(cookie)
        newer = here.log_in()
        path.write_text("ab" * 32 + "\n")
        assert await here.sessions.renew()
        assert here.refusal(cookie) is UNAUTHORIZED
        assert here.ask(newer)
        assert not await here.sessions.renew(), "there is nothing new"


@in_loop
async def test_a_file_of_secrets_that_is_wrong_stops_the_start_and_not_a_gateway_that_runs(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        cookie, path = here.log_in(), tmp_path / "cookie-secret"
        for wrong in ("", "short\n", "zz" * 32, ("ab" * 32 + "\n") * 3):
            path.write_text(wrong)
            with pytest.raises(CookieSecretInvalid):
                await here.sessions.renew()
            assert here.ask(cookie)
            with pytest.raises(CookieSecretInvalid):
                Sessions(here.settings, here.ring)
        path.write_text("ab" * 32)
        path.chmod(0o644)
        with pytest.raises(CookieSecretInvalid):
            Sessions(here.settings, here.ring)
