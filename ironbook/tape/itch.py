"""NASDAQ TotalView-ITCH 5.0: binary messages, each behind a length of two bytes, big-endian throughout.

    00 24 │ 41 │ 00 02 │ 00 00 │ 1c 52 20 27 c0 55 │ 00 … 00 │ 42 │ 00 00 03 e8 │ "BOB     " │ 00 00 cf af
    length  'A'  locate  track   ns after midnight   order id  'B'  shares        stock        price × 10,000

Every kind of the specification is in MESSAGES below, field by field; the sizes follow from the fields and are checked
against the specification's by a test. `read_messages` gives each message with all its fields; `read_itch` gives what
happened to orders, in the words of messages.py, for one symbol, one stock locate, or all.

Executions, cancels and deletes name only an order id. `read_itch` therefore keeps side, price and rest of every order
that the tape says is open, and nothing else: memory grows with open orders, not with the length of the file.

Some writers leave all lengths zero. A file whose first length is zero is read by the sizes of the table; in any other
file a zero length ends the session, and must be the last thing in it.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from schemas.vocabulary import Side

from ._files import Progress, pieces
from .errors import TapeInvalid, TapeOptions, TapeUnreadable
from .messages import NS_PER_SECOND, TapeKind, TapeMessage

LENGTH_BYTES = 2
DAY_NS = 86_400 * NS_PER_SECOND

# code: (name, its fields behind the head). Types: uN is an unsigned number of N bytes, aN is text of N bytes. The head
# is the same in all: type a1, stock_locate u2, tracking_number u2, timestamp u6.
MESSAGES: dict[str, tuple[str, str]] = {
    "S": ("system_event", "event_code a1"),
    "R": (
        "stock_directory",
        "stock a8, market_category a1, financial_status a1, round_lot_size u4, round_lots_only a1, "
        "issue_classification a1, issue_subtype a2, authenticity a1, short_sale_threshold a1, ipo_flag a1, "
        "luld_tier a1, etp_flag a1, etp_leverage u4, inverse a1",
    ),
    "H": ("trading_action", "stock a8, trading_state a1, reserved a1, reason a4"),
    "Y": ("reg_sho_restriction", "stock a8, action a1"),
    "L": (
        "market_participant_position",
        "mpid a4, stock a8, primary_market_maker a1, market_maker_mode a1, participant_state a1",
    ),
    "V": ("mwcb_decline_level", "level_1 u8, level_2 u8, level_3 u8"),
    "W": ("mwcb_status", "breached_level a1"),
    "K": ("ipo_quoting_period", "stock a8, release_time u4, release_qualifier a1, ipo_price u4"),
    "J": ("luld_auction_collar", "stock a8, reference_price u4, upper_price u4, lower_price u4, extension u4"),
    "h": ("operational_halt", "stock a8, market_code a1, halt_action a1"),
    "A": ("add_order", "order_id u8, side a1, shares u4, stock a8, price u4"),
    "F": ("add_order_mpid", "order_id u8, side a1, shares u4, stock a8, price u4, attribution a4"),
    "E": ("order_executed", "order_id u8, shares u4, match_number u8"),
    "C": ("order_executed_at_price", "order_id u8, shares u4, match_number u8, printable a1, price u4"),
    "X": ("order_cancel", "order_id u8, shares u4"),
    "D": ("order_delete", "order_id u8"),
    "U": ("order_replace", "order_id u8, new_order_id u8, shares u4, price u4"),
    "P": ("trade", "order_id u8, side a1, shares u4, stock a8, price u4, match_number u8"),
    "Q": ("cross_trade", "shares u8, stock a8, price u4, match_number u8, cross_type a1"),
    "B": ("broken_trade", "match_number u8"),
    "I": (
        "net_order_imbalance",
        "paired_shares u8, imbalance_shares u8, direction a1, stock a8, far_price u4, near_price u4, "
        "reference_price u4, cross_type a1, price_variation a1",
    ),
    "N": ("retail_interest", "stock a8, interest_flag a1"),
    "O": (
        "direct_listing_price_discovery",
        "stock a8, open_eligibility a1, minimum_price u4, maximum_price u4, near_execution_price u4, "
        "near_execution_time u8, lower_price u4, upper_price u4",
    ),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ItchMessage:
    """One message with all its fields: whole numbers, and text without its padding."""

    index: int  # from 1
    offset: int  # of its length, in unpacked bytes
    code: str  # one letter of the specification
    name: str
    stock_locate: int
    tracking_number: int
    time_ns: int  # nanoseconds after midnight
    fields: dict[str, int | str]


class _Layout:
    """One row of MESSAGES, ready to read."""

    def __init__(self, code: str, name: str, fields: str) -> None:
        self.code = code
        self.name = name
        pairs = [field.split() for field in fields.split(", ")]
        self.names = tuple(pair[0] for pair in pairs)
        self.is_text = tuple(pair[1].startswith("a") for pair in pairs)
        numbers = {"u2": "H", "u4": "I", "u8": "Q"}
        parts = [f"{pair[1][1:]}s" if pair[1].startswith("a") else numbers[pair[1]] for pair in pairs]
        self.struct = struct.Struct(">xHHHI" + "".join(parts))  # the 6-byte time is read as 2 and 4
        self.size = self.struct.size


LAYOUTS: dict[int, _Layout] = {ord(code): _Layout(code, name, fields) for code, (name, fields) in MESSAGES.items()}
SIZES: dict[str, int] = {layout.code: layout.size for layout in LAYOUTS.values()}


def read_messages(path: Path, *, progress: Progress | None = None) -> Iterator[ItchMessage]:
    """Every message of an ITCH 5.0 file, one at a time.

    Raises TapeUnreadable (no such file, cut-off gzip, nothing in it) and TapeInvalid (names message and byte, what must
    hold, what was found).
    """
    index = 0
    for index, offset, layout, values in _raw_messages(path, progress):
        locate, tracking, high, low = values[:4]
        rest = values[4:]
        time_ns = high << 32 | low
        if time_ns >= DAY_NS:
            _fail(path, index, offset, f"a timestamp must be below {DAY_NS} ns", str(time_ns))
        fields: dict[str, int | str] = {}
        for name, is_text, value in zip(layout.names, layout.is_text, rest, strict=True):
            if is_text:
                if not value.isascii():
                    _fail(path, index, offset, f"{name} must be ASCII", repr(value))
                fields[name] = value.decode("ascii").rstrip(" ")
            else:
                fields[name] = value
        yield ItchMessage(
            index=index, offset=offset, code=layout.code, name=layout.name, stock_locate=locate,
            tracking_number=tracking, time_ns=time_ns, fields=fields,
        )  # fmt: skip
    if index == 0:
        raise TapeUnreadable("an ITCH file must have a message, was empty", detail=path.name, hint="get the file again")


def read_itch(
    path: Path, *, symbol: str = "", stock_locate: int = 0, progress: Progress | None = None
) -> Iterator[TapeMessage]:
    """What happened to the orders of one symbol, of one stock locate, or (by default) of all.

    Messages that concern no single stock (system events, market-wide breakers) come with all choices, as OTHER. Raises
    as read_messages, TapeInvalid also where an order's messages contradict each other, and TapeOptions if the symbol or
    locate never appears.
    """
    if symbol and stock_locate:
        raise TapeOptions("either a symbol or a stock locate must be chosen, were both", hint="leave one of them out")
    reader = _OrderReader(path)
    found = not symbol and not stock_locate
    for message in read_messages(path, progress=progress):
        stock = message.fields.get("stock")
        if message.stock_locate and isinstance(stock, str):
            reader.symbols[message.stock_locate] = stock
        name = reader.symbols.get(message.stock_locate, "")
        if message.stock_locate:
            if (symbol and name != symbol) or (stock_locate and message.stock_locate != stock_locate):
                continue
            found = True
        yield reader.read(message, name)
    if not found:
        wanted = f"symbol {symbol}" if symbol else f"stock locate {stock_locate}"
        known = ", ".join(sorted(set(reader.symbols.values()))[:20])
        raise TapeOptions(
            f"{wanted} must be on the tape, was not", detail=path.name, hint=f"on it are: {known or 'none'}"
        )


class _OrderReader:
    """Turns messages into the words of messages.py, knowing every order that the tape says is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.symbols: dict[int, str] = {}  # by stock locate
        self.open: dict[int, list[int]] = {}  # order id: [side, price, rest]

    def read(self, message: ItchMessage, symbol: str) -> TapeMessage:
        code = message.code
        if code in ("A", "F"):
            return self._add(message, symbol)
        if code in ("E", "C"):
            return self._execution(message, symbol)
        if code in ("X", "D", "U"):
            return self._change(message, symbol)
        if code == "P":
            return self._message(
                message, TapeKind.HIDDEN, symbol, order_id=self._int(message, "order_id"), side=self._side(message),
                price=self._int(message, "price"), quantity=self._int(message, "shares"),
            )  # fmt: skip
        if code == "Q":
            return self._message(
                message,
                TapeKind.CROSS,
                symbol,
                price=self._int(message, "price"),
                quantity=self._int(message, "shares"),
            )
        if code == "H":
            state = str(message.fields["trading_state"])
            kinds = {"H": TapeKind.HALT, "P": TapeKind.HALT, "Q": TapeKind.QUOTE_ONLY, "T": TapeKind.RESUME}
            if state not in kinds:
                self._fail(message, "the trading state must be H, P, Q or T", repr(state))
            return self._message(message, kinds[state], symbol)
        return self._message(message, TapeKind.OTHER, symbol)

    def _add(self, message: ItchMessage, symbol: str) -> TapeMessage:
        order_id = self._int(message, "order_id")
        side, price, shares = self._side(message), self._int(message, "price"), self._int(message, "shares")
        if order_id in self.open:
            self._fail(message, "an order that arrives must have an id that none open has", str(order_id))
        if price == 0 or shares == 0:
            self._fail(message, "an order must have a price and shares above 0", f"{shares} @ {price}")
        self.open[order_id] = [side, price, shares]
        return self._message(message, TapeKind.ADD, symbol, order_id=order_id, side=side, price=price, quantity=shares)

    def _execution(self, message: ItchMessage, symbol: str) -> TapeMessage:
        order_id, shares = self._int(message, "order_id"), self._int(message, "shares")
        side, own_price = self._take(message, order_id, shares)
        price = self._int(message, "price") if message.code == "C" else own_price
        kind = TapeKind.EXECUTE_AT if message.code == "C" and price != own_price else TapeKind.EXECUTE
        return self._message(message, kind, symbol, order_id=order_id, side=side, price=price, quantity=shares)

    def _change(self, message: ItchMessage, symbol: str) -> TapeMessage:
        order_id = self._int(message, "order_id")
        if message.code == "X":
            shares = self._int(message, "shares")
            side, price = self._take(message, order_id, shares)
            gone = side != 0 and order_id not in self.open  # a partial cancel of all that was left
            kind = TapeKind.DELETE if gone else TapeKind.REDUCE
            return self._message(message, kind, symbol, order_id=order_id, side=side, price=price, quantity=shares)
        side, price, rest = self.open.pop(order_id, (0, 0, 0))
        if message.code == "D":
            return self._message(
                message, TapeKind.DELETE, symbol, order_id=order_id, side=side, price=price, quantity=rest
            )
        new_id, shares, price = (
            self._int(message, "new_order_id"),
            self._int(message, "shares"),
            self._int(message, "price"),
        )
        if new_id in self.open:
            self._fail(message, "a replacement must have an id that none open has", str(new_id))
        if price == 0 or shares == 0:
            self._fail(message, "an order must have a price and shares above 0", f"{shares} @ {price}")
        if side:  # of an order from before the tape's start the side is not known: its successor isn't either
            self.open[new_id] = [side, price, shares]
        return self._message(
            message,
            TapeKind.REPLACE,
            symbol,
            order_id=order_id,
            side=side,
            price=price,
            quantity=shares,
            new_order_id=new_id,
        )

    def _take(self, message: ItchMessage, order_id: int, shares: int) -> tuple[int, int]:
        """Take shares off an open order; (side, price), zeros if the tape never showed it arriving."""
        order = self.open.get(order_id)
        if shares == 0:
            self._fail(message, "shares must be above 0", "0")
        if order is None:
            return 0, 0
        if shares > order[2]:
            self._fail(message, f"shares must be at most the {order[2]} that order {order_id} has left", str(shares))
        order[2] -= shares
        if order[2] == 0:
            del self.open[order_id]
        return order[0], order[1]

    def _side(self, message: ItchMessage) -> int:
        side = message.fields["side"]
        if side not in ("B", "S"):
            self._fail(message, "a side must be B or S", repr(side))
        return int(Side.BUY if side == "B" else Side.SELL)

    @staticmethod
    def _int(message: ItchMessage, name: str) -> int:
        value = message.fields[name]
        assert isinstance(value, int)
        return value

    @staticmethod
    def _message(
        message: ItchMessage, kind: TapeKind, symbol: str, *, order_id: int = 0, side: int = 0, price: int = 0,
        quantity: int = 0, new_order_id: int = 0,
    ) -> TapeMessage:  # fmt: skip
        return TapeMessage(
            index=message.index, time_ns=message.time_ns, kind=kind, symbol=symbol, order_id=order_id, side=side,
            price=price, quantity=quantity, new_order_id=new_order_id,
        )  # fmt: skip

    def _fail(self, message: ItchMessage, must: str, found: str) -> NoReturn:
        _fail(self.path, message.index, message.offset, f"{must} ({message.name})", found)


def _raw_messages(path: Path, progress: Progress | None) -> Iterator[tuple[int, int, _Layout, tuple[Any, ...]]]:
    """(index, offset, layout, its values) of each message."""
    held = b""
    start = 0  # offset of held in the unpacked file
    index = 0
    lengths_blank: bool | None = None
    ended = False
    for piece in pieces(path, progress):
        held += piece
        at = 0
        while len(held) - at > LENGTH_BYTES:
            if ended:
                _fail(
                    path,
                    index + 1,
                    start + at,
                    "nothing must follow a length of zero, which ends a session",
                    f"byte {held[at]}",
                )
            length = held[at] << 8 | held[at + 1]
            code = held[at + LENGTH_BYTES]
            if lengths_blank is None:
                lengths_blank = length == 0
            if length == 0 and not lengths_blank:
                ended = True
                at += LENGTH_BYTES
                continue
            layout = LAYOUTS.get(code)
            if layout is None:
                _fail(
                    path,
                    index + 1,
                    start + at,
                    f"a message's type must be one of {''.join(MESSAGES)}",
                    repr(bytes([code])),
                )
            if length != layout.size and not lengths_blank:
                _fail(path, index + 1, start + at, f"the length of a {layout.name} must be {layout.size}", str(length))
            end = at + LENGTH_BYTES + layout.size
            if end > len(held):
                break
            index += 1
            yield index, start + at, layout, layout.struct.unpack_from(held, at + LENGTH_BYTES)
            at = end
        start += at
        held = held[at:]
    if held and not (len(held) == LENGTH_BYTES and held == bytes(LENGTH_BYTES) and not lengths_blank):
        _fail(path, index + 1, start, "a tape must end behind a whole message", f"{len(held)} bytes of one more")


def _fail(path: Path, index: int, offset: int, must: str, found: str) -> NoReturn:
    raise TapeInvalid(
        f"{must}, found {found}",
        detail=f"{path.name}, message {index} at unpacked byte {offset}",
        hint="get the file again; is it NASDAQ TotalView-ITCH 5.0?",
    )
