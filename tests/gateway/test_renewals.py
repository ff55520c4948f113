"""Secrets change under a gateway that is traded on flat out: nobody is refused, and it says what it holds."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import pytest
from cryptography import x509

from gateway.renewals import watch_certificate
from ironbook import Key, held
from ironbook.keystore import KeyFile
from ironbook.renewal import Renewal, database_holding
from tests.support.alternating import Users, write_file
from tests.support.certificates import write_certificate
from tests.support.door import Door
from tests.support.gateway import Stack
from tests.support.node import wait_until
from tests.support.services import create_database, drop_database

pytestmark = pytest.mark.timeout(180)
WAIT_S = 30.0
PRICE = "59000.00"


class Running:
    """A gateway, its secrets' files, and what it says of them."""

    def __init__(self, stack: Stack, users: Users, url_file: Path) -> None:
        self.stack, self.users, self.url_file = stack, users, url_file
        self.held_file = stack.directory / "gateway-1.held.json"
        self.wrong: list[object] = []

    def uses(self, secret: str) -> str | None:
        """Fingerprint of what the gateway shows."""
        return next((one.uses for one in held.read(self.held_file).holdings if one.secret == secret), None)

    def accepts(self, secret: str) -> tuple[str, ...]:
        """Fingerprints of what it lets in."""
        return next((one.accepts for one in held.read(self.held_file).holdings if one.secret == secret), ())

    def complaints(self, secret: str) -> list[dict[str, Any]]:
        """What the log says of a secret that could not be taken up."""
        return [line for line in self.stack.events("secret_not_renewed") if line["of"] == secret]

    def until(self, holds: Callable[[], object]) -> None:
        """Wait; the trading goes on meanwhile."""
        try:
            wait_until(lambda: self.wrong or holds(), WAIT_S)
        except AssertionError:
            raise AssertionError(told(self.stack)) from None
        assert not self.wrong, (self.wrong[:3], told(self.stack))

    @contextlib.contextmanager
    def trading(self) -> Iterator[dict[int, int]]:
        """Orders, cancels and reads of the database all the time; at the end none was refused."""
        ended, found, wrong = threading.Event(), dict[int, int](), self.wrong
        keys = ("alice", "bob", "carol")
        tasks = [threading.Thread(target=self._trade, args=(key, ended, found, wrong)) for key in keys]
        for task in tasks:
            task.start()
        try:
            wait_until(lambda: sum(found.values()) > 50 or wrong, WAIT_S, "nobody trades")
            yield found
            count = sum(found.values())
            wait_until(lambda: sum(found.values()) > count + 50 or wrong, WAIT_S, "nobody trades")
        finally:
            ended.set()
            for task in tasks:
                task.join(WAIT_S)
        assert not wrong, wrong[:3]
        assert set(found) == {200}, found

    def _trade(self, key: str, ended: threading.Event, found: dict[int, int], wrong: list[object]) -> None:
        line = http.client.HTTPConnection(self.stack.address, timeout=20)
        count = 0

        def ask(method: str, path: str, **said: object) -> None:
            nonlocal count
            count += 1
            query = urlencode(said | {"timestamp": time.time_ns() // 1000 + count})
            sign = self.stack.sign_v1(key, method, path, query) if "/v1/" in path else self.stack.sign(key, query)
            line.request(method, f"{path}?{query}&signature={sign}", headers={"X-MBX-APIKEY": key})
            answer = line.getresponse()
            body = answer.read()
            found[answer.status] = found.get(answer.status, 0) + 1
            if answer.status != 200:
                wrong.append((method, path, body))

        try:
            while not ended.is_set() and not wrong:
                name = f"{key}-{secrets.token_hex(4)}"
                limit = {"type": "LIMIT", "timeInForce": "GTC", "quantity": "0.001", "price": PRICE}
                ask("POST", "/api/v3/order", symbol="BTCUSD", side="BUY", newClientOrderId=name, **limit)
                ask("DELETE", "/api/v3/order", symbol="BTCUSD", origClientOrderId=name)
                ask("GET", "/api/v1/positions")
        except Exception as error:
            wrong.append(error)
        finally:
            line.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[Running]:
    directory, url = tmp_path_factory.mktemp("renewals"), create_database(postgres_server)
    url_file = directory / "gateway.database-url"
    stack = Stack(
        directory, database=url, engine={"key_poll_ms": 50}, database_url_file=url_file,
        held_file=directory / "gateway-1.held.json",
    )  # fmt: skip
    users: Users | None = None
    try:
        stack.make_keys()
        stack.node.start()
        stack.define()
        stack.start_analytics()
        users = Users(url, "ironbook_reader")
        write_file(url_file, users.enable(0))
        stack.start_gateway()
        yield Running(stack, users, url_file)
    finally:
        stack.end()
        if users is not None:
            users.drop()
        drop_database(url, postgres_server)


def told(stack: Stack) -> str:
    """The log without requests."""
    lines = stack.log_path.read_text().splitlines()
    return "\n".join([line for line in lines if '"event":"request"' not in line][-20:])


def test_a_gateway_says_what_it_holds_and_nothing_of_the_secrets_themselves(running: Running) -> None:
    running.until(lambda: held.read(running.held_file).whole)
    said = held.read(running.held_file)
    assert said.process == held.process_name("gateway-1")
    assert said.kind == "gateway"
    assert said.alive()
    stack = running.stack
    for key in ("alice", "gateway", "gateway-admin"):
        assert running.accepts(f"api_key/{key}") == (held.fingerprint(stack.keys[key]),)
    running.until(lambda: running.uses("api_key/gateway") == held.fingerprint(stack.keys["gateway"]))
    assert running.uses("api_key/gateway-admin") == held.fingerprint(stack.keys["gateway-admin"])
    assert running.uses("api_key/alice") is None
    cookie = bytes.fromhex((stack.directory / "cookie-secret").read_text().strip())
    assert running.uses("cookie") == held.fingerprint(cookie)
    name, value = database_holding(running.url_file.read_text())
    assert running.uses(name) == value
    assert cookie.hex() not in running.held_file.read_text()
    assert running.held_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("key_id", ["gateway", "gateway-admin"])
def test_a_line_goes_on_with_a_new_secret_of_its_key_and_no_order_is_refused(running: Running, key_id: str) -> None:
    stack = running.stack
    path = stack.key_path(key_id)
    before, name = stack.keys[key_id], f"api_key/{key_id}"
    handed_over = len(stack.events("line_handed_over"))
    with running.trading():
        write_file(path, path.read_text()[:30])
        line = "engine key of the line " + ("orders" if key_id == "gateway" else "admin")
        running.until(lambda: len(running.complaints(line)) == 1)
        Key(key_id=key_id, secret=secrets.token_bytes(32)).write(path)
        running.until(lambda: len(running.complaints(line)) == 2)
        assert "refused" in running.complaints(line)[1]["why"]
        assert running.uses(name) == held.fingerprint(before)
        store: KeyFile = stack.node.keys()
        after = store.begin_rotation(key_id).secret
        running.until(lambda: len(running.accepts(name)) == 2)
        assert len(stack.events("line_lost")) == 0
        Key(key_id=key_id, secret=after).write(path)
        running.until(lambda: running.uses(name) == held.fingerprint(after))
        stack.keys[key_id] = after
        store.finish_rotation(key_id)
        running.until(lambda: running.accepts(name) == (held.fingerprint(after),))
    running.until(lambda: len(stack.events("line_handed_over")) == handed_over + 1)
    assert len(stack.events("line_lost")) == 0, "the engine ended no session with the old secret: none was left"
    assert len(running.complaints(line)) == 2, "told once for each reason"


def test_two_users_of_the_database_take_turns_and_nothing_fails(running: Running) -> None:
    users, name = running.users, database_holding(running.url_file.read_text())[0]
    with running.trading():
        for new, old in ((1, 0), (0, 1), (1, 0)):
            good = running.url_file.read_text()
            told = len(running.complaints("database"))
            write_file(running.url_file, good.replace("postgresql://", "postgres"))
            running.until(lambda told=told: len(running.complaints("database")) == told + 1)
            url = users.enable(new)
            parts = urlsplit(url)
            write_file(running.url_file, url.replace(parts.password or "", "wrong"))
            running.until(lambda told=told: len(running.complaints("database")) == told + 2)
            assert "wrong" not in str(running.complaints("database"))
            assert running.uses(name) == database_holding(good)[1]
            write_file(running.url_file, url)
            running.until(lambda url=url: running.uses(name) == database_holding(url)[1])
            running.until(lambda old=old: users.sessions(old) == 0)
            users.end(old)
    assert not running.stack.events("history_away")


def test_an_old_user_that_is_cut_off_at_once_is_noticed_by_nobody(running: Running) -> None:
    users, name = running.users, database_holding(running.url_file.read_text())[0]
    with running.trading():
        url = users.enable(0)
        write_file(running.url_file, url)
        running.until(lambda: running.uses(name) == database_holding(url)[1])
        users.end(1)
    assert not running.stack.events("history_away")


def test_embedded_analytics_goes_on_writing_as_another_user(running: Running) -> None:
    stack, users = running.stack, Users(running.users.url, "ironbook_writer")
    path, url_file = stack.node.directory / "analytics.held.json", stack.directory / "database-url"

    def said() -> dict[str, str | None]:
        return {one.secret: one.uses for one in held.read(path).holdings}

    def rows() -> int:
        return int(users.do("SELECT count(*) AS c FROM executions")[0]["c"])

    name, value = database_holding(url_file.read_text())
    assert said()[name] == value
    with running.trading():
        for turn in (0, 1):
            url = users.enable(turn)
            write_file(url_file, url)
            name, value = database_holding(url)
            running.until(lambda name=name, value=value: said().get(name) == value)
            users.end(1 - turn)
            count = rows()
            running.until(lambda count=count: rows() > count)
    assert b"database_away" not in (stack.directory / "analytics.log").read_bytes()
    write_file(url_file, users.url)
    running.until(lambda: said().get(database_holding(users.url)[0]) == database_holding(users.url)[1])
    users.drop()


def test_logins_go_on_while_the_secret_of_cookies_changes(running: Running) -> None:
    stack, path = running.stack, running.stack.directory / "cookie-secret"
    old, new = path.read_text().strip(), secrets.token_hex(32)

    def log_in() -> str:
        query = urlencode({"timestamp": stack.timestamp_ms()})
        sign = stack.sign_v1("dave", "POST", "/api/v1/session", query, "{}")
        target, headers = f"/api/v1/session?{query}&signature={sign}", {"X-MBX-APIKEY": "dave"}
        status, answer, found = stack.exchange(
            "POST", target, "{}", headers | {"Content-Type": "application/json", "Origin": stack.url}
        )
        assert status == 201, answer
        return found["set-cookie"].partition(";")[0]

    def good(cookie: str) -> bool:
        return stack.exchange("GET", "/api/v1/positions", headers={"Cookie": cookie})[0] == 200

    def prints(*found: str) -> tuple[str, ...]:
        return tuple(held.fingerprint(bytes.fromhex(one)) for one in found)

    first = log_in()
    write_file(path, f"{old}\n{new}\n")
    running.until(lambda: running.accepts("cookie") == prints(old, new))
    assert running.uses("cookie") == prints(old)[0]
    second = log_in()
    write_file(path, f"{new}\n{old}\n")
    running.until(lambda: running.uses("cookie") == prints(new)[0])
    third = log_in()
    assert [good(one) for one in (first, second, third)] == [True, True, True]
    write_file(path, f"{new}\nhalf of a secr")
    running.until(lambda: len(running.complaints("cookie secret")) == 1)
    assert [good(one) for one in (first, third)] == [True, True]
    write_file(path, f"{new}\n")
    running.until(lambda: running.accepts("cookie") == prints(new))
    assert [good(one) for one in (first, second, third)] == [False, False, True]


def test_both_secrets_of_a_trader_are_good_while_its_key_rotates(running: Running) -> None:
    stack, store = running.stack, running.stack.node.keys()
    old = stack.keys["alice"]
    with running.trading():
        new = store.begin_rotation("alice").secret
        running.until(lambda: running.accepts("api_key/alice") == (held.fingerprint(old), held.fingerprint(new)))
        stack.keys["alice"] = new
        time.sleep(0.2)  # whoever signed with the old one a moment ago has been answered
        store.finish_rotation("alice")
        running.until(lambda: running.accepts("api_key/alice") == (held.fingerprint(new),))


def test_a_clean_stop_holds_nothing_and_a_crash_leaves_what_was_said(running: Running) -> None:
    stack = running.stack
    stack.stop_gateway()
    assert not running.held_file.exists()
    stack.start_gateway()
    running.until(lambda: running.held_file.exists() and held.read(running.held_file).whole)
    assert stack.process is not None
    stack.process.kill()
    stack.process.wait()
    assert not held.read(running.held_file).alive()
    stack.start_gateway()
    running.until(lambda: held.read(running.held_file).alive())


def test_a_certificate_changes_under_handshakes_that_never_stop(tmp_path: Path) -> None:
    write_certificate(tmp_path, serial=1)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    log: list[tuple[str, Mapping[str, object]]] = []
    ended, wrong, serials = threading.Event(), list[object](), set[int]()
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE

    def shake_hands(door: Door) -> None:
        try:
            while not ended.is_set():
                with door.connect(anyone) as line:
                    safe = cast(ssl.SSLSocket, line.socket)
                    serials.add(x509.load_der_x509_certificate(safe.getpeercert(True) or b"").serial_number)
                    assert line.request("GET", "/echo").status == 200
        except Exception as error:
            wrong.append(error)

    with Door(tls_certificate=certificate, tls_key=key) as door:
        renewal = Renewal(0.01, lambda level, event, more: log.append((event, more)))
        watch_certificate(renewal, door.server, door.settings)
        door.wait(renewal.open())
        task = threading.Thread(target=shake_hands, args=(door,))
        task.start()
        wait_until(lambda: serials == {1} or wrong, WAIT_S)
        said = renewal.holdings.said()["tls/localhost"]
        certificate.write_text(certificate.read_text()[:200])
        wait_until(lambda: [event for event, _ in log] == ["secret_not_renewed"] or wrong, WAIT_S)
        assert renewal.holdings.said()["tls/localhost"] == said
        write_certificate(tmp_path, serial=2)
        wait_until(lambda: serials == {1, 2} or wrong, WAIT_S)
        serials.clear()
        wait_until(lambda: serials == {2} or wrong, WAIT_S)
        new = held.fingerprint(held.certificate_value(certificate.read_bytes()))
        wait_until(lambda: renewal.holdings.said()["tls/localhost"] == ((), new), WAIT_S)
        ended.set()
        task.join(WAIT_S)
        door.wait(renewal.close())
    assert not wrong, wrong
