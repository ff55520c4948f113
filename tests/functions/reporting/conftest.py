"""A day's database and the buckets, shared by the tests of reporting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functions.reporting import handler
from tests.functions.reporting import market
from tests.support.aws import Aws
from tests.support.services import create_database, drop_database

Invoke = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def market_url(postgres_server: str) -> Iterator[str]:
    """A database with the flow of all days; tests only read it."""
    url = create_database(postgres_server)
    market.fill(url)
    yield url
    drop_database(url, postgres_server)


@pytest.fixture
def buckets(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in's S3 with an archive that reaches all days, and the function's settings."""
    s3 = aws.client("s3")
    for name in ("archive", "reports"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        monkeypatch.setenv(f"IRONBOOK_FUNCTION_{name.upper()}_BUCKET", name)
    for day in market.DAYS:
        body = market.as_json(market.statement(day))
        s3.put_object(Bucket="archive", Key=f"statements/00000/{day}.json", Body=body)
    head = {"format": 1, "shard": 0, "last_sequence": len(market.flow().records) // 64}
    s3.put_object(Bucket="archive", Key="journal/00000/manifest.json", Body=json.dumps(head).encode())
    return s3


@pytest.fixture
def invoke(buckets: Any, market_url: str, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Calls the handler as Lambda does, at a time when all days are over."""

    def call(event: dict[str, Any] | None = None, *, url: str = market_url, now_ns: int = market.NOW_NS) -> Any:
        monkeypatch.setenv("IRONBOOK_FUNCTION_DATABASE_URL", url)
        monkeypatch.setattr(handler, "now_ns", lambda: now_ns)
        return handler.handle({"day": market.DAYS[1]} if event is None else event, None)

    return call
