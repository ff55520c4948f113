"""`ironbook tape` and `ironbook demo`, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Protocol

import pytest

from ironbook.cli import _app
from ironbook.tape import FlowOptions, Player, TapeMessage, generate, read_lobster
from ironbook.tape._desk import TRADING
from ironbook.tape._node import EngineNode
from ironbook.tape._venue import Venue, VenueOptions
from ironbook.tape.messages import TapeKind
from schemas.vocabulary import Permission, Side
from tests.ironbook.tape.desk import Desk
from tests.support.crash import processes_left

LOBSTER_TYPES = {TapeKind.ADD: 1, TapeKind.REDUCE: 2, TapeKind.DELETE: 3, TapeKind.EXECUTE: 4}
FIELDS = [
    "messages",
    "executions_checked",
    "executions_agreed",
    "rejected",
    "orders_per_s",
    "latency_us",
    "outcome_digest",
]


def ironbook(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "ironbook", *map(str, arguments)],
        capture_output=True, text=True, timeout=90, check=False, env=os.environ | environment,
    )  # fmt: skip


class Run(Protocol):
    def __call__(self, *arguments: str | Path) -> dict[str, Any]: ...


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The same in this process, with --json; the last line of what it says."""

    def here(*arguments: str | Path) -> dict[str, Any]:
        code = _app.run([*map(str, arguments), "--json"])
        captured = capsys.readouterr()
        said = json.loads(captured.out.splitlines()[-1])
        assert isinstance(said, dict)
        assert code == (1 if "error" in said else 0), captured.err
        return said

    return here


def as_lobster(message: TapeMessage) -> str:
    seconds, ns = divmod(message.time_ns, 1_000_000_000)
    side = 1 if message.side == Side.BUY else -1
    kind = LOBSTER_TYPES[message.kind]
    return f"{seconds}.{ns:09d},{kind},{message.order_id},{message.quantity},{message.price},{side}\n"


@pytest.fixture
def lobster_file(tmp_path: Path) -> Path:
    path = tmp_path / "ABC_2026-01-02_34200000_57600000_message_10.csv"
    path.write_text("".join(map(as_lobster, generate(800, FlowOptions(seed=6)))))
    return path


def test_tape_on_a_fresh_engine_says_the_promised_last_line_the_same_each_time(
    lobster_file: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runs = [run("tape", lobster_file), run("tape", lobster_file, "--pace", "9x")]
    for said in runs:
        assert list(said) == FIELDS
        assert said["messages"] == 800
        assert said["executions_checked"] == said["executions_agreed"] > 10
        assert said["rejected"] == 0
        assert said["orders_per_s"] > 0
        assert 0 < said["latency_us"]["p50"] <= said["latency_us"]["p99"] <= said["latency_us"]["p999"]
    assert runs[0]["outcome_digest"] == runs[1]["outcome_digest"]
    assert processes_left(tmp_path) == []
    assert list(tmp_path.iterdir()) == [lobster_file]


def test_the_slow_oracle_comes_to_the_same_outcome(lobster_file: Path, run: Run) -> None:
    said = run("tape", lobster_file, "--makers", "2")
    desk = Desk()
    venue = Venue(desk.client(9), [1, 2, 3], VenueOptions(step=100))
    venue.open()
    played = Player([desk.client(1, 1), desk.client(2, 2), desk.client(3, 3)], venue).play(read_lobster(lobster_file))
    assert (played.outcome_digest, played.executions_agreed) == (said["outcome_digest"], said["executions_agreed"])


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_tape_that_is_interrupted_stops_its_engine_and_removes_its_directory(tmp_path: Path, ended_by: int) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "ironbook", "tape", "--orders", "1000000"],
        env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None
    for line in running.stdout:
        if b"clients" in line:
            break
    running.send_signal(ended_by)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert processes_left(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_tape_for_people_shows_counts_differences_and_balances(tmp_path: Path) -> None:
    path = tmp_path / "ABC_2026-01-02_34200000_57600000_message_10.csv"
    path.write_text(
        "34200.1,1,7,100,500000,1\n34200.2,1,8,50,500000,1\n34200.3,4,8,50,500000,1\n34200.4,3,9,1,500000,1\n"
    )
    done = ironbook("tape", path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"executions +0 of 1 agree", done.stdout)
    assert re.search(r"rejects +1 \(1 unknown_order\)", done.stdout)
    assert "queue position: one order with 100 shares stands before order 8 at 50.00" in done.stdout
    assert re.search(r"maker2 +ABC +50 .*✓", done.stdout)
    assert "round trip" in done.stdout


def test_tape_without_a_file_plays_the_seeded_flow(run: Run) -> None:
    said = run("tape", "--orders", "300", "--seed", "5", "--level", "disk")
    assert said["messages"] == 300
    assert said["executions_checked"] == said["executions_agreed"]


def test_tape_at_an_address_uses_the_keys_given_and_leaves_nothing_open(
    lobster_file: Path, tmp_path: Path, run: Run
) -> None:
    with EngineNode(tmp_path / "node") as node:
        files = []
        for name, permissions, account in (
            ("admin", Permission.ADMIN, 0), ("taker", TRADING, 7), ("maker-1", TRADING, 8), ("maker-2", TRADING, 9),
        ):  # fmt: skip
            files += ["--key", tmp_path / f"{name}.json"]
            node.add_key(name, permissions, account).write(tmp_path / f"{name}.json")
        node.add_key("gateway", TRADING | Permission.DELEGATE).write(tmp_path / "gateway.json")
        node.start()
        place = ["--address", "{}:{}".format(*node.address)]
        first = run("tape", lobster_file, *place, *files)
        again = run("tape", lobster_file, *place, *files)
        delegate = ["--key", tmp_path / "gateway.json", "--account", "7", "--account", "8", "--account", "9"]
        third = run("tape", lobster_file, *place, *delegate)
        assert first["outcome_digest"] == again["outcome_digest"] == third["outcome_digest"]
        assert first["executions_checked"] == first["executions_agreed"] > 10


@pytest.mark.parametrize(
    ("arguments", "error", "must"),
    [
        (["none.csv"], "tape_unreadable", "must be a readable file"),
        (["--pace", "often", "--orders", "1"], "tape_options", "a pace must be"),
        (["--level", "cluster", "--orders", "1"], "tape_options", "a level must be process or disk"),
        (["--makers", "0", "--orders", "1"], "tape_options", "makers must be 1 to"),
        (["--orders", "-5"], "tape_options", "must not be below 0"),
        (["bad.csv"], "tape_invalid", "6 columns"),
        (["bad.csv", "--format", "parquet"], "tape_options", "a format must be one of"),
        (["good.csv", "--symbol", "ABC"], "tape_options", "this is a LOBSTER file"),
        (["good.csv", "--tick", "300"], "tape_options", "must be multiples of the tick"),
        (["empty.csv"], "tape_unreadable", "must hold something"),
        (["good.csv", "--address", "127.0.0.1:1"], "tape_options", "a taker and a maker must have an account each"),
    ],
)
def test_bad_input_ends_with_a_named_error(
    tmp_path: Path, run: Run, arguments: list[str], error: str, must: str
) -> None:
    (tmp_path / "good.csv").write_text("34200.1,1,7,100,500000,1\n34200.1,1,8,100,500100,1\n")
    (tmp_path / "bad.csv").write_text("34200.1,1,7,100,500000\n")
    (tmp_path / "empty.csv").write_bytes(b"")
    placed = [str(tmp_path / part) if part.endswith(".csv") else part for part in arguments]
    said = run("tape", *placed)
    assert said["error"] == error
    assert must in said["message"]


def test_demo_shows_book_fills_balances_latency_and_the_journals_proof(tmp_path: Path) -> None:
    done = ironbook("demo", "--orders", "600", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for said in ("DEMO", "orders sent", "Last fills", "round trip", "Balances", "Journal", "digest", "Done in"):
        assert said in done.stdout
    assert "✗" not in done.stdout
    assert processes_left(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_demo_says_the_same_as_json(run: Run) -> None:
    said = run("demo", "--orders", "600", "--seed", "3")
    assert said["messages"] == 600
    assert said["balances_reconcile"] is True
    assert said["journal"]["digest"] == said["journal"]["engine_digest"]
    assert said["executions_checked"] == said["executions_agreed"]
    assert said["fills"] > 10
