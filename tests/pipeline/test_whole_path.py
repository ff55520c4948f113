"""From a signed order on a topic to rows in PostgreSQL, through every process, each of which is killed on the way.

At the end the journal decides what is true: its events are worked out offline and must be in the topics and in the
database, each once; positions, balances and candles must be what a replica of the journal says.
"""

from __future__ import annotations

import collections
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine_node import _engine
from tests.pipeline.installation import PREFIX, WORKERS, Installation
from tests.support.node import wait_until
from tests.support.publishing import check_topics, expected, journal_records
from tests.support.services import Broker, Database

pytestmark = pytest.mark.timeout(600)  # fifteen processes on two CPUs
MESSAGES, EACH = 8, 6  # a round


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker.start() as made:
        yield made


@pytest.fixture
def database() -> Iterator[Database]:
    with Database.start() as made:
        yield made


def send_round(whole: Installation, chance: random.Random) -> None:
    """Crossing orders of two firms, a few cancels, and things that must be refused or set aside."""
    for number in range(MESSAGES):
        account = 1 + number % 2
        side = "buy" if account == 1 else "sell"
        orders = [whole.order(account, side, chance.randint(98, 102), chance.randint(1, 9)) for _ in range(EACH)]
        cancel = {"action": "cancel", "symbol": "BTC-USD", "order_id": chance.randint(1, 200)}
        orders.append(whole.envelope(account, cancel))
        whole.names.pop()  # a cancel that finds its order is told as `cancelled`, which names the order
        whole.put(account, orders)
    whole.put(1, [whole.order(1, "buy", 99, 1) | {"signature": "00" * 32}])
    whole.names.pop()
    whole.put(1, b"\xff\x00 no message")


def spoiled(whole: Installation) -> list[tuple[str, Any]]:
    """Bad input, and the code that each ends with."""
    good = whole.order(1, "buy", 90, 1)
    body = {"action": "new", "symbol": "BTC-USD", "side": "buy", "price": "90000000", "quantity": "0.00000001"}
    return [
        ("nonce_repeated", [good, good]),
        ("signature_invalid", [whole.envelope(1, body, signature="00" * 32)]),
        ("timestamp_outside_window", [whole.envelope(1, body, age_s=3600)]),
        ("unknown_instrument", [whole.envelope(1, body | {"symbol": "NO/SUCH"})]),
        ("account_forbidden", [whole.envelope(1, body | {"account": 2})]),
        ("number_invalid", [whole.envelope(1, body | {"quantity": "1e400"})]),
        ("number_invalid", [whole.envelope(1, body | {"quantity": "NaN"})]),
        ("number_invalid", [whole.envelope(1, body | {"quantity": "-1"})]),
        ("number_invalid", [whole.envelope(1, body | {"price": "90000000.5"})]),
    ]


def offline(whole: Installation) -> tuple[_engine.Core, dict[str, list[dict[str, Any]]]]:
    """A replica of the whole journal, and its events by topic."""
    records = journal_records(whole.node)
    with _engine.JournalReader(str(whole.node.directory / "journal"), 1) as reader:
        options = reader.core_options()
    core = _engine.Core(**options)
    core.apply(records)
    by_topic: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for (topic, _), events in expected(records, options)[0].items():
        by_topic[topic] += events
    return core, by_topic


def check_database(whole: Installation) -> int:
    """Every event of the engine once; states as the replica has them. Returns how many trades there were."""
    core, events = offline(whole)
    for topic in ("executions", "trades"):
        names = sorted((event["seq"], event["n"]) for event in events[topic])
        query = f"SELECT seq, n FROM {topic} ORDER BY seq, n"
        wait_until(lambda names=names, query=query: len(whole.rows(query)) >= len(names), 60, f"{topic} must be there")
        assert whole.rows(query) == names
    trades = [event for event in events["trades"] if event["type"] == "trade"]
    positions = dict(whole.rows("SELECT account, position_lots FROM positions"))
    assert positions == {account: core.position(account, 1)[0] for account in (1, 2) if trades}
    balances = whole.rows("SELECT account, asset_number, free_units, locked_units FROM balances")
    assert {(account, asset): tuple(units) for account, asset, *units in balances} == {
        (account, asset): core.balance(account, asset) for account in (1, 2) for asset in (1, 2)
    }
    candles = whole.rows("SELECT interval, sum(volume_lots), sum(trade_count) FROM candles GROUP BY interval")
    all_of_it = (sum(trade["quantity_lots"] for trade in trades), len(trades))
    assert {interval: (int(volume), int(count)) for interval, volume, count in candles} == dict.fromkeys(
        ("1s", "1m", "5m", "1h", "1d") if trades else (), all_of_it
    )
    return len(trades)


def check_orders(whole: Installation) -> None:
    """Each order that was sent once is in the journal at most once, and has exactly one outcome."""
    _, events = offline(whole)
    entered = collections.Counter(
        event["nonce"]
        for event in events["executions"]
        if event["type"] in ("accepted", "rejected", "applied", "replaced")
        and "nonce" in event
        and event["code"] != "nonce_repeated"
    )
    assert set(entered.values()) <= {1}, [name for name, count in entered.items() if count > 1]
    refused = {name for (name,) in whole.rows("SELECT nonce FROM order_rejections WHERE nonce IS NOT NULL")}
    assert set(whole.names) <= refused | set(entered)


def test_an_order_on_a_topic_reaches_the_database_whatever_is_killed(broker, database, tmp_path):
    chance = random.Random(5)
    with Installation(tmp_path, broker, database) as whole:
        send_round(whole, chance)
        for victim in (*WORKERS, "publisher", "engine", "kafka", "postgres"):
            send_round(whole, chance)
            kill_and_restart(whole, victim)
            whole.wait_ready()
        send_round(whole, chance)
        whole.wait_decided(180)
        check_orders(whole)
        assert check_database(whole) > 50
        assert whole.node.stop() == 0
        assert whole.publisher.stop() == 0
        check_topics(whole.kafka, PREFIX, whole.node)


def kill_and_restart(whole: Installation, victim: str) -> None:
    """kill -9 in the middle of the load; then the same again."""
    if victim == "publisher":
        whole.publisher.kill()
        whole.start_publisher()
    elif victim == "engine":
        whole.node.end()
        whole.node.start()
    elif victim in ("kafka", "postgres"):
        server = whole.broker if victim == "kafka" else whole.database
        server.kill()
        time.sleep(1)
        server.restart()
    else:
        whole.workers[victim].kill()
        whole.workers[victim].start()


def test_bad_input_ends_as_a_rejection_and_the_stream_goes_on(broker, database, tmp_path):
    with Installation(tmp_path, broker, database) as whole:
        cases = spoiled(whole)
        for code, events in cases:
            whole.put(2 if code == "account_forbidden" else 1, events)
        whole.put(2, [whole.order(1, "buy", 90, 1) for _ in range(2)])  # firm 1's orders in firm 2's partition
        good = whole.order(2, "sell", 110, 1)
        whole.put(2, [good])
        whole.names = whole.names[-1:]
        whole.wait_decided()
        wanted = collections.Counter(code for code, _ in cases) + collections.Counter(partition_wrong=2)

        def missing() -> collections.Counter[str]:
            return wanted - collections.Counter(code for (code,) in whole.rows("SELECT code FROM order_rejections"))

        wait_until(lambda: not missing(), 30, f"rejections are missing: {missing()}")
        check_database(whole)
