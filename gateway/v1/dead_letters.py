"""/api/v1/dead-letters: what the workers could not process, and the way back onto its topic."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from gateway import errors
from gateway.context import Gateway
from gateway.errors import ApiError
from gateway.routing import Access, Call, Route
from gateway.topic_source import KafkaLogin
from gateway.v1 import shapes
from gateway.v1.administration import audit, take_once
from gateway.v1.models import DeadLetterInfo, LettersQuery, Replayed, ReplayQuery
from gateway.v1.system import brokers
from gateway.v1.types import Page
from ironbook import IronbookError
from ironbook._errors import InputInvalid
from ironbook._kafka import Cluster
from ironbook.dead_letters import Letter, find, pick, put_back

__all__ = ["ROUTES", "cluster_of"]

TIMEOUT_S: Final = 20.0
NUMBER_MAX: Final = (1 << 53) - 1
_one_at_a_time = asyncio.Semaphore(2)  # each reads the topic from its beginning


def cluster_of(gateway: Gateway) -> Cluster:
    """The Kafka of this gateway. Raises ApiError."""
    settings = gateway.settings
    if not settings.kafka:
        raise ApiError(errors.NO_KAFKA)
    login: KafkaLogin = gateway.shared[KafkaLogin]
    return Cluster(servers=settings.kafka, prefix=settings.topic_prefix, security=login.security)


@contextlib.asynccontextmanager
async def _kafka(call: Call) -> AsyncIterator[Cluster]:
    cluster = cluster_of(call.gateway)
    if not (await brokers(cluster.servers))[0]:
        raise ApiError(errors.KAFKA_AWAY, detail="no broker takes connections")
    try:
        async with asyncio.timeout(TIMEOUT_S), _one_at_a_time:
            yield cluster
    except InputInvalid as error:
        raise ApiError(errors.NOT_FOUND, str(error), hint="/api/v1/dead-letters lists all that are kept") from None
    except (IronbookError, OSError, TimeoutError) as error:
        raise ApiError(errors.KAFKA_AWAY, detail=f"{type(error).__name__}: {error}"[:300]) from None
    except Exception as error:
        if type(error).__module__.startswith("aiokafka"):
            raise ApiError(errors.KAFKA_AWAY, detail=f"{type(error).__name__}: {error}"[:300]) from None
        raise


async def letters(call: Call) -> Page[DeadLetterInfo]:
    """Dead letters, newest first."""
    asked = call.parameters
    async with _kafka(call) as cluster:
        _, found = await find(cluster, asked.code, asked.worker, asked.topic, asked.limit)
    return Page(items=[_info(letter) for letter in reversed(found)])


def _number(call: Call) -> int:
    return shapes.whole(call.path["number"], "number", 0, NUMBER_MAX)


async def letter(call: Call) -> DeadLetterInfo:
    """One dead letter."""
    number = _number(call)
    async with _kafka(call) as cluster:
        [found] = await pick(cluster, [number])
    return _info(found)


async def replay(call: Call) -> Replayed:
    """Put the original bytes back onto their topic and partition.

    Of a batch only the event that was given up goes back, unless `whole`; the others were processed. The message has a
    header `replayed` that names the letter. A signed order is only taken while its timestamp is in the nonce window.
    """
    number = _number(call)
    async with _kafka(call) as cluster:
        [found] = await pick(cluster, [number])
        await take_once(call, f"replay of dead letter {number}")
        [(partition, offset)] = await put_back(cluster, [found], call.parameters.whole)
    audit(call, "dead_letter_replayed", number=number, topic=found.event.topic)
    return Replayed(number=number, topic=found.event.topic, partition=partition, offset=offset)


def _info(letter: Letter) -> DeadLetterInfo:
    event = letter.event
    return DeadLetterInfo(
        number=letter.number,
        worker=event.worker,
        code=event.code,
        text=event.text,
        topic=event.topic,
        partition=event.partition,
        offset=event.offset,
        index=event.index,
        key=event.key,
        value=event.value,
        value_text=letter.text(),
        time_ns=event.time_ns,
    )


def _route(method: str, path: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route(
        method=method, path=path, handler=handler, summary=summary, tag="operations", access=Access.ADMIN, weight=50,
        problems=(errors.NO_KAFKA, errors.KAFKA_AWAY), **more,
    )  # fmt: skip


ROUTES: Final = (
    _route(
        "GET", "/api/v1/dead-letters", letters, "What workers could not process.",
        parameters=LettersQuery, returns=Page[DeadLetterInfo],
    ),
    _route("GET", "/api/v1/dead-letters/{number}", letter, "One dead letter.", returns=DeadLetterInfo),
    _route(
        "POST", "/api/v1/dead-letters/{number}/replay", replay, "Put it back onto its topic.",
        parameters=ReplayQuery, returns=Replayed,
    ),
)  # fmt: skip
