"""LOBSTER message files: six columns a line, one line an event of one symbol.

    34200.004241176,1,16113575,18,5853300,1
    │               │ │        │  │       └ direction of the order: 1 buy, -1 sell
    │               │ │        │  └ price × 10,000
    │               │ │        └ shares
    │               │ └ order id
    │               └ type: 1 new, 2 partial cancel, 3 delete, 4 visible execution, 5 hidden execution, 6 cross, 7 halt
    └ seconds after midnight

Plain or gzip. All arithmetic is in whole numbers: no float ever sees a time or a price. Some files were written by
way of floats and show it (35821.088778456004): digits behind the ninth are rounded to the nearest
nanosecond. The symbol is taken from the file's name (TICKER_date_start_end_message_levels.csv) where it has that form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from schemas.vocabulary import PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, Side

from ._files import Progress, pieces
from .errors import TapeInvalid, TapeUnreadable
from .messages import NS_PER_SECOND, TapeKind, TapeMessage

LINE_BYTES_MAX = 256
COLUMN_COUNT = 6
DAY_SECONDS = 86_400
KINDS = {
    b"1": TapeKind.ADD,
    b"2": TapeKind.REDUCE,
    b"3": TapeKind.DELETE,
    b"4": TapeKind.EXECUTE,
    b"5": TapeKind.HIDDEN,
    b"6": TapeKind.CROSS,
    b"7": TapeKind.HALT,
}
HALT_KINDS = {-1: TapeKind.HALT, 0: TapeKind.QUOTE_ONLY, 1: TapeKind.RESUME}
SIDES = {b"1": int(Side.BUY), b"-1": int(Side.SELL)}
NAME = re.compile(r"(?P<symbol>[A-Za-z0-9.]{1,16})_\d{4}-\d\d-\d\d_.*message")
NUMBER = re.compile(rb"-?\d{1,19}")
TIME = re.compile(rb"(\d{1,5})(?:\.(\d{0,9})(\d{0,21}))?")


def symbol_of(path: Path) -> str:
    """The ticker in a LOBSTER file's name, "" if the name is of another form."""
    match = NAME.match(path.name)
    return match["symbol"].upper() if match else ""


def read_lobster(path: Path, *, progress: Progress | None = None) -> Iterator[TapeMessage]:
    """The messages of a LOBSTER message file, one at a time, in the file's order.

    Raises TapeUnreadable (no such file, cut-off gzip, nothing in it) and TapeInvalid (names the line, what must hold,
    what was found).
    """
    symbol = symbol_of(path)
    last_ns = 0
    line_number = 0
    for line_number, line in _lines(path, progress):
        message = _message(path, line_number, line, symbol)
        if message.time_ns < last_ns:
            raise _invalid(path, line_number, "times must not fall", line, "sort the file by time, or get it again")
        last_ns = message.time_ns
        yield message
    if line_number == 0:
        raise TapeUnreadable("a LOBSTER file must have a line, was empty", detail=path.name, hint="get the file again")


def common_step(path: Path) -> tuple[int, int]:
    """(step, count): the greatest number that divides the price of every arrival (1 if there is none), and how many
    messages there are.
    """
    step = 0
    count = 0
    for message in read_lobster(path):
        count += 1
        if message.kind is TapeKind.ADD:
            step = math.gcd(step, message.price)
    return max(step, 1), count


def _lines(path: Path, progress: Progress | None) -> Iterator[tuple[int, bytes]]:
    rest = b""
    number = 0
    for piece in pieces(path, progress):
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        for line in lines:
            number += 1
            yield number, line.removesuffix(b"\r")
        if len(rest) > LINE_BYTES_MAX:
            raise _invalid(
                path,
                number + 1,
                f"a line must be at most {LINE_BYTES_MAX} bytes",
                rest,
                "is this a LOBSTER message file?",
            )
    if rest:
        yield number + 1, rest.removesuffix(b"\r")


def _message(path: Path, line_number: int, line: bytes, symbol: str) -> TapeMessage:
    columns = line.split(b",")
    if len(columns) != COLUMN_COUNT:
        raise _invalid(
            path, line_number, f"a line must have {COLUMN_COUNT} columns (had {len(columns)})", line,
            "use the message file, not the order book file",
        )  # fmt: skip
    time_text, kind_text, id_text, quantity_text, price_text, side_text = columns
    kind = KINDS.get(kind_text)
    if kind is None:
        raise _invalid(path, line_number, "the type (column 2) must be 1 to 7", line)
    order_id = _number(path, line_number, "the order id (column 3)", id_text, line)
    quantity = _number(path, line_number, "the size (column 4)", quantity_text, line)
    price = _number(path, line_number, "the price (column 5)", price_text, line)
    side = SIDES.get(side_text)
    if side is None:
        raise _invalid(path, line_number, "the direction (column 6) must be 1 or -1", line)
    time_ns = _time_ns(path, line_number, time_text, line)
    if kind is TapeKind.HALT:
        if price not in HALT_KINDS:
            raise _invalid(path, line_number, "the price of a trading halt must be -1, 0 or 1", line)
        return TapeMessage(index=line_number, time_ns=time_ns, kind=HALT_KINDS[price], symbol=symbol)
    if not 1 <= price <= PRICE_TICKS_MAX:
        raise _invalid(path, line_number, f"the price (column 5) must be 1 to {PRICE_TICKS_MAX}", line)
    if not 1 <= quantity <= QUANTITY_LOTS_MAX:
        raise _invalid(path, line_number, f"the size (column 4) must be 1 to {QUANTITY_LOTS_MAX}", line)
    if kind is TapeKind.CROSS:
        return TapeMessage(index=line_number, time_ns=time_ns, kind=kind, symbol=symbol, price=price, quantity=quantity)
    if order_id < 0 or (order_id == 0 and kind is not TapeKind.HIDDEN):
        raise _invalid(path, line_number, "the order id (column 3) must be above 0", line)
    return TapeMessage(
        index=line_number, time_ns=time_ns, kind=kind, symbol=symbol, order_id=order_id, side=side, price=price,
        quantity=quantity,
    )  # fmt: skip


def _time_ns(path: Path, line_number: int, text: bytes, line: bytes) -> int:
    match = TIME.fullmatch(text)
    if match is None:
        raise _invalid(
            path,
            line_number,
            "the time (column 1) must be seconds after midnight with at most 30 digits behind the point",
            line,
        )
    seconds = int(match[1])
    if seconds >= DAY_SECONDS:
        raise _invalid(path, line_number, f"the time (column 1) must be below {DAY_SECONDS} seconds", line)
    round_up = (match[3] or b"0")[0] >= ord("5")
    return seconds * NS_PER_SECOND + int((match[2] or b"").ljust(9, b"0")) + round_up


def _number(path: Path, line_number: int, what: str, text: bytes, line: bytes) -> int:
    if NUMBER.fullmatch(text) is None:
        raise _invalid(path, line_number, f"{what} must be a whole number", line)
    return int(text)


def _invalid(path: Path, line_number: int, must: str, line: bytes, hint: str = "") -> TapeInvalid:
    shown = line[:80].decode("ascii", "backslashreplace")
    return TapeInvalid(
        f"{must}, line was {shown!r}",
        detail=f"{path.name}, line {line_number}",
        hint=hint or "correct the line, or get the file again",
    )
