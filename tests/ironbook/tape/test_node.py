"""A fresh engine node in a process of its own: started, killed, started again at the same place, stopped by pid."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironbook import Client, EngineFailed
from ironbook.tape._node import EngineNode
from schemas.vocabulary import Permission
from tests.support.crash import processes_left


def test_a_node_starts_dies_comes_back_at_the_same_place_and_stops(tmp_path: Path) -> None:
    with EngineNode(tmp_path / "node") as node:
        key = node.add_key("admin", Permission.ADMIN)
        node.start()
        address = node.address
        with Client(address, key) as client:
            assert not client.define_asset(1, "USD", 2).rejected
            node.kill()
            assert not node.running
            node.start()
            assert node.address == address
            assert client.define_asset(1, "USD", 3).rejected  # it remembers: decimals cannot change
        assert node.running
    assert not node.running
    assert processes_left(tmp_path) == []


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with EngineNode(tmp_path / "node", free_bytes_min=0) as node:
        node.start()
        other = EngineNode(tmp_path / "other", data_directory=str(tmp_path / "node"))
        with pytest.raises(EngineFailed, match="must start") as caught:
            other.start()
        assert "data directory" in caught.value.detail


def test_a_node_that_runs_is_not_started_again(tmp_path: Path) -> None:
    with EngineNode(tmp_path / "node") as node:
        node.start()
        with pytest.raises(EngineFailed, match="must be started once"):
            node.spawn()
        assert node.pid > 0


def test_an_error_in_the_block_kills_the_node(tmp_path: Path) -> None:
    def fail() -> None:
        with EngineNode(tmp_path / "node") as node:
            node.start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert processes_left(tmp_path) == []


def test_secrets_and_passphrase_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    EngineNode(tmp_path / "node").add_key("trader", Permission.TRADE, 1)
    for name in ("passphrase", "keys.ironbook"):
        assert (tmp_path / "node" / name).stat().st_mode & 0o077 == 0
