"""ITCH 5.0: every kind of message by hand-made bytes, orders followed to their ends, and every kind of bad input."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import pytest

from ironbook.tape import TapeInvalid, TapeKind, TapeOptions, TapeUnreadable, read_itch, read_messages
from ironbook.tape.itch import MESSAGES, SIZES
from schemas.vocabulary import Side

# Sizes as the public specification states them, the length's two bytes left out.
SPECIFIED_BYTES = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40, "E": 31,
    "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48,
}  # fmt: skip


def head(code: str, locate: int = 1, time_ns: int = 34_200_000_000_000) -> bytes:
    return code.encode() + struct.pack(">HH", locate, 7) + time_ns.to_bytes(6, "big")


def framed(*bodies: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(body)) + body for body in bodies)


def add(order_id: int, side: str, shares: int, price: int, locate: int = 1, stock: str = "ABC") -> bytes:
    body = struct.pack(">Q1sI8sI", order_id, side.encode(), shares, stock.ljust(8).encode(), price)
    return head("A", locate) + body


def executed(order_id: int, shares: int, match: int = 1, locate: int = 1) -> bytes:
    return head("E", locate) + struct.pack(">QIQ", order_id, shares, match)


def executed_at(order_id: int, shares: int, price: int) -> bytes:
    return head("C") + struct.pack(">QIQ1sI", order_id, shares, 1, b"Y", price)


def cancelled(order_id: int, shares: int) -> bytes:
    return head("X") + struct.pack(">QI", order_id, shares)


def deleted(order_id: int) -> bytes:
    return head("D") + struct.pack(">Q", order_id)


def replaced(order_id: int, new_id: int, shares: int, price: int) -> bytes:
    return head("U") + struct.pack(">QQII", order_id, new_id, shares, price)


def write(directory: Path, data: bytes) -> Path:
    path = directory / "day.itch50"
    path.write_bytes(data)
    return path


def of_kind(code: str) -> tuple[bytes, dict[str, int | str]]:
    """A message of a kind with a different value in each field, and those values."""
    body, fields = head(code), {}
    for number, field in enumerate(MESSAGES[code][1].split(", "), start=1):
        name, kind = field.split()
        size = int(kind[1:])
        if kind[0] == "u":
            fields[name] = number * 1000 + size
            body += (number * 1000 + size).to_bytes(size, "big")
        else:
            text = chr(ord("A") + number % 26) * min(size, 3)
            fields[name] = text
            body += text.ljust(size).encode()
    return body, fields


def test_sizes_are_those_of_the_specification() -> None:
    assert SIZES == SPECIFIED_BYTES


@pytest.mark.parametrize("code", list(MESSAGES))
def test_every_kind_is_read_field_by_field(tmp_path: Path, code: str) -> None:
    body, fields = of_kind(code)
    (message,) = read_messages(write(tmp_path, framed(body)))
    assert message.code == code
    assert message.name == MESSAGES[code][0]
    assert (message.index, message.offset, message.stock_locate, message.tracking_number) == (1, 0, 1, 7)
    assert message.time_ns == 34_200_000_000_000
    assert message.fields == fields


def test_orders_are_followed_so_that_every_message_has_side_and_price(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        framed(
            add(1, "B", 100, 500_000), add(2, "S", 50, 500_100), executed(1, 30), cancelled(1, 20),
            executed_at(1, 10, 499_900),
            executed_at(1, 5, 500_000), replaced(1, 3, 80, 500_050), deleted(3), cancelled(2, 50),
        ),
    )  # fmt: skip
    assert [(m.kind, m.order_id, m.side, m.price, m.quantity, m.new_order_id) for m in read_itch(path)] == [
        (TapeKind.ADD, 1, Side.BUY, 500_000, 100, 0),
        (TapeKind.ADD, 2, Side.SELL, 500_100, 50, 0),
        (TapeKind.EXECUTE, 1, Side.BUY, 500_000, 30, 0),
        (TapeKind.REDUCE, 1, Side.BUY, 500_000, 20, 0),
        (TapeKind.EXECUTE_AT, 1, Side.BUY, 499_900, 10, 0),
        (TapeKind.EXECUTE, 1, Side.BUY, 500_000, 5, 0),
        (TapeKind.REPLACE, 1, Side.BUY, 500_050, 80, 3),
        (TapeKind.DELETE, 3, Side.BUY, 500_050, 80, 0),
        (TapeKind.DELETE, 2, Side.SELL, 500_100, 50, 0),
    ]


def test_trades_crosses_halts_and_the_rest_get_their_kinds(tmp_path: Path) -> None:
    trade = head("P") + struct.pack(">Q1sI8sIQ", 0, b"B", 10, b"ABC     ", 500_000, 9)
    cross = head("Q") + struct.pack(">Q8sIQ1s", 1000, b"ABC     ", 500_000, 9, b"O")
    states = [
        head("H") + struct.pack(">8s1s1s4s", b"ABC     ", state, b" ", b"    ") for state in (b"H", b"P", b"Q", b"T")
    ]
    path = write(tmp_path, framed(trade, cross, *states, of_kind("S")[0]))
    assert [(m.kind, m.symbol) for m in read_itch(path)] == [
        (TapeKind.HIDDEN, "ABC"),
        (TapeKind.CROSS, "ABC"),
        (TapeKind.HALT, "ABC"),
        (TapeKind.HALT, "ABC"),
        (TapeKind.QUOTE_ONLY, "ABC"),
        (TapeKind.RESUME, "ABC"),
        (TapeKind.OTHER, "ABC"),
    ]


def test_messages_of_orders_from_before_the_tape_have_no_side(tmp_path: Path) -> None:
    path = write(
        tmp_path, framed(executed(9, 5), cancelled(9, 5), deleted(9), replaced(9, 10, 5, 100), executed(10, 5))
    )
    assert [(m.kind, m.order_id, m.side) for m in read_itch(path)] == [
        (TapeKind.EXECUTE, 9, 0),
        (TapeKind.REDUCE, 9, 0),
        (TapeKind.DELETE, 9, 0),
        (TapeKind.REPLACE, 9, 0),
        (TapeKind.EXECUTE, 10, 0),
    ]


def test_a_symbol_or_a_stock_locate_is_chosen(tmp_path: Path) -> None:
    path = write(
        tmp_path, framed(add(1, "B", 1, 100, 1, "ABC"), add(2, "B", 1, 100, 2, "XYZ"), executed(2, 1, locate=2))
    )
    assert [m.order_id for m in read_itch(path)] == [1, 2, 2]
    assert [(m.order_id, m.symbol) for m in read_itch(path, symbol="XYZ")] == [(2, "XYZ"), (2, "XYZ")]
    assert [m.order_id for m in read_itch(path, stock_locate=1)] == [1]
    with pytest.raises(TapeOptions, match="symbol NONE must be on the tape") as caught:
        list(read_itch(path, symbol="NONE"))
    assert "ABC, XYZ" in caught.value.hint
    with pytest.raises(TapeOptions, match="stock locate 3 must be on the tape"):
        list(read_itch(path, stock_locate=3))
    with pytest.raises(TapeOptions, match="either a symbol or a stock locate"):
        list(read_itch(path, symbol="ABC", stock_locate=1))


def test_a_length_of_zero_ends_the_session(tmp_path: Path) -> None:
    path = write(tmp_path, framed(add(1, "B", 1, 100)) + b"\0\0")
    assert len(list(read_messages(path))) == 1
    with pytest.raises(TapeInvalid, match="nothing must follow a length of zero"):
        list(read_messages(write(tmp_path, framed(add(1, "B", 1, 100)) + b"\0\0" + framed(deleted(1)))))


def test_blank_lengths_throughout_are_read_by_the_table(tmp_path: Path) -> None:
    path = write(tmp_path, b"\0\0" + add(1, "B", 1, 100) + b"\0\0" + deleted(1))
    assert [m.code for m in read_messages(path)] == ["A", "D"]


@pytest.mark.parametrize(
    ("data", "must", "found", "message"),
    [
        (framed(add(1, "B", 1, 100), b"Z" + bytes(20)), "type must be one of", "b'Z'", 2),
        (b"\0\x25" + add(1, "B", 1, 100) + b"\0", "length of a add_order must be 36", "37", 1),
        (framed(add(1, "B", 1, 100))[:-1], "end behind a whole message", "37 bytes", 1),
        (framed(add(1, "B", 1, 100)) + b"\0", "end behind a whole message", "1 bytes", 2),
        (framed(add(1, "B", 1, 100)) + b"\0\x13D", "end behind a whole message", "3 bytes", 2),
        (framed(head("W", 0, 86_400_000_000_000) + b"1"), "timestamp must be below", "86400000000000", 1),
        (framed(head("S", 0) + b"\xff"), "event_code must be ASCII", "xff", 1),
        (framed(add(1, "X", 1, 100)), "side must be B or S", "'X'", 1),
        (framed(add(1, "B", 0, 100)), "price and shares above 0", "0 @ 100", 1),
        (framed(add(1, "B", 1, 0)), "price and shares above 0", "1 @ 0", 1),
        (framed(add(1, "B", 1, 100), add(1, "B", 1, 100)), "an id that none open has", "1", 2),
        (framed(add(1, "B", 1, 100), executed(1, 2)), "at most the 1 that order 1 has left", "2", 2),
        (framed(add(1, "B", 1, 100), executed(1, 0)), "shares must be above 0", "0", 2),
        (framed(add(1, "B", 1, 100), cancelled(1, 5)), "at most the 1 that order 1 has left", "5", 2),
        (framed(add(1, "B", 1, 100), replaced(1, 2, 0, 100)), "price and shares above 0", "0 @ 100", 2),
        (framed(add(1, "B", 1, 100), add(2, "B", 1, 100), replaced(1, 2, 1, 100)), "an id that none open has", "2", 3),
        (framed(head("H") + b"ABC     ? HALT"), "trading state must be H, P, Q or T", "'?'", 1),
    ],
)
def test_bad_input_is_named_with_message_what_must_hold_and_what_was_found(
    tmp_path: Path, data: bytes, must: str, found: str, message: int
) -> None:
    path = write(tmp_path, data)
    with pytest.raises(TapeInvalid) as caught:
        list(read_itch(path))
    assert must in caught.value.message
    assert found in caught.value.message
    assert f"message {message} at unpacked byte" in caught.value.detail
    assert caught.value.hint


def test_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TapeUnreadable, match="must have a message"):
        list(read_messages(write(tmp_path, b"")))
    with pytest.raises(TapeUnreadable, match="must be a readable file"):
        list(read_messages(tmp_path / "none"))


def test_random_bytes_and_random_cuts_end_in_a_named_error_or_a_clean_end(tmp_path: Path) -> None:
    rng = random.Random(5)
    whole = framed(*(of_kind(code)[0] for code in MESSAGES), add(1, "B", 5, 100), executed(1, 5)) * 3
    for _ in range(300):
        data = bytearray(whole[: rng.randrange(len(whole))])
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        packed = gzip.compress(bytes(data)) if rng.randrange(2) else bytes(data)
        try:
            list(read_itch(write(tmp_path, packed)))
        except (TapeInvalid, TapeUnreadable) as error:
            assert error.detail  # noqa: PT017
