"""What validation is compared with: the same rules, one message an order, as programs of this kind are usually written.

    python -m benchmarks.stream_peers faust|aiokafka BROKER PREFIX KNOWN COUNT

    <kind>.submitted ──▶ judge ──▶ <kind>.validated                prints "ready" when it reads

`faust`: an agent that decodes a message, judges it, writes the nonce into a table and sends the order on. `aiokafka`: a
loop that does the same without a table that outlives it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import faust
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.topics import load_topics
from schemas.vocabulary import Permission
from streams.common.codec import partition_of
from streams.validation.nonces import Nonces
from streams.validation.rules import KeyRights, Known, Message, judge

PARTITIONS = load_topics()["orders.submitted"].partitions_count
START_S = 8.0  # until it has partitions and its table; what it did until then is not counted
WINDOW_NS = 300_000_000_000


def known_of(path: Path) -> Known:
    """Keys, instruments and accounts from a file."""
    said = orjson.loads(path.read_bytes())
    rights = int(Permission.TRADE | Permission.CANCEL | Permission.DELEGATE)
    return Known(
        {said["key_id"]: KeyRights([bytes.fromhex(said["secret"])], 0, rights)},
        {instrument["symbol"]: instrument for instrument in said["instruments"]},
        {account["account"]: account for account in said["accounts"]},
        lambda firm: partition_of(str(firm), PARTITIONS),
        WINDOW_NS,
    )


def message_of(record: Any, timestamp_ns: int, value: bytes) -> Message:
    """As validation's worker hands it over."""
    found = orjson.loads(value)
    return Message(record.partition, record.offset, timestamp_ns, value, found if isinstance(found, list) else [found])


def ready() -> None:
    """Say so to whoever waits for it."""
    print("ready", flush=True)


def run_faust(broker: str, prefix: str, known: Known) -> None:
    """A per-message agent with a table."""
    app = faust.App(
        f"{prefix}plain-faust", broker=f"aiokafka://{broker}", store="memory://", value_serializer="raw",
        topic_partitions=PARTITIONS, web_enabled=False, worker_redirect_stdouts=False, producer_acks=-1,
        consumer_auto_offset_reset="earliest",
    )  # fmt: skip
    source = app.topic(f"{prefix}faust.submitted", value_serializer="raw", partitions=PARTITIONS)
    sink = app.topic(f"{prefix}faust.validated", value_serializer="raw", partitions=PARTITIONS)
    table = app.Table("nonces", partitions=PARTITIONS)
    nonces = [Nonces() for _ in range(PARTITIONS)]

    @app.agent(source)
    async def validate(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            taken = message_of(message, int(message.timestamp * 1e9), event.value)
            judged = judge(taken, known, nonces[message.partition])
            for order in judged.orders:
                table[order["nonce"]] = message.offset
                await sink.send(value=orjson.dumps(order), partition=message.partition)

    @app.task  # type: ignore[untyped-decorator]
    async def tell() -> None:
        await asyncio.sleep(START_S)
        ready()

    faust.Worker(app, loglevel="warning").execute_from_commandline()


async def run_aiokafka(broker: str, prefix: str, known: Known, count: int) -> None:
    """A plain loop."""
    nonces = [Nonces() for _ in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        f"{prefix}aiokafka.submitted", bootstrap_servers=broker, group_id=f"{prefix}plain", auto_offset_reset="earliest"
    )
    async with AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True) as producer, consumer:
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=100)
        ready()
        done = 0
        async for message in consumer:
            taken = message_of(message, message.timestamp * 1_000_000, message.value)
            judged = judge(taken, known, nonces[message.partition])
            for order in judged.orders:
                await producer.send(f"{prefix}aiokafka.validated", orjson.dumps(order), partition=message.partition)
            done += 1
            if done == count:
                await producer.flush()


def main(kind: str, broker: str, prefix: str, known: str, count: str) -> None:
    """Command line."""
    uvloop.install()
    if kind == "faust":
        run_faust(broker, prefix, known_of(Path(known)))
    else:
        asyncio.run(run_aiokafka(broker, prefix, known_of(Path(known)), int(count)))


if __name__ == "__main__":
    main(*sys.argv[1:])
