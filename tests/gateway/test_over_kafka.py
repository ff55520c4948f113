"""Two gateways away from the engine's machine, as they are deployed: each reads the journal's topic, none its files.

    client ─▶ gateway one ─┬─ orders ─▶ engine ─▶ journal ─▶ publisher ─▶ journal.0 ─┬─▶ replica of one
    client ─▶ gateway two ─┘                                                         └─▶ replica of two

All of it is real, over HTTP: an order's answer waits for the topic, and what it says can be read at once where it was
given. What is killed here, comes back, and nothing is entered twice.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from engine_node import _engine
from schemas import vocabulary as v
from tests.support.cutting_proxy import CuttingProxy
from tests.support.gateway import Stack
from tests.support.node import wait_until
from tests.support.publishing import PublisherProcess, journal_records, make_topics
from tests.support.services import delete_topics

ENGINE_TIMEOUT_MS = 3_000  # of the gateways: so long a client waits where the topic is silent
REPEATED = (400, {"code": -1021, "msg": "This request was received before; sign each request anew."})
UNKNOWN = (
    504,
    {
        "code": -1007,
        "msg": "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    },
)
NOT_THERE = (400, {"code": -2013, "msg": "Order does not exist."})
ORDER = "/api/v3/order"


class Away(Stack):
    """A gateway with source kafka. Of the engine's directory it has the key file and nothing else."""

    prefix = ""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"IRONBOOK_TOPIC_PREFIX": self.prefix}

    def go_away(self, bootstrap: str, prefix: str, engine: str = "") -> None:
        """Settings of a gateway on another machine; engine: another way to it."""
        self.prefix = prefix
        host, port = self.node.address()
        self.directory.mkdir(exist_ok=True)
        self.settings |= {
            "source": "kafka",
            "kafka": bootstrap,
            "engine": engine or f"{host}:{port}",
            "engine_timeout": ENGINE_TIMEOUT_MS,
            "data": self.directory,
            "key_file": self.node.directory / "keys.ironbook",
            "key_passphrase_file": self.node.directory / "passphrase",
        }


class Exchange:
    """An engine with its publisher, and the two gateways."""

    def __init__(self, directory: Path, bootstrap: str, prefix: str) -> None:
        self.directory, self.bootstrap, self.prefix = directory, bootstrap, prefix
        (directory / "one").mkdir()
        self.one = Away(directory / "one")
        self.two = Away(directory / "two", beside=self.one)
        self.node = self.one.node
        self.publisher: PublisherProcess | None = None

    def start(self) -> None:
        self.one.make_keys()
        self.node.start()
        make_topics(self.bootstrap, self.prefix)
        self.start_publisher()
        for gateway in (self.one, self.two):
            gateway.go_away(self.bootstrap, self.prefix)
        self.one.start_gateway(ready=False)
        self.two.start(ready=False)
        self.one.define()
        for gateway in (self.one, self.two):
            wait_until(lambda at=gateway: has_all_funds(at), 30.0)

    def start_publisher(self) -> None:
        self.publisher = PublisherProcess(self.node, self.bootstrap, self.prefix)

    def kill_publisher(self) -> None:
        assert self.publisher is not None
        self.publisher.kill()

    def end(self) -> None:
        """Whatever happened: no process is left."""
        self.two.end()
        if self.publisher is not None:
            self.publisher.end()
        self.one.end()

    def accepted(self, number: int) -> list[int]:
        """Ids of the orders with that client order id that the engine's journal says were taken."""
        with _engine.JournalReader(str(self.node.directory / "journal"), 1) as reader:
            core = _engine.Core(**reader.core_options() | {"event_mask": _engine.EVENTS_ALL})
        events = core.apply(journal_records(self.node))
        reports = [v.Report.unpack(events, at) for at in range(0, len(events), v.REPORT_BYTES)]
        taken = {one.order_id for one in reports if one.kind == v.EventKind.ACCEPTED and one.client_order_id == number}
        return sorted(taken)


@pytest.fixture(scope="module")
def exchange(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    prefix = f"t{secrets.token_hex(4)}."
    made = Exchange(tmp_path_factory.mktemp("over_kafka"), kafka, prefix)
    try:
        made.start()
        yield made
    finally:
        made.end()
        delete_topics(kafka, prefix)


# ---- As a client -----------------------------------------------------------------------------------------------------


class Signed:
    """A signed request that can be sent again, byte for byte, to whichever gateway."""

    def __init__(self, stack: Stack, key_id: str, method: str, path: str = ORDER, **parameters: object) -> None:
        signed = {"recvWindow": 60_000, "timestamp": stack.timestamp_ms()}
        query = urlencode({"symbol": "BTCUSD"} | parameters | signed)
        self.method, self.headers = method, {"X-MBX-APIKEY": key_id}
        self.target = f"{path}?{query}&signature={stack.sign(key_id, query)}"

    def send(self, stack: Stack) -> tuple[int, Any]:
        return stack.exchange(self.method, self.target, headers=self.headers)[:2]


def limit(stack: Stack, key_id: str, side: str, quantity: str, price: str, **more: object) -> Signed:
    """A limit order, to be sent."""
    said: dict[str, object] = {"side": side, "quantity": quantity, "price": price, "type": "LIMIT"}
    return Signed(stack, key_id, "POST", **said, timeInForce="GTC", **more)


def told(stack: Stack, key_id: str, name: object) -> tuple[int, Any]:
    """What a gateway says of an order, by its client's name."""
    return stack.signed(key_id, "GET", ORDER, symbol="BTCUSD", origClientOrderId=name)


def has_all_funds(stack: Stack) -> bool:
    """Has it come to the last deposit of the market's definition?"""
    status, answer = stack.signed("dave", "GET", "/api/v3/account")
    return status == 200 and len([one for one in answer["balances"] if float(one["free"]) > 0]) == 3


def open_ids(stack: Stack, key_id: str) -> set[int]:
    status, orders = stack.signed(key_id, "GET", "/api/v3/openOrders", symbol="BTCUSD")
    assert status == 200, orders
    return {order["orderId"] for order in orders}


def lots_at(stack: Stack, side: str, price: str) -> str:
    """What the book shows at a price."""
    status, book = stack.get("/api/v3/depth", symbol="BTCUSD", limit=5000)
    assert status == 200, book
    return dict(map(tuple, book[side])).get(price, "none")


def asked(stack: Stack) -> dict[str, Any]:
    """What clients ask of orders, trades, balances and the book."""
    found: dict[str, Any] = {}
    for key in ("alice", "bob"):
        for path in ("/api/v3/openOrders", "/api/v3/allOrders", "/api/v3/myTrades"):
            found[f"{key} {path}"] = stack.signed(key, "GET", path, symbol="BTCUSD")
        found[f"{key} balances"] = stack.signed(key, "GET", "/api/v3/account")[1]["balances"]
    for path in ("/api/v3/trades", "/api/v3/depth", "/api/v3/ticker/bookTicker"):
        found[path] = stack.get(path, symbol="BTCUSD")
    return found


def readiness(stack: Stack) -> tuple[int, list[str], object]:
    """Status of /ready, the parts that it waits for, and what the state file says."""
    status, answer = stack.get("/ready")
    assert answer["ready"] == (status == 200)
    return status, [why.partition(":")[0] for why in answer["waits_for"]], (stack.state() or {}).get("ready")


# ---- While all is well -----------------------------------------------------------------------------------------------


def test_an_order_is_read_back_at_once_where_it_was_answered_and_soon_at_the_other_gateway(exchange: Exchange) -> None:
    one, two = exchange.one, exchange.two
    for number in range(1, 13):
        price = f"{60_100 + number}.00"
        status, answer = limit(one, "alice", "SELL", "0.1", price, newClientOrderId=number).send(one)
        assert status == 200, answer
        shown = ("status", "executedQty", "origQty", "price", "clientOrderId", "fills")
        assert [answer[name] for name in shown] == ["NEW", "0.0000", "0.1000", price, str(number), []]
        status, found = told(one, "alice", number)
        assert (status, found.get("orderId"), found.get("status")) == (200, answer["orderId"], "NEW")
        assert answer["orderId"] in open_ids(one, "alice")
        assert lots_at(one, "asks", price) == "0.1000"
    wait_until(lambda: lots_at(two, "asks", "60112.00") == "0.1000")
    assert open_ids(two, "alice") == open_ids(one, "alice")


def test_an_order_that_trades_is_answered_with_its_fills_at_either_gateway(exchange: Exchange) -> None:
    one, two = exchange.one, exchange.two
    for number, price in ((21, "60020.00"), (22, "60021.00")):
        said: dict[str, object] = {"newClientOrderId": number, "newOrderRespType": "ACK"}
        status, answer = limit(one, "alice", "SELL", "0.1", price, **said).send(one)
        assert status == 200, answer
        assert set(answer) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    status, answer = limit(two, "bob", "BUY", "0.15", "60030.00", newClientOrderId=23).send(two)
    assert (status, answer["status"], answer["executedQty"]) == (200, "FILLED", "0.1500")
    fills = [(fill["price"], fill["qty"]) for fill in answer["fills"]]
    assert fills == [("60020.00", "0.1000"), ("60021.00", "0.0500")]
    status, found = told(two, "bob", 23)
    assert (status, found["status"], found["orderId"]) == (200, "FILLED", answer["orderId"])
    assert told(two, "alice", 22)[1]["status"] == "PARTIALLY_FILLED"
    assert lots_at(two, "asks", "60021.00") == "0.0500"
    wait_until(lambda: lots_at(one, "asks", "60021.00") == "0.0500")
    assert told(one, "bob", 23) == (status, found)


def test_the_same_signed_request_is_refused_at_both_gateways_and_entered_once(exchange: Exchange) -> None:
    one, two = exchange.one, exchange.two
    request = limit(one, "alice", "BUY", "0.2", "50000.00", newClientOrderId=31)
    status, answer = request.send(one)
    assert (status, answer["status"]) == (200, "NEW")
    assert request.send(two) == REPEATED
    assert request.send(one) == REPEATED
    assert exchange.accepted(31) == [answer["orderId"]]
    for gateway in (one, two):
        wait_until(lambda gateway=gateway: lots_at(gateway, "bids", "50000.00") == "0.2000")


def test_the_same_signed_request_at_both_gateways_at_once_is_entered_once(exchange: Exchange) -> None:
    one, two = exchange.one, exchange.two
    for number in range(41, 46):
        request = limit(one, "bob", "BUY", "0.1", "49000.00", newClientOrderId=number)
        with ThreadPoolExecutor() as both:
            answers = list(both.map(request.send, (one, two)))
        [taken] = [answer for status, answer in answers if status == 200]
        assert REPEATED in answers, answers
        assert exchange.accepted(number) == [taken["orderId"]]


def test_an_order_entered_at_one_gateway_is_cancelled_at_the_other(exchange: Exchange) -> None:
    one, two = exchange.one, exchange.two
    status, made = limit(one, "alice", "BUY", "0.3", "48000.00", newClientOrderId=51).send(one)
    assert status == 200, made
    cancel = Signed(two, "alice", "DELETE", orderId=made["orderId"])
    status, answer = cancel.send(two)  # the engine knows the order, whether or not this gateway does yet
    assert (status, answer["status"], answer["origClientOrderId"]) == (200, "CANCELED", "51")
    assert told(two, "alice", 51)[1]["status"] == "CANCELED"
    assert lots_at(two, "bids", "48000.00") == "none"
    assert cancel.send(one) == REPEATED
    assert told(one, "alice", 51)[1]["status"] == "CANCELED", "the refusal came behind the cancel, in the same topic"
    again = Signed(one, "alice", "DELETE", orderId=made["orderId"])
    assert again.send(one) == (400, {"code": -2011, "msg": "Unknown order sent."})


# ---- When something is killed ----------------------------------------------------------------------------------------


def test_a_gateway_that_was_killed_says_what_it_said_before(exchange: Exchange) -> None:
    one, two = exchange.one, exchange.two
    status, last = limit(two, "alice", "BUY", "0.1", "47000.00", newClientOrderId=61).send(two)
    assert status == 200, last
    wanted = asked(two)
    assert last["orderId"] in {order["orderId"] for order in wanted["alice /api/v3/openOrders"][1]}
    one.restart_gateway(signal.SIGKILL)
    assert one.get("/ready") == (200, {"ready": True, "waits_for": []})
    assert asked(one) == wanted
    assert asked(two) == wanted


def test_an_order_under_way_when_its_gateway_is_killed_is_entered_once(exchange: Exchange) -> None:
    one, two = exchange.one, exchange.two
    assert exchange.publisher is not None
    request = limit(one, "alice", "BUY", "0.1", "46000.00", newClientOrderId=71)
    exchange.publisher.process.send_signal(signal.SIGSTOP)  # so that the answer cannot come before the kill

    def send() -> None:
        with contextlib.suppress(OSError, HTTPException):
            request.send(one)

    client = threading.Thread(target=send)
    client.start()
    [order_id] = wait_until(lambda: exchange.accepted(71))
    one.settings["listen"] = one.address
    one.stop_gateway(signal.SIGKILL)
    client.join()
    exchange.publisher.process.send_signal(signal.SIGCONT)
    assert request.send(two) == REPEATED
    assert told(two, "alice", 71)[1]["orderId"] == order_id
    one.start_gateway()
    assert told(one, "alice", 71)[1]["orderId"] == order_id
    assert exchange.accepted(71) == [order_id]


def test_without_a_publisher_an_order_is_unknown_and_never_lost_nor_doubled(exchange: Exchange) -> None:
    one, two = exchange.one, exchange.two
    exchange.kill_publisher()
    request = limit(one, "bob", "BUY", "0.1", "45000.00", newClientOrderId=81)
    assert request.send(one) == UNKNOWN
    [order_id] = exchange.accepted(81)
    assert told(one, "bob", 81) == NOT_THERE, "what the topic does not have is not told as if it were so"
    assert request.send(two) == UNKNOWN
    one.settings["listen"] = one.address
    one.stop_gateway(signal.SIGKILL)
    one.start_gateway(ready=False)
    wait_until(lambda: "engine" not in readiness(one)[1])
    for gateway in (one, two):  # the engine has more of it than the topic
        wait_until(lambda at=gateway: readiness(at) == (503, ["replica"], False))
        assert gateway.get("/live")[0] == 200
        assert gateway.get("/health")[1]["status"] == "down"
    exchange.start_publisher()
    for gateway in (one, two):
        wait_until(lambda at=gateway: readiness(at) == (200, [], True), 30.0)
        found = wait_until(lambda gateway=gateway: (said := told(gateway, "bob", 81))[0] == 200 and said[1], 30.0)
        assert (found["orderId"], found["status"]) == (order_id, "NEW")
        assert request.send(gateway) == REPEATED
    status, answer = limit(one, "bob", "BUY", "0.1", "45001.00", newClientOrderId=82).send(one)
    assert (status, answer["status"]) == (200, "NEW")
    assert exchange.accepted(81) == [order_id]


# ---- Ready, or not ---------------------------------------------------------------------------------------------------


def test_a_gateway_is_ready_when_its_replica_has_caught_up_and_the_engine_has_a_session(exchange: Exchange) -> None:
    assert limit(exchange.one, "alice", "BUY", "0.2", "43000.00").send(exchange.one)[0] == 200
    host, _, port = exchange.bootstrap.rpartition(":")
    with CuttingProxy((host, int(port))) as brokers, CuttingProxy(exchange.node.address()) as engine:
        three = Away(exchange.directory / "three", beside=exchange.one)
        three.go_away(brokers.address, exchange.prefix, engine.address)
        brokers.refuse()
        engine.refuse()
        try:
            three.start(ready=False)
            wait_until(lambda: three.events("gateway_open"))
            assert readiness(three) == (503, ["replica", "engine"], False)
            assert three.get("/health")[1]["status"] == "down"
            assert three.get("/api/v3/depth", symbol="BTCUSD")[0] == 503
            assert limit(three, "alice", "BUY", "0.1", "44000.00").send(three)[0] == 503
            brokers.refuse(False)  # it names the broker itself: from there on they speak directly
            wait_until(lambda: readiness(three)[1] == ["engine"])
            assert lots_at(three, "bids", "43000.00") == "0.2000"
            assert limit(three, "alice", "BUY", "0.1", "44000.00").send(three)[0] == 503
            assert readiness(three) == (503, ["engine"], False)
            assert three.events("gateway_ready") == []
            engine.refuse(False)
            wait_until(lambda: readiness(three) == (200, [], True))
            wait_until(lambda: three.events("gateway_ready"))
            assert limit(three, "alice", "BUY", "0.1", "44000.00").send(three)[0] == 200
            engine.refuse()
            engine.cut()
            wait_until(lambda: readiness(three) == (503, ["engine"], False))
            wait_until(lambda: three.events("gateway_not_ready"))
            assert len(three.events("gateway_ready")) == 1
        finally:
            three.end()


def test_a_gateway_that_still_starts_is_not_ready(exchange: Exchange) -> None:
    with CuttingProxy(exchange.node.address()) as engine:
        four = Away(exchange.directory / "four", beside=exchange.one)
        four.go_away(exchange.bootstrap, exchange.prefix, engine.address)
        four.settings["admin_key"] = exchange.one.key_path("gateway-admin")
        engine.hold(after=1)  # the line for orders has its session; that of administration is still waited for
        try:
            four.start(ready=False)
            wait_until(lambda: four.events("line_connected"))
            assert readiness(four) == (503, ["gateway"], False)
            assert four.get("/api/v3/depth", symbol="BTCUSD")[0] == 503
            wait_until(lambda: readiness(four) == (200, [], True), 30.0)
            assert four.get("/api/v3/depth", symbol="BTCUSD")[0] == 200
        finally:
            four.end()
