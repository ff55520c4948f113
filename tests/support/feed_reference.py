"""A slow second encoder of events, from the contract's pages: what the compiled feed must say, event by event.

It reads the 96 bytes of each event and asks the core, as it is after the command, for everything else. Numbers are
`Fraction`s. States (balances, tops, books, definitions) are not made here: tests compare those with the core.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from engine_node._engine import Core
from schemas import vocabulary as v

_EVENT = struct.Struct("<BBHIIIHHIQQQQqqqQq")  # the report's 6 bytes of number are an H and an I
_MASK = (1 << 32) - 1
Event = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An event as the core hands it out."""

    kind: int
    flags: int
    code: int
    instrument: int
    account: int
    n: int
    key: int
    report_number: int
    sequence: int
    received_ns: int
    order_id: int
    client_order_id: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int
    reference: int
    amount_units: int


def read_events(data: bytes) -> Iterator[Raw]:
    for at in range(0, len(data), v.REPORT_BYTES):
        kind, flags, code, instrument, account, n, key, low, high, *rest = _EVENT.unpack_from(data, at)
        names = [field.name for field in dataclasses.fields(Raw)][8:]
        yield Raw(
            kind=kind,
            flags=flags,
            code=code,
            instrument=instrument,
            account=account,
            n=n,
            key=key,
            report_number=high << 16 | low,
            **dict(zip(names, rest, strict=True)),
        )


def partition(key: str, count: int) -> int:
    """Kafka's murmur2, as the Java client's sources have it."""
    data = key.encode()
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * 0x5BD1E995 & _MASK
        k = (k ^ k >> 24) * 0x5BD1E995 & _MASK
        h = h * 0x5BD1E995 & _MASK ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & _MASK
    h = (h ^ h >> 13) * 0x5BD1E995 & _MASK
    return ((h ^ h >> 15) & 0x7FFFFFFF) % count


def decimals_of(step: Fraction) -> int | None:
    """The fewest digits behind the point that hold a step exactly; None: there is no end to them."""
    return next((digits for digits in range(64) if (step * 10**digits).denominator == 1), None)


def fixed(value: Fraction, digits: int) -> str:
    scaled = value * 10**digits
    assert scaled.denominator == 1
    text = str(abs(scaled.numerator)).rjust(digits + 1, "0")
    sign = "-" if scaled < 0 else ""
    return sign + (text if digits == 0 else f"{text[:-digits]}.{text[-digits:]}")


def steps_text(count: int, step: Fraction) -> str:
    digits = decimals_of(step)
    return f"{count * step.numerator}/{step.denominator}" if digits is None else fixed(count * step, digits)


@dataclasses.dataclass(frozen=True, slots=True)
class Market:
    symbol: str
    number: int
    tick: Fraction
    lot: Fraction
    quote: str
    quote_decimals: int
    quote_units_per_tick_lot: int

    def price(self, ticks: int) -> str:
        return steps_text(ticks, self.tick)

    def quantity(self, lots: int) -> str:
        return steps_text(lots, self.lot)


def market(core: Core, number: int) -> Market | None:
    found: Any = core.instrument(number)
    if found is None:
        return None
    base: Any = core.asset(found["base_asset"])
    quote: Any = core.asset(found["quote_asset"])
    lot = Fraction(found["base_units_per_lot"], 10 ** base["decimals"])
    return Market(
        symbol=found["name"],
        number=number,
        tick=Fraction(found["quote_units_per_tick_lot"], 10 ** quote["decimals"]) / lot,
        lot=lot,
        quote=quote["name"],
        quote_decimals=quote["decimals"],
        quote_units_per_tick_lot=found["quote_units_per_tick_lot"],
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A command's records, behind those that turned out void."""

    records: bytes
    void_count: int


class Command:
    """A group of records: the one that closes it, and what its prefixes say."""

    def __init__(self, group: Group) -> None:
        first = group.void_count * v.RECORD_BYTES
        records = [group.records[at : at + v.RECORD_BYTES] for at in range(first, len(group.records), v.RECORD_BYTES)]
        self.closing = records[-1]
        prefixes = {record[0]: record for record in records[:-1]}
        nonce, text = prefixes.get(v.Kind.NONCE), prefixes.get(v.Kind.TEXT)
        self.named: Event = {}
        if nonce is not None:
            self.named["nonce"] = nonce[16:32].hex()
        self.text: Event = {}
        if text is not None:
            self.text["text"] = text[8:44].split(b"\0")[0].decode(errors="replace")

    @property
    def kind(self) -> str:
        kind = self.closing[0]
        if kind == v.Kind.REFUSED and self.closing[26] in v.Kind._value2member_map_:
            kind = self.closing[26]
        return v.Kind(kind).name.lower()


class Encoder:
    """Events of one command after the other as (topic, partition, event)."""

    def __init__(self, core: Core, *, shard: int = 0, firm_partitions: int = 8, symbol_partitions: int = 8) -> None:
        self.core = core
        self.shard = shard
        self.firm_partitions = firm_partitions
        self.symbol_partitions = symbol_partitions

    def apply(self, group: Group) -> Iterator[tuple[str, int, Event]]:
        command = Command(group)
        for raw in read_events(self.core.apply(group.records)):
            yield from self._event(command, raw)

    def _event(self, command: Command, raw: Raw) -> Iterator[tuple[str, int, Event]]:
        name = v.EventKind(raw.kind).name.lower()
        found = market(self.core, raw.instrument)
        if name in ("top", "level3"):
            return
        if name == "balance":
            yield self._of_firm("balances", raw, self._balance(raw))
        elif name in ("accepted", "rejected", "filled", "cancelled", "replaced", "applied", "triggered", "adjustment"):
            yield self._of_firm("executions", raw, self._execution(name, command, raw, found))
        elif found is None:
            scope: Event = {"scope": "account" if raw.account else "everything"}
            scope["state"] = v.TradingState(raw.code).name.lower()
            scope |= {"account": raw.account} if raw.account else {}
            yield "market.state", 0, self._whole("state", raw, scope)
        else:
            topic, kind, fields = self._of_market(name, raw, found)
            yield topic, partition(found.symbol, self.symbol_partitions), self._whole(kind, raw, fields)

    def _whole(self, kind: str, raw: Raw, fields: Event) -> Event:
        head = {"type": kind, "shard": self.shard, "seq": raw.sequence, "n": raw.n, "received_ns": raw.received_ns}
        return head | fields

    def _firm(self, account: int) -> int:
        found = self.core.account(account)
        return found["firm"] if found is not None else 0

    def _of_firm(self, topic: str, raw: Raw, told: tuple[str, Event]) -> tuple[str, int, Event]:
        kind, fields = told
        place = partition(str(self._firm(raw.account)), self.firm_partitions)
        return topic, place, self._whole(kind, raw, fields)

    def _balance(self, raw: Raw) -> tuple[str, Event]:
        asset: Any = self.core.asset(raw.instrument)

        def amount(units: int) -> str:
            return fixed(Fraction(units, 10 ** asset["decimals"]), asset["decimals"])

        return "withdrawal" if raw.amount_units < 0 else "deposit", {
            "firm": self._firm(raw.account),
            "account": raw.account,
            "asset": asset["name"],
            "asset_number": raw.instrument,
            "free": amount(raw.quantity_lots),
            "locked": amount(raw.remaining_lots),
            "free_units": raw.quantity_lots,
            "locked_units": raw.remaining_lots,
            "amount": amount(raw.amount_units),
            "amount_units": raw.amount_units,
            "reference": raw.reference,
        }

    def _execution(self, name: str, command: Command, raw: Raw, found: Market | None) -> tuple[str, Event]:
        base: Event = {
            "firm": self._firm(raw.account),
            "account": raw.account,
            "key": raw.key,
            "report_number": raw.report_number,
            "code": v.Code(raw.code).name.lower(),
        }
        if name == "rejected":
            names: Event = {"symbol": found.symbol} if found is not None else {}
            names |= {"instrument": raw.instrument} if raw.instrument else {}
            said = {"client_order_id": raw.client_order_id, "reference": raw.reference}
            return name, base | {"kind": command.kind} | names | said | command.named | command.text
        if name == "applied":
            said = {"order_count": raw.quantity_lots, "order_id": raw.order_id, "reference": raw.reference}
            return name, base | {"kind": command.kind} | said | command.named | command.text
        assert found is not None
        named: Event = {"symbol": found.symbol, "instrument": raw.instrument, "side": side(raw)}
        if name == "adjustment":
            return name, base | named | {
                "trade_id": raw.reference,
                "price_ticks": raw.price_ticks,
                "quantity_lots": raw.quantity_lots,
                "position_change_lots": raw.remaining_lots,
                "amount_units": raw.amount_units,
            }
        order = named | {"order_id": raw.order_id, "client_order_id": raw.client_order_id} | size(raw, found)
        order |= {"remaining_lots": raw.remaining_lots, "done": bool(raw.flags & v.ReportFlag.DONE)}
        return name, base | order | self._order_fields(name, command, raw, found)

    @staticmethod
    def _order_fields(name: str, command: Command, raw: Raw, found: Market) -> Event:
        match name:
            case "accepted":
                order = v.NewOrder.unpack(command.closing)
                fields: Event = {
                    "order_type": v.OrderType(order.order_type).name.lower(),
                    "time_in_force": v.TimeInForce(order.time_in_force).name.lower(),
                    "post_only": bool(order.options & v.OrderOption.POST_ONLY),
                }
                return fields | command.named | command.text
            case "filled":
                return {
                    "trade_id": raw.reference,
                    "maker": bool(raw.flags & v.ReportFlag.MAKER),
                    "auction": bool(raw.flags & v.ReportFlag.AUCTION),
                    "notional_units": raw.price_ticks * raw.quantity_lots * found.quote_units_per_tick_lot,
                    "fee_units": raw.amount_units,
                    "fee": fixed(Fraction(raw.amount_units, 10**found.quote_decimals), found.quote_decimals),
                    "quote": found.quote,
                }
            case "replaced":
                return {"kept_priority": bool(raw.flags & v.ReportFlag.KEPT_PRIORITY)} | command.named
            case "triggered":
                return {"trade_id": raw.reference}
        return {}

    @staticmethod
    def _of_market(name: str, raw: Raw, found: Market) -> tuple[str, str, Event]:
        named: Event = {"symbol": found.symbol, "instrument": raw.instrument}
        updated = named | {"update_id": raw.reference}
        match name:
            case "trade":
                return (
                    "trades",
                    "trade",
                    named
                    | {"trade_id": raw.reference}
                    | size(raw, found)
                    | {
                        "side": side(raw),
                        "maker_order_id": raw.order_id,
                        "taker_order_id": raw.client_order_id,
                        "auction": bool(raw.flags & v.ReportFlag.AUCTION),
                        "notional_units": raw.price_ticks * raw.quantity_lots * found.quote_units_per_tick_lot,
                    },
                )
            case "trade_bust" | "trade_correction":
                told = named | {"trade_id": raw.reference} | size(raw, found)
                return "trades", name.removeprefix("trade_"), told
            case "book_update":
                level = updated | {"side": side(raw)} | size(raw, found) | {"order_count": raw.remaining_lots}
                return "book", "level", level
            case "book_checksum":
                counts = {"bid_count": raw.quantity_lots, "ask_count": raw.remaining_lots}
                return "book", "checksum", updated | {"crc32": raw.amount_units} | counts
            case "indicative":
                priced = {"price": found.price(raw.price_ticks)} if raw.price_ticks else {}
                return (
                    "market.state",
                    "indicative",
                    updated
                    | priced
                    | {
                        "price_ticks": raw.price_ticks,
                        "quantity_lots": raw.quantity_lots,
                        "imbalance_lots": raw.remaining_lots,
                        "side": side(raw),
                    },
                )
        assert name == "state"
        state: Event = {"scope": "instrument", "state": v.TradingState(raw.code).name.lower()} | named
        ends: Event = {"auction_ends_ns": raw.reference} if raw.reference else {}
        return "market.state", "state", state | ends | {"breaker_level": raw.quantity_lots}


def side(raw: Raw) -> str:
    return "sell" if raw.flags & v.ReportFlag.SELL else "buy"


def size(raw: Raw, found: Market) -> Event:
    return {
        "price": found.price(raw.price_ticks),
        "quantity": found.quantity(raw.quantity_lots),
        "price_ticks": raw.price_ticks,
        "quantity_lots": raw.quantity_lots,
    }


def as_json(event: Event) -> bytes:
    """As the feed writes it: fields in the contract's order, no spaces, UTF-8."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
