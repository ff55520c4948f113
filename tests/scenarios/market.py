"""Runs a section: sends what its lines say, writes what came in the words of the language, and compares.

What the words leave out is checked for every event all the same: its numbers (n, sequence, report number, trade id,
book update id, level 3 id), its time, its account, instrument and client's number, its reference, and that what has no
meaning in its kind is zero.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections import Counter
from typing import TypeAlias

from schemas.vocabulary import (
    CHECKSUM_LEVEL_COUNT,
    REPORT_BYTES,
    Cancel,
    Code,
    Digest,
    EventKind,
    InstrumentState,
    Kind,
    Level3Action,
    LinkAction,
    Logon,
    MassCancel,
    NewOrder,
    Nonce,
    OrderLink,
    OrderTerms,
    Record,
    Replace,
    Report,
    ReportFlag,
    Side,
    Text,
    TradingState,
    Trigger,
)
from tests.scenarios import money
from tests.scenarios.commands import (
    ACCOUNTS,
    ASSETS,
    INSTRUMENTS,
    KEYS,
    NAMES,
    UNITS_NS,
    Command,
    Said,
    number_of,
    read_line,
)
from tests.scenarios.exchanges import Diverged, Exchange, Invalid, book_line
from tests.scenarios.language import Line, ScenarioError, Section

Prefix: TypeAlias = Text | Nonce | OrderTerms | OrderLink
START_NS = 1_700_000_000_000_000_000
OPENING = """
engine term 1
admin define asset USD decimals=2
admin define asset BTC decimals=8
admin define instrument BTC-USD
admin define account alice
admin define account bob
admin define account carol
admin deposit alice USD 100,000
admin deposit bob USD 100,000
admin deposit carol USD 100,000
admin deposit alice BTC 1,000
admin deposit bob BTC 1,000
admin deposit carol BTC 1,000
"""
OF_CLOCK = {EventKind.BOOK_CHECKSUM, EventKind.INDICATIVE}
HIDDEN = {
    "reports": {EventKind.BOOK_UPDATE, EventKind.TOP, EventKind.LEVEL3} | OF_CLOCK,
    "book": {EventKind.TOP, EventKind.LEVEL3} | OF_CLOCK,
    "top": {EventKind.BOOK_UPDATE, EventKind.LEVEL3} | OF_CLOCK,
    "orders": {EventKind.TOP} | OF_CLOCK,
    "clock": {EventKind.BOOK_UPDATE, EventKind.TOP, EventKind.LEVEL3},
    "all": set(),
}
BOOK_FIELDS = {"flags", "instrument", "price_ticks", "quantity_lots"}
ORDER_FIELDS = BOOK_FIELDS | {"account", "order_id", "client_order_id", "remaining_lots"}
MEANING: dict[EventKind, set[str]] = {  # the fields that may be other than zero
    EventKind.ACCEPTED: ORDER_FIELDS | {"reference", "amount_units"},
    EventKind.REJECTED: (ORDER_FIELDS - {"remaining_lots"}) | {"code", "reference"},
    EventKind.FILLED: ORDER_FIELDS | {"reference", "amount_units"},
    EventKind.CANCELLED: ORDER_FIELDS | {"code", "reference"},
    EventKind.REPLACED: ORDER_FIELDS | {"reference"},
    EventKind.APPLIED: {"account", "instrument", "order_id", "client_order_id", "quantity_lots", "reference"},
    EventKind.TRIGGERED: ORDER_FIELDS | {"reference"},
    EventKind.TRADE: BOOK_FIELDS | {"order_id", "client_order_id", "reference"},
    EventKind.BOOK_UPDATE: BOOK_FIELDS | {"remaining_lots", "reference"},
    EventKind.TOP: BOOK_FIELDS | {"remaining_lots", "reference"},
    EventKind.STATE: {"code", "instrument", "account", "quantity_lots", "reference"},
    EventKind.BOOK_CHECKSUM: {"instrument", "quantity_lots", "remaining_lots", "reference", "amount_units"},
    EventKind.INDICATIVE: BOOK_FIELDS | {"remaining_lots", "reference"},
    EventKind.LEVEL3: BOOK_FIELDS | {"code", "order_id", "reference"},
    EventKind.BALANCE: {"account", "instrument", "quantity_lots", "remaining_lots", "reference", "amount_units"},
    **money.MEANING,
}
BREAKERS = ["", " by level 1", " by level 2", " by level 3", " by band"]
NUMBERING = {"kind", "n", "key", "report_number", "sequence", "received_ns"}
PUBLIC = {
    EventKind.TRADE,
    EventKind.BOOK_UPDATE,
    EventKind.TOP,
    EventKind.STATE,
    EventKind.LEVEL3,
    EventKind.BALANCE,
    *OF_CLOCK,
    *money.MEANING,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """An order as its command entered it."""

    key: int
    account: int
    instrument: int
    side: int
    number: int


def name_in(names: dict[str, int], number: int) -> str:
    return next((name for name, value in names.items() if value == number), str(number))


def role_name(report: Report) -> str:
    if report.flags & ReportFlag.AUCTION:
        return "auction"
    return "maker" if report.flags & ReportFlag.MAKER else "taker"


def in_units(duration_ns: int) -> str:
    """In the largest unit that it is a whole number of."""
    unit = next(unit for unit in ("s", "ms", "us", "ns") if duration_ns % UNITS_NS[unit] == 0)
    return f"{duration_ns // UNITS_NS[unit]}{unit}"


def side_name(report: Report) -> str:
    return "sell" if report.flags & ReportFlag.SELL else "buy"


class Market:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.now_ns = START_NS
        self.sequence = 0
        self.client_sequences: Counter[int] = Counter()
        self.report_numbers: Counter[int] = Counter()
        self.ids: Counter[tuple[int, EventKind]] = Counter()
        self.labels: dict[str, int] = {}
        self.entered: dict[int, Entered] = {}
        self.waiting = b""  # prefixes sent with nothing behind them yet
        self.shown = "reports"
        self.codes: set[int] = set()

    # ---- lines

    def run(self, section: Section) -> None:
        lines = list(section.lines)
        if lines and lines[0].text == "opening none":
            lines.pop(0)
        else:
            for text in OPENING.strip().splitlines():
                self.run_line(Line(place="opening", text=text, expected=None))
        for line in lines:
            try:
                self.run_line(line)
            except ScenarioError as error:
                raise ScenarioError(f"{line.place}: {line.text}: {error}") from None
            self.exchange.check()

    def run_line(self, line: Line) -> None:
        words = line.words()
        if words[0] == "show":
            self.shown = words[1]
        elif words[0] == "repeat":
            for _ in range(int(words[1])):
                self.run_line(dataclasses.replace(line, text=" ".join(words[2:])))
        elif words[0] in ("book", "balance", "floor", "position", "fees", "reference"):
            self.compare(line, self.answer(words))
        elif len(words) > 1 and words[1] == "prefix":
            self.wait_with_prefix(words)
        else:
            self.compare(line, self.send(read_line(words, self.labels)))

    def compare(self, line: Line, found: list[tuple[str, Report | None]]) -> None:
        if line.expected is None:
            return
        wanted = [event for event in line.expected if event != "nothing"]
        texts = [text for text, _ in found]
        for place, event in enumerate(wanted[: len(found)]):
            texts[place] += details(event, found[place][1], {**NAMES, **self.labels})
        assert texts == wanted, "\n".join(
            [
                f"{line.place}: {line.text}",
                *(f"  expected {text}" for text in wanted),
                *(f"  found    {text}" for text in texts),
            ]
        )

    # ---- questions

    def answer(self, words: list[str]) -> list[tuple[str, Report | None]]:
        match words:
            case ["book", *which]:
                text = book_line(self.exchange, INSTRUMENTS[which[0]] if which else 1)
                return [(side, None) for side in text.split(", ")]
            case ["balance", whose, what]:
                free, locked = self.exchange.balance(ACCOUNTS[whose], ASSETS[what])
                return [(f"free {free} locked {locked}", None)]
            case ["floor", whose, what]:
                return [(str(self.exchange.floor(ACCOUNTS[whose], ASSETS[what])), None)]
            case ["position", whose, *which]:
                held, buying, selling = self.exchange.position(ACCOUNTS[whose], INSTRUMENTS[which[0]] if which else 1)
                return [(f"{held} buying {buying} selling {selling}", None)]
            case ["fees", what]:
                return [(str(self.exchange.fees(ASSETS[what])), None)]
            case ["reference", what]:
                return [(str(self.exchange.reference_price(INSTRUMENTS[what])), None)]
        raise ScenarioError(f"a question is needed, found {words}")

    # ---- sending

    def wait_with_prefix(self, words: list[str]) -> None:
        """`alice prefix text X`, `alice prefix nonce 7`: sent with the next line; it belongs to that only by chance."""
        key = KEYS[words[0]]
        client_sequence = self.client_sequences[key] + 1
        prefix = self.lone_prefix(words[2], words[3:])
        self.append(dataclasses.replace(prefix, client_sequence=client_sequence).pack(), key)

    def lone_prefix(self, kind: str, said: list[str]) -> Prefix:
        match kind:
            case "text":
                return text_prefix(said[0])
            case "nonce":
                return self.nonce_prefix(int(said[0]), 0)
            case "terms":
                return OrderTerms(trigger=Trigger.STOP)
            case _:
                return OrderLink(order_id=number_of(said[0], self.labels), action=LinkAction.CANCEL_FIRST)

    def append(self, command: bytes, key: int) -> None:
        self.waiting += Record(command=command, key=key, received_ns=self.now_ns).pack()

    def nonce_prefix(self, number: int, age_ns: int) -> Nonce:
        return Nonce(timestamp_ns=self.now_ns - age_ns, nonce=number.to_bytes(16, "little"))

    def send(self, said: Said) -> list[tuple[str, Report | None]]:
        """Send one command with its prefixes and whatever waits before it; what came of it, in words."""
        self.now_ns += said.after_ns
        group = self.group_of(said)
        counted = said.key > 0 and not isinstance(said.command, Logon) and said.command.KIND != Kind.LOGOFF
        client_sequence = self.client_sequences[said.key] if counted else 0
        for command in group:
            client_sequence += counted
            data = dataclasses.replace(command, client_sequence=client_sequence).pack()
            self.append(with_byte(data, said.byte if command is group[-1] else said.prefix_byte), said.key)
        data, self.waiting = self.waiting, b""
        try:
            events = self.exchange.apply(data)
        except Invalid:
            return [("invalid", None)]
        except Diverged:
            return [("diverged", None)]
        if counted:
            self.client_sequences[said.key] = client_sequence
        self.sequence += len(data) // Record.BYTES
        reports = [Report.unpack(events, offset) for offset in range(0, len(events), REPORT_BYTES)]
        return self.tell(said, client_sequence, reports)

    def group_of(self, said: Said) -> list[Command | Prefix]:
        group: list[Command | Prefix] = []
        if said.text is not None:
            group.append(text_prefix(said.text))
        if said.nonce is not None and not isinstance(said.command, Logon):
            group.append(self.nonce_prefix(said.nonce, said.age_ns))
        if said.terms is not None:
            expire_ns = self.due_at(said) or said.terms.expire_ns
            group.append(dataclasses.replace(said.terms, expire_ns=expire_ns))
        if said.link is not None:
            group.append(said.link)
        return [*group, self.filled_in(said)]

    def due_at(self, said: Said) -> int:
        return 0 if said.due_ns is None else self.now_ns + said.due_ns

    def filled_in(self, said: Said) -> Command:
        command = said.command
        if isinstance(command, InstrumentState) and said.due_ns is not None:
            return dataclasses.replace(command, auction_ends_ns=self.due_at(said))
        if isinstance(command, Digest):
            return Digest(state_digest=self.exchange.digest() ^ said.wrong)
        if isinstance(command, Logon):
            nonce = self.nonce_prefix(said.nonce or 0, said.age_ns)
            return dataclasses.replace(command, timestamp_ns=nonce.timestamp_ns, nonce=nonce.nonce)
        return command

    # ---- what came of it

    def tell(self, said: Said, client_sequence: int, reports: list[Report]) -> list[tuple[str, Report | None]]:
        """Check what every event must be, and say those that are shown in words."""
        found: list[tuple[str, Report | None]] = []
        for n, report in enumerate(reports):
            if report.kind == EventKind.ACCEPTED:
                self.enter(said, report)
            check = f"{EventKind(report.kind).name.lower()} n={report.n}: "
            assert report.n == n, check + f"n must be {n}"
            assert report.sequence == self.sequence, check + f"sequence must be {self.sequence}, was {report.sequence}"
            assert report.received_ns == self.now_ns, check + "received_ns must be that of the command"
            self.check_numbers(report, check)
            self.check_meaning(report, check)
            self.check_reference(said, client_sequence, report, check)
            self.codes.add(report.code if report.kind in (EventKind.REJECTED, EventKind.CANCELLED) else Code.NONE)
            if report.kind not in HIDDEN[self.shown]:
                found.append((self.in_words(report) + self.to_whom(said, report), report))
        return found

    def enter(self, said: Said, report: Report) -> None:
        command = said.command
        assert isinstance(command, NewOrder)
        assert report.order_id == self.sequence, "an order's id must be the sequence of its record"
        assert report.remaining_lots == report.quantity_lots, "what was accepted must remain"
        self.labels[said.label or f"#{report.order_id}"] = report.order_id
        self.entered[report.order_id] = Entered(
            key=said.key,
            account=command.account,
            instrument=command.instrument,
            side=command.side,
            number=command.client_order_id,
        )

    def check_numbers(self, report: Report, check: str) -> None:
        """Dense numbers: of reports within a key, of trades, book updates and level 3 within an instrument."""
        if report.kind in PUBLIC:
            assert (report.key, report.report_number) == (0, 0), check + "a public event has no key"
        else:
            self.report_numbers[report.key] += 1
            assert report.report_number == self.report_numbers[report.key], check + "report numbers must be dense"
        if report.kind in (EventKind.TRADE, EventKind.BOOK_UPDATE, EventKind.TOP, EventKind.LEVEL3):
            place = (report.instrument, EventKind(report.kind))
            self.ids[place] += 1
            assert report.reference == self.ids[place], check + f"reference must be {self.ids[place]}"
        if report.kind in OF_CLOCK:
            last = self.ids[report.instrument, EventKind.BOOK_UPDATE]
            assert report.reference == last, check + f"reference must be that of the last book update, {last}"
        if report.kind == EventKind.BOOK_CHECKSUM:
            levels = [self.exchange.levels(report.instrument, side)[:CHECKSUM_LEVEL_COUNT] for side in Side]
            assert [report.quantity_lots, report.remaining_lots] == [len(side) for side in levels], check + "levels"
            data = b"".join(number.to_bytes(8, "little") for side in levels for level in side for number in level)
            assert report.amount_units == zlib.crc32(data), check + f"the sum must be {zlib.crc32(data)}"

    def check_meaning(self, report: Report, check: str) -> None:
        for field in dataclasses.fields(report):
            if field.name not in NUMBERING | MEANING[EventKind(report.kind)]:
                assert getattr(report, field.name) == 0, check + f"{field.name} must be 0"

    def check_reference(self, said: Said, client_sequence: int, report: Report, check: str) -> None:
        """Reports on an order are the order's own; those to the sender carry the client sequence."""
        match report.kind:
            case EventKind.ACCEPTED | EventKind.FILLED | EventKind.CANCELLED | EventKind.REPLACED | EventKind.TRIGGERED:
                entered = self.entered[report.order_id]
                assert (
                    Entered(
                        key=report.key,
                        account=report.account,
                        instrument=report.instrument,
                        side=Side.SELL if report.flags & ReportFlag.SELL else Side.BUY,
                        number=report.client_order_id,
                    )
                    == entered
                ), check + "a report on an order must be as the order was entered"
                if report.kind in (EventKind.FILLED, EventKind.TRIGGERED):
                    expected = self.ids[report.instrument, EventKind.TRADE]
                else:
                    expected = client_sequence if self.asked_for(said, report) else 0
                assert report.reference == expected, check + f"reference must be {expected}"
            case EventKind.APPLIED | EventKind.REJECTED:
                assert report.reference == client_sequence, check + f"reference must be {client_sequence}"
            case EventKind.BALANCE:
                assert report.reference == getattr(said.command, "reference", 0), check + "reference is the sender's"

    def asked_for(self, said: Said, report: Report) -> bool:
        """Whether the key of this report's order sent the command that names the order."""
        if report.kind == EventKind.CANCELLED and report.code != Code.CANCELLED_BY_REQUEST:
            return False
        return report.key == said.key and isinstance(said.command, NewOrder | Cancel | Replace | MassCancel)

    # ---- words

    def to_whom(self, said: Said, report: Report) -> str:
        """` to desk`: where a report goes, unless it goes where one expects it."""
        if report.kind in PUBLIC:
            return ""
        expected = said.key if report.kind in (EventKind.APPLIED, EventKind.REJECTED) else report.account
        return "" if report.key == expected else f" to {name_in(KEYS, report.key)}"

    def label(self, order_id: int) -> str:
        return name_in(self.labels, order_id)

    def in_words(self, report: Report) -> str:
        label = self.label(report.order_id)
        lots = f"{report.quantity_lots} @ {report.price_ticks}"
        left = f" left {report.remaining_lots}" if report.remaining_lots else ""
        done = " done" if report.flags & ReportFlag.DONE else ""
        match report.kind:
            case EventKind.ACCEPTED:
                amount = f" for {report.amount_units}" if report.amount_units else ""
                return f"accepted {label} {side_name(report)} {lots}{amount}"
            case EventKind.TRIGGERED:
                return f"triggered {label} {side_name(report)} {lots}{left}"
            case EventKind.REJECTED:
                return f"rejected {Code(report.code).name.lower()}"
            case EventKind.FILLED:
                role = role_name(report)
                return f"filled {label} {lots} {role} fee {report.amount_units}{left}{done}"
            case EventKind.CANCELLED:
                code = Code(report.code).name.lower()
                return f"cancelled {label} {lots} {code}{left}{done}"
            case EventKind.REPLACED:
                kept = " kept" if report.flags & ReportFlag.KEPT_PRIORITY else ""
                return f"replaced {label} {lots}{left}{kept}"
            case EventKind.APPLIED:
                return f"applied {report.quantity_lots}" if report.quantity_lots else "applied"
            case EventKind.TRADE:
                action = "sold" if report.flags & ReportFlag.SELL else "bought"
                action = "auction" if report.flags & ReportFlag.AUCTION else action
                return f"trade {label}/{self.label(report.client_order_id)} {lots} {action}"
            case EventKind.BOOK_UPDATE:
                level = f"{report.quantity_lots} in {report.remaining_lots}" if report.quantity_lots else "gone"
                return f"level {side_name(report)} {report.price_ticks}: {level}"
            case EventKind.TOP:
                level = f"{lots} in {report.remaining_lots}" if report.quantity_lots else "none"
                return f"top {side_name(report)} {level}"
            case EventKind.LEVEL3:
                return f"l3 {Level3Action(report.code).name.lower()} {label} {side_name(report)} {lots}"
            case EventKind.STATE:
                ends = f" ends {in_units(report.reference - self.now_ns)}" if report.reference else ""
                by = BREAKERS[report.quantity_lots]
                return f"state {self.whose_state(report)} {TradingState(report.code).name.lower()}{ends}{by}"
            case EventKind.BOOK_CHECKSUM:
                levels = f"{report.quantity_lots} bids {report.remaining_lots} asks"
                return f"checksum {name_in(INSTRUMENTS, report.instrument)} {levels}"
            case EventKind.INDICATIVE:
                surplus = f" {side_name(report)} surplus {report.remaining_lots}" if report.remaining_lots else ""
                offer = f"{lots}{surplus}" if report.quantity_lots else "none"
                return f"indicative {name_in(INSTRUMENTS, report.instrument)} {offer}"
            case EventKind.TRADE_BUST | EventKind.TRADE_CORRECTION | EventKind.ADJUSTMENT:
                return money.in_words(report, name_in(ACCOUNTS, report.account))
            case _:
                change = f"{name_in(ASSETS, report.instrument)} {report.amount_units:+}"
                whose = name_in(ACCOUNTS, report.account)
                return f"balance {whose} {change} free {report.quantity_lots} locked {report.remaining_lots}"

    def whose_state(self, report: Report) -> str:
        if report.instrument:
            return name_in(INSTRUMENTS, report.instrument)
        return name_in(ACCOUNTS, report.account) if report.account else "everything"


def with_byte(data: bytes, byte: tuple[int, int] | None) -> bytes:
    """The same bytes, but for one."""
    if byte is None:
        return data
    offset, value = byte
    return data[:offset] + bytes([value]) + data[offset + 1 :]


def text_prefix(text: str) -> Text:
    return Text(text=text.encode().ljust(36, b"\0"))


def details(event: str, report: Report | None, names: dict[str, int]) -> str:
    """` {price_ticks=5}`: the fields that an expected event names in braces, as they are in the report."""
    braces = re.search(r"\{(.*)\}", event)
    if braces is None or report is None:
        return ""
    values = []
    for word in braces[1].split():
        name = word.partition("=")[0]
        wanted = word.partition("=")[2]
        value = getattr(report, name)
        values.append(word if value == number_of(wanted, names) else f"{name}={value}")
    return f" {{{' '.join(values)}}}"
