"""How the state of a partition is kept in a table: a snapshot, and what was folded since. Pure: makes and reads rows.

Rewriting a firm's figures with every batch would cost as much as it has open orders. What a fold was given is as large
as the batch, and the fold gives the same again. So each group of messages becomes one row, an *entry*, and now and
then, when the entries outweigh it, the whole state becomes a *snapshot*:

    E/head      {"began_ns", "generation", "parts", "number"}      E: the epoch, one assignment of the partition
    E/s0/0 …    {"text": JSON in pieces}                           parts of the snapshot, of generations in turn
    E/e0 …      {"number", "steps", "offsets"}                     entries; those below the head's number are over

An entry is written, then its answers are sent, then its messages are acknowledged, and only then is the next written.
So a crash leaves at most one entry whose answers may not have been sent: the last.

An epoch begins with a snapshot of its own, and the newest epoch counts. What a worker writes that was paused past its
rebalance goes to an epoch that nobody reads any more. The offsets in the entries say what the state has seen, so a mark
of such a worker that is too high is noticed and set back (agents.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

__all__ = ["Journal", "Kept", "read"]

PART_CHARACTERS: Final = 400_000
ENTRIES_BYTES_MIN: Final = 16 << 20
ENTRIES_PER_SNAPSHOT: Final = 4

Row = dict[str, Any]


class Kept:
    """What a table held: a state, what was folded into it since, and the rows that are over."""

    def __init__(
        self, state: Any, entries: list[Row], offsets: dict[str, int], stale: list[str], began_ns: int
    ) -> None:
        self.state = state  # None: nothing was kept
        self.entries = entries
        self.offsets = offsets  # topic -> next offset to be folded
        self.stale = stale
        self.began_ns = began_ns


def read(rows: Iterable[tuple[str, Any]]) -> Kept:
    """The newest epoch of a partition's rows."""
    found = {key: orjson.loads(orjson.dumps(value)) for key, value in rows}
    heads = {key.removesuffix("/head"): value for key, value in found.items() if key.endswith("/head")}
    if not heads:
        return Kept(None, [], {}, sorted(found), 0)
    epoch = max(heads, key=lambda name: (heads[name]["began_ns"], name))
    head = heads[epoch]
    parts = (found[f"{epoch}/s{head['generation'] % 2}/{part}"]["text"] for part in range(head["parts"]))
    snapshot = json.loads("".join(parts))
    entries = sorted(
        (row for key, row in found.items() if key.startswith(f"{epoch}/e") and row["number"] >= head["number"]),
        key=lambda row: int(row["number"]),
    )
    offsets: dict[str, int] = dict(snapshot["offsets"])
    for entry in entries:
        offsets |= entry["offsets"]
    return Kept(snapshot["state"], entries, offsets, sorted(found), head["began_ns"])


class Journal:
    """Rows of one epoch, in the order in which they are to be written."""

    def __init__(self, epoch: str, began_ns: int) -> None:
        self.epoch = epoch
        self.began_ns = began_ns
        self.number = 0  # of the next entry
        self._first = 0  # of the entries since the snapshot
        self._generation = 0
        self._entries_bytes = 0
        self._snapshot_bytes = 0

    def entry(self, steps: list[list[Any]], offsets: Mapping[str, int], size_bytes: int) -> dict[str, Row]:
        """One more. size_bytes: about how large it is."""
        row = {"number": self.number, "steps": steps, "offsets": dict(offsets)}
        key = f"{self.epoch}/e{self.number - self._first}"
        self.number += 1
        self._entries_bytes += size_bytes
        return {key: row}

    @property
    def due(self) -> bool:
        """The entries outweigh a snapshot."""
        return self._entries_bytes > max(ENTRIES_BYTES_MIN, ENTRIES_PER_SNAPSHOT * self._snapshot_bytes)

    def snapshot(self, state: Any, offsets: Mapping[str, int]) -> dict[str, Row]:
        """All of it, the head last. Numbers beyond 64 bits stay exact, so this is JSON of the standard library."""
        text = json.dumps({"state": state, "offsets": dict(offsets)}, separators=(",", ":"))
        parts = [text[start : start + PART_CHARACTERS] for start in range(0, len(text), PART_CHARACTERS)]
        rows: dict[str, Row] = {
            f"{self.epoch}/s{self._generation % 2}/{index}": {"text": part} for index, part in enumerate(parts)
        }
        rows[f"{self.epoch}/head"] = {
            "began_ns": self.began_ns, "generation": self._generation, "parts": len(parts), "number": self.number,
        }  # fmt: skip
        self._generation += 1
        self._first = self.number
        self._entries_bytes, self._snapshot_bytes = 0, len(text)
        return rows
