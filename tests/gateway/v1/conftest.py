"""One stack for all tests of /api/v1: engine, gateway, and a database that embedded analytics fills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway import Stack
from tests.support.services import create_database, drop_database


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[Stack]:
    url = create_database(postgres_server)
    try:
        with Stack(tmp_path_factory.mktemp("v1"), database=url) as running:
            yield running
    finally:
        drop_database(url, postgres_server)
