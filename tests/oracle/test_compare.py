"""The comparison as a program, and the flow that it plays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.vocabulary import Kind, NewOrder, OrderTerms, Record
from tests.oracle import compare, flow
from tests.oracle.choice import RandomChoice
from tests.oracle.state import Options, State

ROOT = Path(__file__).resolve().parents[2]


def test_program_prints_its_seed_and_what_happened() -> None:
    command = [sys.executable, "-m", "tests.oracle.compare", "--commands", "300", "--seed", "7", "--market", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "seed 7"
    assert lines[-1].startswith("300 commands agree")


def test_program_without_a_seed_chooses_and_prints_one() -> None:
    command = [sys.executable, "-m", "tests.oracle.compare", "--commands", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].removeprefix("seed ").isdigit()


def test_one_seed_is_one_flow() -> None:
    def drawn(seed: int) -> list[flow.Step]:
        choice = RandomChoice(seed)
        return [flow.draw_step(choice) for _ in range(200)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_step_becomes_records_that_go_on_from_the_state() -> None:
    state = State(options=Options())
    state.key(1).last_client_sequence = 6
    step = flow.Step(command=NewOrder(account=1), key=1, text=b"x", elapsed_ns=5)
    records = [Record.unpack(flow.records_of(step, state), offset) for offset in (0, 64)]
    assert [int.from_bytes(record.command[2:8], "little") for record in records] == [7, 8]
    assert [record.received_ns for record in records] == [flow.START_NS + 5] * 2


def test_prefixes_that_end_the_records_wait_for_what_follows_in_both() -> None:
    pair = compare.Pair()
    for step in flow.prelude():
        pair.play(step)
    sequence = pair.oracle.state.sequence
    pair.play(flow.Step(command=NewOrder(account=1), text=b"x", terms=OrderTerms(), set_byte=(0, 0, Kind.TEXT)))
    assert pair.oracle.state.sequence == sequence
    pair.check_all()


@pytest.mark.parametrize("chunk", [0, 63, 1025, 2**32 - 1])
def test_chunk_of_too_few_or_too_many_events_is_refused(chunk: int) -> None:
    with pytest.raises(ValueError, match="a chunk must hold 64 to 1024 events"):
        compare.Pair().core.apply(b"", chunk)
