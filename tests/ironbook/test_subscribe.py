"""Subscriptions on a real broker: where they begin, what they pass over, and what they say is missing."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from ironbook import ConnectionFailed, InputInvalid, StreamGap, StreamInvalid
from ironbook._follow import N_MAX
from ironbook._topics_admin import TopicAdmin
from ironbook.subscribe import Gone, Item, Position, Security, Subscription, events
from ironbook.topics import planned, rules
from schemas.topics import load_topics
from tests.support.services import Broker
from tests.support.topics import example, make_topics, partition, trade, writing

BTC = partition("trades", "BTC/USD")
TIMEOUT_S = 60.0


def run(body: Callable[[], Awaitable[None]]) -> None:
    """A test's body, bounded."""
    asyncio.run(asyncio.wait_for(body(), TIMEOUT_S))


async def take(subscription: Subscription, count: int) -> list[Any]:
    """So many items; fails if they do not come."""
    found: list[Item] = []
    async with asyncio.timeout(20):
        async for item in subscription:
            found.append(item)
            if len(found) == count:
                break
    return found


def seqs(items: list[Any]) -> list[int]:
    return [item.seq for item in items]


def test_from_the_beginning_every_event_comes_once_and_typed(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades")
        async with writing(kafka, topic_prefix) as writer:
            await writer.send("trades", BTC, [trade(1), trade(2), trade(2, 1, trade_id=3)])
            await writer.send("trades", BTC, [trade(5, trade_id=4)])
            async with Subscription(kafka, "trades", prefix=topic_prefix, from_="beginning") as trades:
                assert await trades.lag() == 2
                found = await take(trades, 4)
                assert await trades.lag() == 0
        assert all(isinstance(item, events.Trade) for item in found)
        assert [(item.seq, item.n, item.trade_id) for item in found] == [(1, 0, 1), (2, 0, 2), (2, 1, 3), (5, 0, 4)]

    run(body)


def test_live_brings_only_what_comes_from_now_on(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades")
        async with writing(kafka, topic_prefix) as writer:
            await writer.send("trades", BTC, [trade(1)])
            async with Subscription(kafka, "trades", prefix=topic_prefix) as trades:
                await writer.send("trades", BTC, [trade(2)])
                assert seqs(await take(trades, 1)) == [2]

    run(body)


@pytest.mark.parametrize("begin", [1, 3, 30, 31, 45, 99])
def test_from_a_sequence_everything_from_there_on_comes(kafka: str, topic_prefix: str, begin: int) -> None:
    """Messages of three events; the publisher went back twice."""

    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades")
        async with writing(kafka, topic_prefix) as writer:
            for first in (*range(1, 40, 3), *range(20, 60, 3), *range(50, 100, 3)):
                writer.last["trades", BTC] = (0, first - 1, 0)
                await writer.send("trades", BTC, [trade(seq) for seq in range(first, first + 3)])
            async with Subscription(kafka, "trades", prefix=topic_prefix, from_=(0, begin)) as trades:
                found = await take(trades, 100 - begin + 1)
                assert seqs(found) == list(range(begin, 101))

    run(body)


def test_from_a_sequence_that_is_yet_to_come_it_waits_for_it(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades")
        async with writing(kafka, topic_prefix) as writer:
            await writer.send("trades", BTC, [trade(1)])
            async with Subscription(kafka, "trades", prefix=topic_prefix, from_=(0, 3)) as trades:
                await writer.send("trades", BTC, [trade(2), trade(3)])
                assert seqs(await take(trades, 1)) == [3]

    run(body)


def test_what_a_publisher_sends_again_is_dropped(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades")
        async with writing(kafka, topic_prefix) as writer:
            await writer.send("trades", BTC, [trade(1), trade(2)])
            await writer.send("trades", BTC, [trade(3)])
            writer.last["trades", BTC] = (0, 1, 0)
            await writer.send("trades", BTC, [trade(2), trade(3), trade(4)])
            async with Subscription(kafka, "trades", prefix=topic_prefix, from_="beginning") as trades:
                assert seqs(await take(trades, 4)) == [1, 2, 3, 4]

    run(body)


def test_a_message_that_is_missing_is_told_by_the_chain_and_reading_goes_on_behind_it(
    kafka: str, topic_prefix: str
) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades")
        async with writing(kafka, topic_prefix) as writer:
            await writer.send("trades", BTC, [trade(1)])
            await writer.send("trades", BTC, [trade(2), trade(3)], lose=True)
            await writer.send("trades", BTC, [trade(4)])
            async with Subscription(kafka, "trades", prefix=topic_prefix, from_="beginning") as trades:
                assert seqs(await take(trades, 1)) == [1]
                with pytest.raises(StreamGap) as told:
                    await take(trades, 1)
                assert seqs(await take(trades, 1)) == [4]
        gap = told.value
        assert (gap.what, gap.after, gap.until, gap.partition) == ("events", (1, 0), (3, 0), BTC)
        assert gap.to_json()["until"] == "3:0"

    run(body)


def test_a_dense_id_that_was_passed_over_is_told_before_the_event_behind_it(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades")
        async with writing(kafka, topic_prefix) as writer:
            await writer.send("trades", BTC, [trade(1), trade(2, trade_id=4), trade(3, trade_id=5)])
            options: dict[str, Any] = {"prefix": topic_prefix, "from_": "beginning", "on_gap": "give"}
            async with Subscription(kafka, "trades", **options) as trades:
                one, gap, *rest = await take(trades, 4)
                assert (one.seq, seqs(rest)) == (1, [2, 3])
                assert isinstance(gap, StreamGap)
                assert (gap.what, gap.whose, gap.after, gap.until) == ("trade_id", "BTC/USD", (1, 0), (3, 0))

    run(body)


def test_messages_that_the_brokers_no_longer_keep_are_a_gap(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades")
        async with writing(kafka, topic_prefix) as writer:
            for seq in range(1, 6):
                await writer.send("trades", BTC, [trade(seq)])
            async with Subscription(kafka, "trades", prefix=topic_prefix, from_="beginning") as trades:
                assert seqs(await take(trades, 2)) == [1, 2]
                place = trades.position()
            admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
            await admin.start()
            await admin.delete_records({TopicPartition(topic_prefix + "trades", BTC): RecordsToDelete(4)})
            await admin.close()
            options: dict[str, Any] = {"prefix": topic_prefix, "on_gap": "give"}
            async with Subscription(kafka, "trades", from_=place, **options) as trades:
                offsets, chain, event = await take(trades, 3)
                assert (offsets.what, offsets.after, offsets.until) == ("offsets", (1, 0), (3, 0))
                assert (chain.what, chain.after, chain.until) == ("events", (2, 0), (4, 0))
                assert event.seq == 5
            async with Subscription(kafka, "trades", from_=(0, 2), **options) as trades:
                gap, event = await take(trades, 2)
                assert (gap.what, gap.after, gap.until, event.seq) == ("events", (1, N_MAX), (4, 0), 5)

    run(body)


def test_a_position_goes_on_in_the_middle_of_a_message(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades", "risk.alerts")
        async with writing(kafka, topic_prefix) as writer:
            await writer.send("trades", BTC, [trade(seq) for seq in range(1, 6)])
            alerts = [example("risk.alerts", "alert", alert_id=str(number)) for number in range(4)]
            await writer.send_raw("risk.alerts", 2, json.dumps(alerts).encode())
            for topic, attribute, wanted in (
                ("trades", "seq", [1, 2, 3, 4, 5]),
                ("risk.alerts", "alert_id", ["0", "1", "2", "3"]),
            ):
                async with Subscription(kafka, topic, prefix=topic_prefix, from_="beginning") as first:
                    found = await take(first, 2)
                    kept = json.loads(json.dumps(first.position().to_json()))
                async with Subscription(kafka, topic, prefix=topic_prefix, from_=Position.from_json(kept)) as second:
                    found += await take(second, len(wanted) - 2)
                assert [getattr(item, attribute) for item in found] == wanted

    run(body)


def test_a_symbol_reads_its_partition_only(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades", "market.state")
        other = next(name for number in range(99) if partition("trades", name := f"X{number}/USD") == BTC)
        async with writing(kafka, topic_prefix) as writer:
            await writer.send("trades", BTC, [trade(1), trade(2, symbol=other), trade(3, trade_id=2)])
            state = example("market.state", "state", seq=3, n=0)
            all_halted = {name: state[name] for name in state if name not in ("symbol", "instrument")}
            await writer.send("market.state", 0, [all_halted | {"scope": "everything", "state": "halted"}])
            await writer.send("market.state", partition("market.state", "BTC/USD"), [state])
            options: dict[str, Any] = {"prefix": topic_prefix, "from_": "beginning", "symbol": "BTC/USD"}
            async with Subscription(kafka, "trades", **options) as trades:
                assert seqs(await take(trades, 2)) == [1, 3]
                assert [*trades.position().offsets] == [BTC]
            async with Subscription(kafka, "market.state", **options) as states:
                found: Any = await take(states, 2)
                assert {item.scope for item in found} == {"everything", "instrument"}

    run(body)


def test_an_account_reads_the_partition_of_its_firm(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "executions", "accounts")
        place = partition("executions", "70")
        async with writing(kafka, topic_prefix) as writer:
            account = example("accounts", "account", account=7, firm=70)
            await writer.send_raw("accounts", 0, json.dumps(account).encode(), b"7", schema=b"accounts/1")
            filled = [
                example("executions", "filled", firm=70, account=account, seq=seq, n=0, key=3, report_number=number)
                for seq, account, number in ((1, 7, 1), (2, 8, 2), (3, 7, 3), (4, 7, 9))
            ]
            await writer.send("executions", place, filled)
            options: dict[str, Any] = {"prefix": topic_prefix, "from_": "beginning", "account": 7}
            async with Subscription(kafka, "executions", dense_keys=[3], on_gap="give", **options) as executions:
                one, three, gap, four = await take(executions, 4)
                assert seqs([one, three, four]) == [1, 3, 4]
                assert (gap.what, gap.whose, gap.after, gap.until) == ("report_number", "3", (3, 0), (8, 0))
                assert [*executions.position().offsets] == [place]
            with pytest.raises(InputInvalid, match="an account must be defined"):
                async with Subscription(kafka, "executions", prefix=topic_prefix, account=9):
                    pass

    run(body)


def test_a_compacted_topic_gives_its_state_then_what_changes_it(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "accounts")

        def account(number: int, seq: int, firm: int) -> bytes:
            return json.dumps(example("accounts", "account", account=number, seq=seq, firm=firm)).encode()

        async with writing(kafka, topic_prefix) as writer:
            for number, seq, firm in ((1, 1, 1), (2, 2, 2), (1, 3, 10), (1, 2, 99)):
                await writer.send_raw("accounts", 0, account(number, seq, firm), str(number).encode())
            await writer.send_raw("accounts", 0, None, b"2")
            async with Subscription(kafka, "accounts", prefix=topic_prefix) as accounts:
                state: Any = await accounts.state()
                assert {key: found.firm for key, found in state.items()} == {"1": 10}, "an older state counts no more"
                await writer.send_raw("accounts", 0, account(3, 7, 3), b"3")
                await writer.send_raw("accounts", 0, None, b"1")
                new, gone = await take(accounts, 2)
                assert new.account == 3
                assert gone == Gone(topic="accounts", key="1")

    run(body)


def test_what_the_contract_does_not_know_is_told_and_passed_over(kafka: str, topic_prefix: str) -> None:
    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades")
        async with writing(kafka, topic_prefix) as writer:
            await writer.send_raw("trades", BTC, b"\xff\xfe")
            await writer.send_raw("trades", BTC, b"[1, 2]")
            await writer.send_raw("trades", BTC, json.dumps(trade(1)).encode(), schema=b"trades/2")
            await writer.send_raw("trades", BTC, json.dumps([{"type": "print"}, trade(2)]).encode())
            await writer.send_raw("trades", BTC, json.dumps(trade(3)).encode(), previous=b"what")
            await writer.send_raw("trades", BTC, json.dumps(trade(4, trade_id=3)).encode())
            async with Subscription(kafka, "trades", prefix=topic_prefix, from_="beginning") as trades:
                told, found = [], []
                while len(found) < 2:
                    try:
                        found += await take(trades, 1)
                    except StreamInvalid as error:
                        told.append(error.detail.rpartition(" ")[2])
        assert seqs(found) == [2, 4]
        assert told == ["0", "1", "2", "3", "4"]

    run(body)


def test_a_broker_that_is_killed_and_comes_back_costs_no_event(tmp_path: Any) -> None:
    async def body() -> None:
        with Broker.start() as broker:
            await make_topics(broker.bootstrap, "", "trades")
            async with Subscription(broker.bootstrap, "trades", from_="beginning") as trades:
                async with writing(broker.bootstrap, "") as writer:
                    for seq in range(1, 6):
                        await writer.send("trades", BTC, [trade(seq)])
                assert seqs(await take(trades, 3)) == [1, 2, 3]
                waiting = asyncio.create_task(take(trades, 4))
                broker.kill()
                await asyncio.to_thread(broker.restart)
                async with writing(broker.bootstrap, "") as writer:
                    writer.last["trades", BTC] = (0, 5, 0)
                    await writer.send("trades", BTC, [trade(6), trade(7)])
                assert seqs(await waiting) == [4, 5, 6, 7]

    run(body)


def test_a_subscriber_reads_what_its_row_allows_and_is_told_what_it_does_not(sasl_kafka: Broker) -> None:
    prefix, topics = f"t{os.urandom(4).hex()}.", load_topics()
    login = sasl_kafka.login("admin")

    def security(user: str, password: str = "") -> Security:
        own = sasl_kafka.login(user)
        return Security(username=user, password=password or own["sasl_plain_password"], mechanism=own["sasl_mechanism"])

    async def body() -> None:
        options: dict[str, Any] = {"prefix": prefix, "security": security("subscriber")}
        async with TopicAdmin(sasl_kafka.bootstrap, security("admin")) as admin:
            wanted = {f"{prefix}{name}" for name in ("trades", "risk.actions")}
            await admin.create([plan for plan in planned(topics, prefix) if plan.name in wanted], 1)
            await admin.allow(rules(topics, prefix))
        async with writing(sasl_kafka.bootstrap, prefix, **login) as writer:
            await writer.send("trades", BTC, [trade(1)])
        async with Subscription(sasl_kafka.bootstrap, "trades", from_="beginning", **options) as trades:
            assert seqs(await take(trades, 1)) == [1]
        with pytest.raises(ConnectionFailed, match="must be allowed to read"):
            async with Subscription(sasl_kafka.bootstrap, "risk.actions", **options):
                pass
        with pytest.raises(StreamInvalid, match="must be there, is not"):
            async with Subscription(sasl_kafka.bootstrap, "book", prefix=prefix, security=security("admin")):
                pass
        wrong = security("subscriber", "not it")
        with pytest.raises(ConnectionFailed) as told:
            async with Subscription(sasl_kafka.bootstrap, "trades", security=wrong, connect_timeout_s=1.0):
                pass
        assert "not it" not in f"{told.value} {wrong}"

    run(body)


def test_a_broker_that_does_not_answer_is_told_within_the_bound() -> None:
    async def body() -> None:
        with pytest.raises(ConnectionFailed, match="must answer within"):
            async with Subscription("127.0.0.1:1", "trades", connect_timeout_s=0.3):
                pass

    run(body)


@pytest.mark.parametrize(
    ("topic", "options"),
    [
        ("prints", {}),
        ("journal.0", {}),
        ("trades", {"account": 1}),
        ("accounts", {"symbol": "BTC/USD"}),
        ("positions", {"from_": (0, 1)}),
        ("trades", {"from_": (0, -1)}),
        ("trades", {"from_": "yesterday"}),
        ("trades", {"from_": Position(topic="book", offsets={}, marks={})}),
    ],
)
def test_what_cannot_be_read_that_way_is_refused_before_a_line_is_made(topic: str, options: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid):
        Subscription("127.0.0.1:1", topic, **options)


@pytest.mark.parametrize("data", [{}, {"topic": "trades", "offsets": [], "marks": []}, {"offsets": {"a": 1}}])
def test_a_position_that_is_none_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid):
        Position.from_json(data)
