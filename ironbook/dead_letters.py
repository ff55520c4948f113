"""Dead letters: what the workers could not process, with the original bytes, and the way back onto their topics.

The topic is read from its beginning each time: it holds what was given up in thirty days, which is little.
"""

from __future__ import annotations

import base64
import collections
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from ironbook._errors import InputInvalid
from ironbook._kafka import SCHEMA_VERSION, Cluster, aiokafka
from ironbook.subscribe import Subscription
from schemas.events import DeadLetter

__all__ = ["TOPIC", "Letter", "find", "pick", "put_back"]

TOPIC = "dead-letters"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter; number is its offset in the topic."""

    number: int
    event: DeadLetter

    @property
    def value(self) -> bytes:
        """The original message."""
        return base64.b64decode(self.event.value)

    @property
    def key(self) -> bytes | None:
        """The original key."""
        return base64.b64decode(self.event.key) if self.event.key is not None else None

    def text(self) -> str | None:
        """The original message as text, JSON laid out; None: it is neither."""
        try:
            return orjson.dumps(orjson.loads(self.value), option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONDecodeError:
            pass
        try:
            text = self.value.decode()
        except UnicodeDecodeError:
            return None
        return text if text.isprintable() else None

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {"number": self.number, **self.event.to_dict()}


async def _letters(cluster: Cluster) -> AsyncIterator[Letter]:
    """All that are there now, oldest first."""
    async with Subscription(
        cluster.servers, TOPIC, prefix=cluster.prefix, from_="beginning", security=cluster.security
    ) as letters:
        async for item in letters.until_now():
            if isinstance(item, DeadLetter):
                yield Letter(number=letters.place[1], event=item)


async def find(
    cluster: Cluster, code: str | None, worker: str | None, topic: str | None, last: int | None
) -> tuple[collections.Counter[str], list[Letter]]:
    """How many there are of each reason, and the newest `last` of them (all if None), oldest first."""
    counts: collections.Counter[str] = collections.Counter()
    kept: collections.deque[Letter] = collections.deque(maxlen=last)
    async for letter in _letters(cluster):
        event = letter.event
        wanted = (code, event.code), (worker, event.worker), (topic, event.topic)
        if all(want in (None, found) for want, found in wanted):
            counts[event.code] += 1
            kept.append(letter)
    return counts, list(kept)


async def pick(cluster: Cluster, numbers: Sequence[int]) -> list[Letter]:
    """Those of these numbers, in that order. Raises InputInvalid if one is not there."""
    wanted = set(numbers)
    found = {letter.number: letter async for letter in _letters(cluster) if letter.number in wanted}
    if missing := sorted(wanted - set(found)):
        raise InputInvalid(
            f"a dead letter must be there, {', '.join(map(str, missing))} is not",
            hint="`ironbook dead-letters list` shows all that are kept",
        )
    return [found[number] for number in dict.fromkeys(numbers)]


async def put_back(cluster: Cluster, letters: Sequence[Letter], whole: bool) -> list[tuple[int, int]]:
    """Send the original bytes to where they stood, with a header that names the letter; (partition, offset) of each.

    whole  all of a message, even where only one event of it was given up
    """
    if not letters:
        return []
    producer = aiokafka().AIOKafkaProducer(acks="all", enable_idempotence=True, **cluster.options())
    await producer.start()
    try:
        places = []
        for letter in letters:
            event = letter.event
            headers = [
                ("schema", f"{event.topic}/{SCHEMA_VERSION}".encode()),
                ("replayed", f"{TOPIC}:{letter.number}".encode()),
            ]
            done = await producer.send_and_wait(
                cluster.prefix + event.topic,
                letter.value if whole else _given_up(letter),
                key=letter.key,
                partition=event.partition,
                headers=headers,
            )
            places.append((done.partition, done.offset))
        return places
    finally:
        await producer.stop()


def _given_up(letter: Letter) -> bytes:
    """The event that was given up, or the whole message if all of it was."""
    if letter.event.index is None:
        return letter.value
    try:
        rows = orjson.loads(letter.value)
        return orjson.dumps(rows[letter.event.index]) if isinstance(rows, list) else letter.value
    except (orjson.JSONDecodeError, IndexError):
        return letter.value
