"""Which tape, read how: a LOBSTER or ITCH file, or a seeded flow where there is none."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from ._files import Progress, TapeFile
from .errors import TapeOptions, TapeUnreadable
from .flow import FlowOptions, generate
from .itch import read_itch
from .lobster import common_step, read_lobster
from .messages import TapeMessage

FORMATS = ("auto", "lobster", "itch")
_SNIFFED_BYTES = 64
_LOBSTER_START = re.compile(rb"\d{1,5}(\.\d*)?,")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A tape to be read once, or again from the start."""

    name: str
    kind: str  # lobster, itch or flow
    step: int  # ten-thousandths in a tick
    message_count: int  # 0: not known before the end
    path: Path | None = None
    symbol: str = ""
    stock_locate: int = 0
    flow: FlowOptions | None = None

    @property
    def many_symbols(self) -> bool:
        """Whether there may be thousands of instruments."""
        return self.kind == "itch" and not self.symbol and not self.stock_locate

    def messages(self, progress: Progress | None = None) -> Iterator[TapeMessage]:
        """The tape from its start. Progress tells bytes of the file, or messages of a flow."""
        if self.path is None:
            return self._flow_messages(progress)
        if self.kind == "lobster":
            return read_lobster(self.path, progress=progress)
        return read_itch(self.path, symbol=self.symbol, stock_locate=self.stock_locate, progress=progress)

    def _flow_messages(self, progress: Progress | None) -> Iterator[TapeMessage]:
        for message in generate(self.message_count, self.flow):
            if progress is not None:
                progress(message.index, self.message_count)
            yield message


def flow_source(count: int, options: FlowOptions) -> Source:
    """A seeded flow of `count` messages."""
    return Source(
        name=f"seeded flow, seed {options.seed}", kind="flow", step=options.tick, message_count=count, flow=options
    )


def file_source(path: Path, kind: str = "auto", tick: int = 0, symbol: str = "", stock_locate: int = 0) -> Source:
    """A file, its format told by its first bytes unless given; tick 0 chooses: LOBSTER's common step, ITCH's 1.

    Raises TapeOptions, TapeUnreadable, and TapeInvalid (a LOBSTER file is read through once to find its step).
    """
    if kind not in FORMATS:
        raise TapeOptions(f"a format must be one of {', '.join(FORMATS)}, was {kind!r}")
    if tick < 0:
        raise TapeOptions(f"a tick must be above 0 ten-thousandths (0: chosen from the tape), was {tick}")
    if kind == "auto":
        with TapeFile(path) as file:
            start = file.read(_SNIFFED_BYTES)
        if not start:
            raise TapeUnreadable("a tape must hold something, was empty", detail=path.name, hint="get the file again")
        kind = "lobster" if _LOBSTER_START.match(start) else "itch"
    if kind == "itch":
        return Source(
            name=path.name,
            kind=kind,
            step=tick or 1,
            message_count=0,
            path=path,
            symbol=symbol,
            stock_locate=stock_locate,
        )
    if symbol or stock_locate:
        raise TapeOptions(
            "a symbol or stock locate can be chosen of an ITCH file, this is a LOBSTER file", detail=path.name
        )
    step, count = common_step(path)
    return Source(name=path.name, kind=kind, step=tick or step, message_count=count, path=path)
