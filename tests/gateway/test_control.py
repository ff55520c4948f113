"""Administration through the gateway: kill switches, limits, keys and logins, on a running stack."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from engine_node import _engine
from ironbook.keystore import permission_names
from schemas import vocabulary as v
from schemas.vocabulary import Permission
from tests.support.gateway import Stack, new_request_id
from tests.support.node import wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("control"), key_poll=50)
    with made:
        add_key(made, "boss", Permission.ADMIN | Permission.READ | Permission.CANCEL, 0)
        yield made


@pytest.fixture(autouse=True)
def nothing_left(stack: Stack) -> Iterator[None]:
    yield
    for key_id in ("alice", "bob"):
        stack.signed(key_id, "POST", "/api/v1/controls/cancel-all", json={})


def add_key(stack: Stack, key_id: str, permissions: int, account: int, **more: Any) -> None:
    """A key that the running gateway knows."""
    stack.keys[key_id] = (
        stack.node.keys().create_key(key_id, permissions=int(permissions), account=account, **more).secret
    )
    wait_until(lambda: stack.signed(key_id, "GET", "/api/v1/session")[0] != 401, why="the gateway does not see the key")


def control(stack: Stack, scope: str, action: str, target: object = None, **more: object) -> tuple[int, Any]:
    said = {"scope": scope, "action": action, "target": target, "reason": "a test"}
    return stack.signed("boss", "POST", "/api/v1/controls/halt", json=said | more)


def signed_halt(stack: Stack, reason: str) -> tuple[str, bytes, dict[str, str]]:
    """A signed call that resumes account 4: target, body and headers."""
    body = orjson.dumps({"scope": "account", "action": "resume", "target": 4, "reason": reason})
    query = urlencode({"timestamp": stack.timestamp_ms()})
    path = "/api/v1/controls/halt"
    target = f"{path}?{query}&signature={stack.sign_v1('boss', 'POST', path, query, body.decode())}"
    return target, body, {"X-MBX-APIKEY": "boss", "Content-Type": "application/json"}


def enter(stack: Stack, key_id: str = "alice", symbol: str = "BTCUSD") -> tuple[int, Any]:
    return stack.signed(
        key_id, "POST", "/api/v3/order", symbol=symbol, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.1",
        price="100.00",
    )  # fmt: skip


def open_count(stack: Stack, key_id: str = "alice") -> int:
    status, orders = stack.signed(key_id, "GET", "/api/v3/openOrders")
    assert status == 200, orders
    return len(orders)


def journal(stack: Stack) -> list[tuple[int, str]]:
    """Each command's kind and text, from the journal's own records."""
    found, text = [], ""
    with _engine.JournalReader(str(stack.node.directory / "journal")) as reader:
        while records := reader.next():
            for offset in range(0, len(records), 64):
                record = records[offset : offset + 64]
                if record[0] == v.Kind.TEXT:
                    text = record[8:44].rstrip(b"\0").decode()
                elif record[0] != v.Kind.NONCE:
                    found.append((record[0], text))
                    text = ""
    return found


def audits(stack: Stack, what: str, **fields: object) -> list[dict[str, Any]]:
    """The log's lines of this change, once there is one; a thread writes the log, so an answer may come before it."""
    wanted = {"event": "audit", "what": what} | fields
    found: list[dict[str, Any]] = []

    def told() -> bool:
        found[:] = [line for line in logged(stack) if wanted.items() <= line.items()]
        return bool(found)

    wait_until(told, why=f"no line of the log has {wanted}")
    return found


def logged(stack: Stack) -> list[dict[str, Any]]:
    *lines, _ = stack.log_path.read_bytes().split(b"\n")  # the last may be half written
    return [orjson.loads(line) for line in lines]


# ---- Kill switches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "target"), [("instrument", "BTC/USD"), ("instrument", "BTCUSD"), ("account", "1")])
def test_a_halt_stops_orders_until_it_is_resumed(stack: Stack, scope: str, target: str) -> None:
    assert enter(stack)[0] == 200
    status, done = control(stack, scope, "halt", target)
    assert (status, done["cancelled"]) == (200, 0)
    assert enter(stack)[0] == 400
    assert open_count(stack) == 1, "a halt leaves open orders"
    assert enter(stack, "bob", "ETHUSD")[0] == 200, "others go on"
    assert control(stack, scope, "resume", target)[0] == 200
    assert enter(stack)[0] == 200


def test_halt_and_cancel_says_how_many_orders_it_cancelled(stack: Stack) -> None:
    for key_id in ("alice", "alice", "bob"):
        assert enter(stack, key_id)[0] == 200
    status, done = control(stack, "instrument", "halt_and_cancel", "BTC/USD")
    assert (status, done["cancelled"]) == (200, 3)
    assert open_count(stack) == 0
    assert control(stack, "instrument", "resume", "BTC/USD")[0] == 200


def test_everything_stops_only_if_the_caller_says_so_twice(stack: Stack) -> None:
    status, error = control(stack, "everything", "halt_and_cancel")
    assert (status, error["error"]["code"]) == (400, "parameter")
    assert "confirm" in error["error"]["message"]
    assert enter(stack)[0] == 200, "nothing was stopped"
    assert control(stack, "everything", "halt", confirm="everything")[0] == 200
    try:
        _, controls = stack.signed("boss", "GET", "/api/v1/controls")
        assert controls["everything_halted"]
        assert enter(stack)[0] == 400
    finally:
        assert control(stack, "everything", "resume")[0] == 200
    assert enter(stack)[0] == 200


def test_a_firm_is_halted_with_all_its_accounts(stack: Stack) -> None:
    with stack.client() as client:
        client.define_account(31, firm=9).raise_if_rejected()
        client.define_account(32, firm=9).raise_if_rejected()
    assert control(stack, "firm", "halt", 9)[0] == 200
    _, controls = stack.signed("boss", "GET", "/api/v1/controls")
    assert controls["halted_accounts"] == [31, 32]
    assert stack.signed("alice", "GET", "/api/v1/controls")[1]["halted_accounts"] == [], "of others nothing is told"
    assert control(stack, "firm", "resume", "9")[0] == 200


def test_the_journal_and_the_log_say_who_did_it_and_why(stack: Stack) -> None:
    assert control(stack, "account", "halt", 4, reason="margin call, see ticket 815")[0] == 200
    target, body, headers = signed_halt(stack, "käse\npaid")
    assert stack.exchange("POST", target, body, headers)[0] == 200
    texts = [text for kind, text in journal(stack) if kind == v.Kind.HALT]
    assert texts[-2:] == ["boss: margin call, see ticket 815", "boss: k?se paid"]
    line = audits(stack, "halt account", reason="margin call, see ticket 815")[-1]
    assert (line["who"], line["target"]) == ("boss", 4)
    assert line["sequence"] > 0


@pytest.mark.parametrize(
    ("scope", "target"),
    [
        ("everything", 1), ("account", None), ("account", "x"), ("account", 0), ("account", "-1"), ("account", 10**9),
        ("account", 9999), ("firm", "BTC/USD"), ("firm", 77), ("instrument", None), ("instrument", 1),
        ("instrument", "NO/SUCH"), ("instrument", "a" * 37), ("nothing", None),
    ],
)  # fmt: skip
def test_a_target_that_is_not_there_is_refused_and_named(stack: Stack, scope: str, target: object) -> None:
    status, error = control(stack, scope, "halt", target, confirm="everything")
    assert status == 400, error
    assert error["error"]["code"] in ("parameter", "symbol")
    assert error["error"]["message"]


def test_administration_is_for_administrators(stack: Stack) -> None:
    said = {"scope": "account", "action": "halt", "target": 2, "reason": "spite"}
    for method, path, body in [
        ("POST", "/api/v1/controls/halt", said),
        ("PUT", "/api/v1/controls/breaker/BTCUSD", {}),
        ("PUT", "/api/v1/risk/limits", {"account": 1}),
        ("GET", "/api/v1/keys", None),
        ("POST", "/api/v1/keys", {"key_id": "mine", "permissions": ["admin"]}),
        ("POST", "/api/v1/keys/bob/rotate", {"step": "begin"}),
        ("PUT", "/api/v1/keys/bob/networks", {"networks": []}),
        ("DELETE", "/api/v1/keys/bob", None),
    ]:
        assert stack.signed("alice", method, path, json=body)[0] == 401, path
        assert stack.exchange(method, path)[0] == 401, path


def test_the_same_signed_halt_is_taken_once(stack: Stack) -> None:
    target, body, headers = signed_halt(stack, "once")
    assert stack.exchange("POST", target, body, headers)[0] == 200
    status, error, _ = stack.exchange("POST", target, body, headers)
    assert (status, error["error"]["code"]) == (400, "repeated")


# ---- Limits and breakers ---------------------------------------------------------------------------------------------


def test_limits_of_an_account_change_only_where_something_is_said(stack: Stack) -> None:
    put = "/api/v1/risk/limits"
    assert stack.signed("boss", "PUT", put, json={"account": 1, "open_orders_max": 2, "order_rate_max": 1000})[0] == 200
    assert stack.signed("boss", "PUT", put, json={"account": 1, "quantity_lots_max": 10**9})[0] == 200
    assert [enter(stack)[0] for _ in range(3)] == [200, 200, 400]
    assert stack.signed("boss", "PUT", put, json={"account": 1, "open_orders_max": 0})[0] == 200
    assert enter(stack)[0] == 200
    for wrong in ({"account": 777}, {"account": 0}, {"account": 1, "open_orders_max": -1}, {}, {"account": 1, "x": 1}):
        assert stack.signed("boss", "PUT", put, json=wrong)[0] == 400, wrong


def test_a_breaker_is_set_whole(stack: Stack) -> None:
    path = "/api/v1/controls/breaker/ETHUSD"
    assert stack.signed("boss", "PUT", path, json={"band_ppm": 50_000, "band_ms": 5_000})[0] == 200
    _, found = stack.signed("alice", "GET", "/api/v1/risk")
    [breaker] = [one["breaker"] for one in found["breakers"] if one["symbol"] == "ETH/USD"]
    assert (breaker["band_ppm"], breaker["band_ms"], breaker["level1_ppm"]) == (50_000, 5_000, 0)
    assert stack.signed("boss", "PUT", path, json={})[0] == 200
    assert stack.signed("boss", "PUT", path, json={"level1_ppm": 5, "level2_ppm": 4})[0] == 400
    assert stack.signed("boss", "PUT", "/api/v1/controls/breaker/NOSUCH", json={})[0] == 400


# ---- Cancelling ------------------------------------------------------------------------------------------------------


def test_cancel_all_is_of_the_callers_account_by_symbol_and_side(stack: Stack) -> None:
    path = "/api/v1/controls/cancel-all"
    for key_id, symbol in (("alice", "BTCUSD"), ("alice", "ETHUSD"), ("bob", "BTCUSD")):
        assert enter(stack, key_id, symbol)[0] == 200
    assert stack.signed("alice", "POST", path, json={"side": "sell"})[1]["cancelled"] == 0
    assert stack.signed("alice", "POST", path, json={"symbol": "ETH/USD"})[1]["cancelled"] == 1
    assert stack.signed("alice", "POST", path, json={"account": 2})[0] == 401
    assert stack.signed("alice", "POST", path, json={})[1]["cancelled"] == 1
    assert open_count(stack, "bob") == 1
    assert stack.signed("boss", "POST", path, json={"account": 2})[1]["cancelled"] == 1


def test_the_dead_mans_switch_fires_unless_it_is_set_anew(stack: Stack) -> None:
    path = "/api/v1/controls/countdown"
    assert enter(stack)[0] == 200
    assert enter(stack, "bob")[0] == 200
    status, state = stack.signed("alice", "POST", path, json={"timeout_ms": 300})
    assert status == 200
    assert abs(state["deadline_ns"] - time.time_ns()) < 10**10
    stack.signed("alice", "POST", path, json={"timeout_ms": 60_000})
    time.sleep(0.5)
    assert open_count(stack) == 1, "it was set anew"
    assert stack.signed("alice", "POST", path, json={"timeout_ms": 0})[1]["deadline_ns"] is None
    stack.signed("alice", "POST", path, json={"timeout_ms": 50})
    wait_until(lambda: open_count(stack) == 0)
    assert stack.signed("alice", "GET", "/api/v1/controls")[1]["countdown_ns"] is None
    assert open_count(stack, "bob") == 1, "of others nothing is cancelled"
    assert stack.signed("boss", "POST", path, json={"timeout_ms": 50})[0] == 401, "it has no account"


def test_a_deadline_that_passes_while_the_gateway_is_down_is_kept_when_it_is_back(stack: Stack) -> None:
    assert enter(stack)[0] == 200
    assert stack.signed("alice", "POST", "/api/v1/controls/countdown", json={"timeout_ms": 400})[0] == 200
    stack.restart_gateway(signal.SIGKILL)
    wait_until(lambda: open_count(stack) == 0)


# ---- Keys ------------------------------------------------------------------------------------------------------------


def keys(stack: Stack, method: str, path: str = "", json: object | None = None) -> tuple[int, Any]:
    return stack.signed("boss", method, f"/api/v1/keys{path}", json=json)


def test_a_key_lives_from_its_making_to_its_revocation(stack: Stack) -> None:
    wanted = {"key_id": "desk-1", "permissions": ["trade", "cancel", "read"], "account": 3, "note": "made here"}
    status, made = keys(stack, "POST", json=wanted)
    assert status == 201
    assert made["key"]["permissions"] == list(permission_names(7))
    stack.keys["desk-1"] = bytes.fromhex(made["secret"])
    assert stack.order("desk-1", "BUY", "0.1", "100.00")["status"] == "NEW", "at once"

    old = stack.keys["desk-1"]
    status, rotated = keys(stack, "POST", "/desk-1/rotate", {"step": "begin"})
    assert status == 200
    assert len(rotated["key"]["secrets"]) == 2
    new = stack.keys["desk-new"] = bytes.fromhex(rotated["secret"])
    for secret, status in ((old, 200), (new, 200)):
        stack.keys["desk-1"] = secret
        assert stack.signed("desk-1", "GET", "/api/v1/session")[0] == status
    assert keys(stack, "POST", "/desk-1/rotate", {"step": "begin"})[0] == 409
    status, finished = keys(stack, "POST", "/desk-1/rotate", {"step": "finish"})
    assert (status, finished["secret"]) == (200, None)
    stack.keys["desk-1"] = old
    assert stack.signed("desk-1", "GET", "/api/v1/session")[0] == 400, "the old secret is gone at once"
    stack.keys["desk-1"] = new
    assert keys(stack, "POST", "/desk-1/rotate", {"step": "cancel"})[0] == 409

    assert keys(stack, "PUT", "/desk-1/networks", {"networks": ["10.0.0.0/8", "2001:db8::/32"]})[0] == 200
    assert stack.signed("desk-1", "GET", "/api/v1/session")[0] == 401
    assert keys(stack, "PUT", "/desk-1/networks", {"networks": ["127.0.0.0/8"]})[0] == 200
    assert stack.signed("desk-1", "POST", "/api/v1/controls/cancel-all", json={})[0] == 200

    status, revoked = keys(stack, "DELETE", "/desk-1")
    assert (status, revoked["live"]) == (200, False)
    assert stack.signed("desk-1", "GET", "/api/v1/session")[0] == 401
    assert keys(stack, "DELETE", "/desk-1")[0] == 404
    assert keys(stack, "POST", json=wanted)[0] == 409, "an id is used once"


def test_changes_of_keys_are_told_in_log_and_journal_and_no_secret_with_them(stack: Stack) -> None:
    status, made = keys(stack, "POST", json={"key_id": "told", "permissions": ["read"], "account": 3})
    assert status == 201
    assert keys(stack, "DELETE", "/told")[0] == 200
    for what in ("key_create", "key_revoke"):
        assert [line["who"] for line in audits(stack, what, key_id="told")] == ["boss"]
    assert "boss: key_create told" in [text for _, text in journal(stack)]
    assert made["secret"] not in stack.log_path.read_text()


def test_the_list_of_keys_comes_in_parts_and_without_secrets(stack: Stack) -> None:
    status, first = stack.signed("boss", "GET", "/api/v1/keys", limit=2)
    assert status == 200
    _, second = stack.signed("boss", "GET", "/api/v1/keys", limit=1000, after=first["next"])
    found = [one["key_id"] for one in first["items"] + second["items"]]
    assert found[:4] == ["admin", "gateway", "gateway-admin", "alice"]
    assert second["next"] is None
    assert set(first["items"][0]["secrets"][0]) == {"fingerprint", "created_ns"}


X: dict[str, Any] = {"key_id": "x", "permissions": []}


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"key_id": "x"}, {"key_id": "", "permissions": []}, {"key_id": "a" * 17, "permissions": []},
        {"key_id": "x y", "permissions": []}, {"key_id": "x", "permissions": ["fly"]},
        X | {"account": 2**24}, X | {"networks": ["10.0.0.1/8"]}, X | {"networks": ["all"]},
        X | {"networks": ["::/0"] * 17}, X | {"note": "a\nb"}, X | {"message_burst": 5},
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_is_not_made(stack: Stack, wrong: dict[str, Any]) -> None:
    status, error = keys(stack, "POST", json=wrong)
    assert status == 400, error
    assert stack.signed("boss", "GET", "/api/v1/keys", limit=1000)[1]["items"][-1]["key_id"] != "x"


def test_the_gateways_own_keys_are_not_changed_here(stack: Stack) -> None:
    for key_id in ("gateway", "gateway-admin"):
        for method, path, body in [("DELETE", "", None), ("POST", "/rotate", {"step": "begin"})]:
            status, error = keys(stack, method, f"/{key_id}{path}", body)
            assert (status, error["error"]["code"]) == (409, "key_in_use")
    assert enter(stack)[0] == 200


def test_a_key_is_revoked_even_while_the_engine_is_away(stack: Stack) -> None:
    assert keys(stack, "POST", json={"key_id": "leaked", "permissions": ["read"], "account": 3})[0] == 201
    stack.node.stop()
    try:
        assert keys(stack, "DELETE", "/leaked")[0] == 200
        assert control(stack, "account", "halt", 4)[0] == 503
    finally:
        stack.node.start()
        wait_until(lambda: enter(stack)[0] == 200)


# ---- Logins ----------------------------------------------------------------------------------------------------------


class Page:
    """What a page of the dashboard does: log in with a key, then call with the cookie."""

    def __init__(self, stack: Stack, key_id: str, rights: list[str] | None = None) -> None:
        self.stack = stack
        self.origin = {"Origin": stack.url}
        body = orjson.dumps({} if rights is None else {"rights": rights}).decode()
        query = urlencode({"timestamp": stack.timestamp_ms()})
        headers = self.origin | {"X-MBX-APIKEY": key_id, "Content-Type": "application/json"}
        target = f"/api/v1/session?{query}&signature={stack.sign_v1(key_id, 'POST', '/api/v1/session', query, body)}"
        status, self.session, found = stack.exchange("POST", target, body, headers)
        assert status == 201, self.session
        self.said = found["set-cookie"]
        self.cookie = SimpleCookie(self.said)["ironbook_session"].value

    def call(self, method: str, path: str, json: object | None = None, **headers: str) -> tuple[int, Any]:
        body = "" if json is None else orjson.dumps(json).decode()
        sent = self.origin | {"Cookie": f"ironbook_session={self.cookie}", "X-Ironbook-Request": new_request_id()}
        sent |= {"Content-Type": "application/json"} if body else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.stack.exchange(method, path, body, sent)[:2]


def test_a_page_trades_with_a_cookie_that_scripts_cannot_read(stack: Stack) -> None:
    page = Page(stack, "alice")
    assert "HttpOnly" in page.said
    assert "SameSite=Strict" in page.said
    assert page.session["permissions"] == ["trade", "cancel", "read"]
    assert page.call("GET", "/api/v1/session")[1] == page.session
    wanted = {"symbol": "BTC/USD", "side": "buy", "type": "limit", "price": "100.00", "quantity": "0.1"}
    status, answer = page.call("POST", "/api/v1/orders", wanted)
    assert status in (200, 201), answer
    assert page.call("POST", "/api/v1/controls/cancel-all", {})[1]["cancelled"] == 1


def test_a_cookie_of_few_rights_reads_and_no_more(stack: Stack) -> None:
    page = Page(stack, "alice", ["read"])
    assert page.session["permissions"] == ["read"]
    assert page.call("GET", "/api/v1/controls")[0] == 200
    assert page.call("POST", "/api/v1/controls/cancel-all", {})[0] == 401


def test_a_page_of_another_site_changes_nothing_with_the_cookie(stack: Stack) -> None:
    page = Page(stack, "alice")
    assert enter(stack)[0] == 200
    for headers in ({"Origin": "https://evil.example"}, {"X_Ironbook_Request": ""}, {"Origin": "null"}):
        assert page.call("POST", "/api/v1/controls/cancel-all", {}, **headers)[0] == 401
    assert open_count(stack) == 1


def test_a_call_by_cookie_is_taken_once(stack: Stack) -> None:
    page, digits = Page(stack, "alice"), new_request_id()
    assert page.call("POST", "/api/v1/controls/cancel-all", {}, X_Ironbook_Request=digits)[0] == 200
    status, error = page.call("POST", "/api/v1/controls/cancel-all", {}, X_Ironbook_Request=digits)
    assert (status, error["error"]["code"]) == (400, "repeated")


def test_a_login_survives_a_restart_and_ends_with_its_key(stack: Stack) -> None:
    add_key(stack, "visitor", Permission.READ, 3)
    page = Page(stack, "visitor")
    stack.restart_gateway()
    assert page.call("GET", "/api/v1/session")[0] == 200
    assert keys(stack, "DELETE", "/visitor")[0] == 200
    assert page.call("GET", "/api/v1/session")[0] == 401


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_logout_survives_a_restart(stack: Stack, number: signal.Signals) -> None:
    page, other = Page(stack, "alice"), Page(stack, "alice")
    assert page.call("DELETE", "/api/v1/session")[0] == 200
    assert page.call("GET", "/api/v1/session")[0] == 401
    stack.restart_gateway(number)
    assert page.call("GET", "/api/v1/session")[0] == 401
    assert other.call("GET", "/api/v1/session")[0] == 200


def test_a_signed_login_is_taken_once_also_by_a_gateway_that_was_restarted(stack: Stack) -> None:
    query = f"timestamp={stack.timestamp_ms()}&recvWindow=60000"
    target = f"/api/v1/session?{query}&signature={stack.sign_v1('alice', 'POST', '/api/v1/session', query, '{}')}"
    headers = {"X-MBX-APIKEY": "alice", "Content-Type": "application/json"}
    assert stack.exchange("POST", target, "{}", headers)[0] == 201
    for _ in range(2):
        status, error, found = stack.exchange("POST", target, "{}", headers)
        assert (status, error["error"]["code"], "set-cookie" in found) == (400, "repeated", False)
        stack.restart_gateway()


def test_people_get_in_while_the_engine_is_away_and_once_for_each_signed_login(stack: Stack) -> None:
    query = f"timestamp={stack.timestamp_ms()}&recvWindow=60000"
    target = f"/api/v1/session?{query}&signature={stack.sign_v1('alice', 'POST', '/api/v1/session', query, '{}')}"
    headers = {"X-MBX-APIKEY": "alice", "Content-Type": "application/json"}
    stack.node.stop()
    try:
        wait_until(lambda: enter(stack)[0] == 503)
        assert [stack.exchange("POST", target, "{}", headers)[0] for _ in range(2)] == [201, 400]
    finally:
        stack.node.start()
        wait_until(lambda: enter(stack)[0] == 200)


def test_a_signed_read_cannot_be_sent_as_a_cancel(stack: Stack) -> None:
    assert enter(stack)[0] == 200
    query = f"timestamp={stack.timestamp_ms()}"
    more = f"?{query}&signature={stack.sign_v1('alice', 'GET', '/api/v1/balances', query)}"
    headers = {"X-MBX-APIKEY": "alice"}
    assert stack.exchange("GET", "/api/v1/balances" + more, headers=headers)[0] == 200
    assert stack.exchange("DELETE", "/api/v1/orders" + more, headers=headers)[0] == 400
    assert open_count(stack) == 1


def test_a_cookie_does_not_make_another_login(stack: Stack) -> None:
    assert Page(stack, "alice").call("POST", "/api/v1/session", {})[0] == 400


def test_a_dead_mans_switch_that_a_restart_would_lose_is_refused(stack: Stack) -> None:
    in_the_way = stack.node.directory / "gateway-countdowns.json.new"
    in_the_way.mkdir()  # where the new file would be written
    try:
        status, error = stack.signed("alice", "POST", "/api/v1/controls/countdown", json={"timeout_ms": 60_000})
        assert (status, error["error"]["code"]) == (503, "state_unwritable")
        assert stack.signed("alice", "GET", "/api/v1/controls")[1]["countdown_ns"] is None
    finally:
        in_the_way.rmdir()


# ---- Floods ----------------------------------------------------------------------------------------------------------


def test_a_flood_of_bad_signatures_ends_in_a_ban_and_others_go_on(tmp_path: Path) -> None:
    with Stack(tmp_path, bad_signatures_max=20, ban_seconds=1, ban_after=1000, trusted_proxies="127.0.0.0/8") as stack:

        def attack() -> int:
            headers = {"X-MBX-APIKEY": "alice", "X-Forwarded-For": "203.0.113.9"}
            query = f"timestamp={stack.timestamp_ms()}"
            return stack.exchange("GET", f"/api/v3/account?{query}&signature={'0' * 64}", headers=headers)[0]

        found = [attack() for _ in range(30)]
        assert found == [400] * 10 + [429] * 10 + [418] * 10
        status, _, headers = stack.exchange("GET", "/api/v3/time", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (status, int(headers["retry-after"])) == (418, 1)
        assert stack.order("alice", "BUY", "0.1", "100.00")["status"] == "NEW"
        wait_until(lambda: attack() == 400)
