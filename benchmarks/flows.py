"""Flow files for the benchmarks: `python -m benchmarks.flows [--smoke] [--deep ORDERS] [NAME …]` into build/flows.

    tape                          the recorded hour, as docs/reference/tape.md reads it, over and over with fresh ids;
                                  what still rests at the end of an hour is cancelled, so each begins with empty books
    deep, cancel, sweep, wide     made by seed (benchmarks/flows.c)
    deep1000 … deep10000000       deep with so many resting orders: what a command costs must not grow with them

The same arguments give the same bytes. benchmarks/support/operations.h has the format.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from benchmarks.servers import PROGRAMS, ROOT
from ironbook.tape._book import QueueBook
from ironbook.tape._plan import Planner, Step, StepKind
from ironbook.tape.lobster import common_step, read_lobster

__all__ = ["FLOWS", "NAMES", "Answer", "TapeMissing", "answer", "cut", "directory", "main", "make"]

TAPE = ROOT.parent / "shared" / "data" / "AAPL_2012-06-21_34200000_37800000_message_50.csv.gz"
HEADER = struct.Struct("<8sQQII32x")
OPERATION = struct.Struct("<QqqIIBB14x")
MAGIC = b"IBFLOW01"
LIMIT, IMMEDIATE, CANCEL, REDUCE = 1, 2, 3, 4
TAKER, MAKERS = 1, 63  # accounts of the tape: one takes, the others rest
SEED = 20260301

NAMES = ("tape", "deep", "cancel", "sweep", "wide")
# Orders that rest before the clock starts, then timed operations; of the tape: hours.
FLOWS = {"tape": (0, 20), "deep": (1_000_000, 1_000_000), "cancel": (10_000, 1_000_000), "sweep": (400, 1_000_000),
         "wide": (200_000, 1_000_000)}  # fmt: skip
SMOKE = {"tape": (0, 1), "deep": (10_000, 10_000), "cancel": (1_000, 10_000), "sweep": (400, 10_000),
         "wide": (20_000, 10_000)}  # fmt: skip

Operation: TypeAlias = tuple[int, int, int, int, int, int, int]  # as OPERATION


class TapeMissing(Exception):
    """The recorded hour is not beside the repository."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an engine answered, or must answer, to the timed operations of a flow."""

    fills: int
    lots: int
    notional: int  # modulo 2^64
    digest: str  # of all fills in order, by the flow's ids
    refused: int  # operations; in a flow only the tape's cancels of what is not in the book


def directory() -> Path:
    """Where flow files go."""
    path = ROOT / "build" / "flows"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _flows(*arguments: object) -> dict[str, object]:
    done = subprocess.run([str(PROGRAMS / "flows"), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"flows {arguments[0]}: {done.stderr.strip() or done.returncode}")
    said: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return said


def answer(path: Path) -> Answer:
    """What any engine must answer to a flow file, by an obvious book of our own (benchmarks/support/dense_book.c)."""
    said = _flows("answer", path)
    return Answer(**{field.name: said[field.name] for field in dataclasses.fields(Answer)})  # type: ignore[arg-type]


def cut(path: Path, timed: int) -> Path:
    """The same flow with at most so many timed operations."""
    out = path.with_name(f"{path.stem}-{timed}.flow")
    _flows("cut", path, out, timed)
    return out


def make(name: str, *, resting: int, timed: int) -> Path:
    """Make a flow file; `timed` is hours for the tape. Raises TapeMissing and RuntimeError."""
    out = directory() / f"{name}-{resting}-{timed}.flow"
    if name == "tape":
        if not TAPE.exists():
            raise TapeMissing(f"the recorded hour must be in ../shared/data beside the repository: no {TAPE.name}")
        _write_tape(out, timed)
    else:
        kind = "deep" if name.startswith("deep") else name
        _flows("make", kind, out, SEED, resting, timed)
    return out


# ---- The recorded hour -----------------------------------------------------------------------------------------------


class _Hour:
    """One hour as operations, with ids from 1."""

    def __init__(self, path: Path) -> None:
        step, _ = common_step(path)
        self.plan = Planner(step=step, accounts=list(range(TAKER, TAKER + MAKERS + 1)), instrument=lambda symbol: 1)
        self.step = step
        self.book = QueueBook()
        self.ids: dict[int, int] = {}  # of the tape's orders, in the flow
        self.owners: dict[int, tuple[int, int, int]] = {}  # id in the flow: account, price in ticks, side
        self.id = 0
        self.operations: list[Operation] = []
        for message in read_lobster(path):
            for planned in self.plan.steps(message):
                self.operations.append(self._operation(planned))
        for order in list(self.book.orders):
            account, _, _ = self.owners[order]
            self.operations.append((order, 0, 0, 1, account, CANCEL, 0))

    def _next_id(self) -> int:
        self.id += 1
        return self.id

    def _operation(self, planned: Step) -> Operation:
        """Ids are given in the order of arrival; an order from before the tape has one that never arrives."""
        account = self.plan.accounts[planned.client]
        if planned.kind in (StepKind.ENTER, StepKind.TAKE):
            order, price = self._next_id(), planned.command.price_ticks  # type: ignore[union-attr]
            side, rests = int(planned.command.side), planned.kind is StepKind.ENTER  # type: ignore[union-attr]
            self.book.enter(order, side, price, planned.quantity, rests=rests)
            if rests:
                self.ids[planned.order_id] = order
                self.owners[order] = (account, price, side)
            return order, price, planned.quantity, 1, account, LIMIT if rests else IMMEDIATE, side
        known = self.ids.get(planned.order_id)
        if known is None:
            known = self.ids[planned.order_id] = self._next_id()
        left = self.book.rest_of(known)
        if planned.kind is StepKind.CANCEL:
            self.book.take(known, left)
            return known, 0, 0, 1, account, CANCEL, 0
        # The planner's total is what arrived less what the tape took off; its step names how much that was.
        _, price, side = self.owners[known]
        total = int(planned.command.quantity_lots)  # type: ignore[union-attr]
        self.book.take(known, planned.quantity)
        return known, price, total, 1, account, REDUCE, side


def _write_tape(out: Path, hours: int) -> None:
    hour = _Hour(TAPE)
    with out.open("wb") as file:
        file.write(HEADER.pack(MAGIC, hours * len(hour.operations), 0, 1, TAKER + MAKERS))
        for repeat in range(hours):
            base = repeat * hour.id
            file.write(b"".join(OPERATION.pack(base + id_, *rest) for id_, *rest in hour.operations))


# ---- Command line ----------------------------------------------------------------------------------------------------


def _wanted(chosen: argparse.Namespace) -> Iterator[tuple[str, int, int]]:
    sizes = SMOKE if chosen.smoke else FLOWS
    for name in chosen.names or (() if chosen.deep else NAMES):
        yield name, *sizes[name]
    for orders in chosen.deep:
        yield f"deep{orders}", orders, sizes["deep"][1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: makes flow files, prints where they are and what they must be answered. 0, or 1 with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flows", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--smoke", action="store_true", help="small sizes")
    parser.add_argument("--deep", type=int, nargs="+", default=[], metavar="ORDERS", help="deep with so many orders")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(NAMES):
        parser.error(f"a flow must be one of {', '.join(NAMES)}, was {', '.join(sorted(unknown))}")
    if not (PROGRAMS / "flows").exists():
        print("the benchmark programs must be built: run `make build`", file=sys.stderr)
        return 1
    for name, resting, timed in _wanted(chosen):
        try:
            path = make(name, resting=resting, timed=timed)
        except TapeMissing as missing:
            print(f"tape is left out: {missing}", file=sys.stderr)
            continue
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
        print(json.dumps({"flow": name, "file": str(path.relative_to(ROOT)), **dataclasses.asdict(answer(path))}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
