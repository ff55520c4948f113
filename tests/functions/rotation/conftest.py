"""An environment whose secrets rotate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.aws import Aws
from tests.support.rotation import World


@pytest.fixture
def world(aws: Aws, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Secrets Manager, PostgreSQL with secret_holders, and an alerts topic."""
    made = World(aws, postgres_url, monkeypatch)
    yield made
    made.close()
