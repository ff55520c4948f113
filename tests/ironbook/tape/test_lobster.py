"""LOBSTER files: what is read, and what every kind of bad line says."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ironbook.tape import TapeInvalid, TapeKind, TapeMessage, TapeUnreadable, common_step, read_lobster
from schemas.vocabulary import Side

GOOD = """\
34200.004241176,1,16113575,18,5853300,1
34200.025551909,2,16113575,8,5853300,1
34200.1,4,16113575,5,5853300,1
34201,3,16113575,5,5853300,1
34201.5,5,0,100,5853350,-1
34202.000000001,6,-1,500,5853400,1
34203.,7,0,0,-1,-1
34203.,7,0,0,0,-1
34204,7,0,0,1,-1
"""


def write(directory: Path, text: str, name: str = "AAPL_2012-06-21_34200000_37800000_message_50.csv") -> Path:
    path = directory / name
    path.write_bytes(text.encode())
    return path


def test_each_type_is_read_with_exact_time_and_price(tmp_path: Path) -> None:
    messages = list(read_lobster(write(tmp_path, GOOD)))
    assert [(m.index, m.time_ns, m.kind, m.order_id, m.side, m.price, m.quantity) for m in messages] == [
        (1, 34_200_004_241_176, TapeKind.ADD, 16113575, Side.BUY, 5853300, 18),
        (2, 34_200_025_551_909, TapeKind.REDUCE, 16113575, Side.BUY, 5853300, 8),
        (3, 34_200_100_000_000, TapeKind.EXECUTE, 16113575, Side.BUY, 5853300, 5),
        (4, 34_201_000_000_000, TapeKind.DELETE, 16113575, Side.BUY, 5853300, 5),
        (5, 34_201_500_000_000, TapeKind.HIDDEN, 0, Side.SELL, 5853350, 100),
        (6, 34_202_000_000_001, TapeKind.CROSS, 0, 0, 5853400, 500),
        (7, 34_203_000_000_000, TapeKind.HALT, 0, 0, 0, 0),
        (8, 34_203_000_000_000, TapeKind.QUOTE_ONLY, 0, 0, 0, 0),
        (9, 34_204_000_000_000, TapeKind.RESUME, 0, 0, 0, 0),
    ]
    assert {m.symbol for m in messages} == {"AAPL"}


def test_packed_and_plain_files_read_the_same_whatever_their_name(tmp_path: Path) -> None:
    plain = write(tmp_path, GOOD, "x_message.csv")
    packed = tmp_path / "y_message.csv"
    packed.write_bytes(gzip.compress(GOOD.encode()))
    assert list(read_lobster(plain)) == list(read_lobster(packed))
    assert {m.symbol for m in read_lobster(plain)} == {""}


def test_windows_line_ends_and_a_missing_last_newline_are_read(tmp_path: Path) -> None:
    text = GOOD.replace("\n", "\r\n").removesuffix("\r\n")
    assert list(read_lobster(write(tmp_path, text))) == list(read_lobster(write(tmp_path, GOOD)))


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("0.000000000", 0),
        ("86399.999999999", 86_399_999_999_999),
        ("35821.088778456004", 35_821_088_778_456),  # digits that a float left behind
        ("35821.0887784559996", 35_821_088_778_456),
        ("34200.0000000005", 34_200_000_000_001),
        ("34200.123", 34_200_123_000_000),
    ],
)
def test_time_is_whole_nanoseconds_by_integer_arithmetic(tmp_path: Path, text: str, time_ns: int) -> None:
    (message,) = read_lobster(write(tmp_path, f"{text},1,7,1,100,1\n"))
    assert message.time_ns == time_ns


def test_common_step_is_that_of_the_arrivals_alone(tmp_path: Path) -> None:
    text = "1,1,1,1,5853300,1\n2,1,2,1,5853350,1\n3,5,0,1,5853325,1\n"
    assert common_step(write(tmp_path, text)) == (50, 3)
    assert common_step(write(tmp_path, "3,5,0,1,5853325,1\n")) == (1, 1)


LINE = "34200.5,1,7,100,5853300,1"


@pytest.mark.parametrize(
    ("line", "must", "found"),
    [
        ("34200.5,1,7,100,5853300", "6 columns (had 5)", "5853300"),
        ("34200.5,1,7,100,5853300,1,9", "6 columns (had 7)", ",9"),
        ("", "6 columns (had 1)", "''"),
        ("34200.5,8,7,100,5853300,1", "type (column 2) must be 1 to 7", ",8,"),
        ("34200.5,,7,100,5853300,1", "type (column 2) must be 1 to 7", ",,"),
        ("34200.5,1,7x,100,5853300,1", "order id (column 3) must be a whole number", "7x"),
        ("34200.5,1,0,100,5853300,1", "order id (column 3) must be above 0", ",0,"),
        ("34200.5,4,-7,100,5853300,1", "order id (column 3) must be above 0", "-7"),
        ("34200.5,1,7,1e2,5853300,1", "size (column 4) must be a whole number", "1e2"),
        ("34200.5,1,7,0,5853300,1", "size (column 4) must be 1 to", ",0,"),
        ("34200.5,1,7,-5,5853300,1", "size (column 4) must be 1 to", "-5"),
        ("34200.5,1,7,281474976710656,5853300,1", "size (column 4) must be 1 to 281474976710655", "281474976710656"),
        ("34200.5,1,7,100,585.33,1", "price (column 5) must be a whole number", "585.33"),
        ("34200.5,1,7,100,0,1", "price (column 5) must be 1 to", ",0,"),
        ("34200.5,1,7,100,281474976710656,1", "price (column 5) must be 1 to 281474976710655", "281474976710656"),
        ("34200.5,1,7,100,5853300,0", "direction (column 6) must be 1 or -1", ",0"),
        ("34200.5,1,7,100,5853300,B", "direction (column 6) must be 1 or -1", "B"),
        ("09:30:00,1,7,100,5853300,1", "time (column 1) must be seconds after midnight", "09:30:00"),
        ("-1.5,1,7,100,5853300,1", "time (column 1) must be seconds after midnight", "-1.5"),
        ("86400.0,1,7,100,5853300,1", "time (column 1) must be below 86400 seconds", "86400.0"),
        ("34200.5,7,0,0,2,-1", "price of a trading halt must be -1, 0 or 1", ",2,"),
        ("34199.5,1,7,100,5853300,1", "times must not fall", "34199.5"),
        ("\x00\xff,1,7,100,5853300,1", "time (column 1) must be", "\\\\x"),
    ],
)
def test_a_bad_line_is_named_with_what_must_hold_and_what_was_found(
    tmp_path: Path, line: str, must: str, found: str
) -> None:
    path = write(tmp_path, f"34200.4,1,6,100,5853300,1\n{line}\n{LINE}\n")
    with pytest.raises(TapeInvalid) as caught:
        list(read_lobster(path))
    assert must in caught.value.message
    assert found in caught.value.message
    assert caught.value.detail == f"{path.name}, line 2"
    assert caught.value.hint


def test_a_file_without_lines_is_cut_off_by_length(tmp_path: Path) -> None:
    with pytest.raises(TapeInvalid, match="at most 256 bytes"):
        list(read_lobster(write(tmp_path, "7" * 1_000_000)))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TapeUnreadable, match="must have a line"):
        list(read_lobster(write(tmp_path, "")))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TapeUnreadable, match="must be a readable file"):
        list(read_lobster(tmp_path / "none.csv"))


def test_a_cut_off_gzip_gives_its_lines_and_then_says_that_it_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "cut_message.csv.gz"
    packed = gzip.compress("".join(f"{i},1,{i},1,100,1\n" for i in range(1, 50_001)).encode())
    path.write_bytes(packed[: len(packed) // 2])
    read: list[TapeMessage] = []
    with pytest.raises(TapeUnreadable, match="must be whole"):
        read.extend(read_lobster(path))


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad_message.csv.gz"
    packed = bytearray(gzip.compress(GOOD.encode() * 1000))
    packed[40:60] = bytes(20)
    path.write_bytes(packed)
    with pytest.raises((TapeUnreadable, TapeInvalid)):
        list(read_lobster(path))


def test_progress_tells_how_far_the_file_is_read(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = write(tmp_path, "".join(f"{i},1,{i},1,100,1\n" for i in range(1, 50_001)))
    list(read_lobster(path, progress=lambda read, total: told.append((read, total))))
    assert told[-1] == (path.stat().st_size, path.stat().st_size)
    assert len(told) > 1
