"""What validation decides: envelopes in, orders in whole numbers or rejections out. No Kafka, no clock, no files.

    message ──▶ judge() ──▶ orders      to orders.validated, same partition
                    │  └──▶ rejections  to orders.rejected: the envelope claims a key
                    │  └──▶ unclaimed   to dead-letters, with the original bytes
                    ▼
             Known (keys, accounts, instruments)   Nonces (of the partition)   both handed in

Codes win in the order of stream_codes of schemas/topics.json:

    schema ▸ partition ▸ signature ▸ timestamp ▸ nonce ▸ account and kind of the key ▸ account ▸ instrument ▸ numbers

A nonce is used up by the first envelope that is authentic and in time, whatever comes behind. That place keeps its
answer: read again after a crash, what was validated is validated again and what was refused is refused with its code,
though keys and instruments may have changed meanwhile. This stage is a filter: the core decides.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from schemas.vocabulary import PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, UNITS_MAX, Permission, TermOption
from streams.validation.decimals import Scale
from streams.validation.nonces import INDEX_BITS, Nonces, Record
from streams.validation.shapes import (
    BODY_BYTES_MAX,
    ENUMERATIONS,
    U64_MAX,
    Refused,
    Shape,
    Shapes,
    enumerated,
    names_twice,
)

STAGE: Final = "validation"
BATCH_COUNT_MAX: Final = 512
_DOMAIN: Final = b"IRONBOOK order 1\n"
_ENVELOPE: Final = frozenset({"key_id", "timestamp_ns", "nonce", "body", "signature"})
_ENVELOPE_QUOTES: Final = 18  # five names and four texts
_KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}")
_BLANK: Final = hashlib.sha256()
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))
_I32: Final = 2**31
_ACTS_FOR_OTHERS: Final = int(Permission.DELEGATE | Permission.ADMIN)
_TRADE, _CANCEL = int(Permission.TRADE), int(Permission.CANCEL)  # an IntFlag's own & is slow
_NEEDS: Final = {"new": _TRADE, "replace": _TRADE, "cancel": _CANCEL, "mass_cancel": _CANCEL}
_Kind = tuple[str, str, str]
_PLAIN_KIND: Final = ("limit", "good_till_cancelled", "cancel_taker")
_SIDES: Final = ENUMERATIONS["side"]
_PASSED_ON: Final = ("side", "order_id", "target_client_order_id", "client_order_id")
_INDEX_MASK: Final = (1 << INDEX_BITS) - 1
_AS_BEFORE: Final = "this envelope has had this answer before, and keeps it"


# ---- What is known ---------------------------------------------------------------------------------------------------


class KeyRights:
    """A live key: the padded states of its secrets, and what it may do."""

    __slots__ = ("account", "permissions", "states")

    def __init__(self, secrets: Iterable[bytes], account: int, permissions: int) -> None:
        self.account = account
        self.permissions = permissions
        self.states = tuple(
            (hashlib.sha256(padded.translate(_INNER_PAD)), hashlib.sha256(padded.translate(_OUTER_PAD)))
            for padded in (secret.ljust(64, b"\0") for secret in secrets)
        )

    def signed(self, signed: bytes, claimed: bytes) -> bool:
        """Is this HMAC-SHA256 by one of the secrets? Every one of them is tried."""
        good = False
        for inner, outer in self.states:
            message, mac = inner.copy(), outer.copy()
            message.update(signed)
            mac.update(message.digest())
            good |= hmac.compare_digest(mac.digest(), claimed)
        return good


class Instrument:
    """An instrument of the topic, ready to count in ticks and lots."""

    __slots__ = ("amounts", "lots", "lots_max", "lots_min", "number", "source", "steps", "ticks")

    def __init__(self, source: Mapping[str, Any]) -> None:
        self.source = source
        self.number: int = source["instrument"]
        base, quote = source["base_decimals"], source["quote_decimals"]
        lot, tick = source["base_units_per_lot"], source["quote_units_per_tick_lot"]
        self.ticks = Scale.of_price(base, quote, lot, tick)
        self.lots = Scale.of_quantity(base, lot)
        self.amounts = Scale.of_amount(quote)
        self.lots_min: int = max(1, source["quantity_lots_min"])
        self.lots_max: int = source["quantity_lots_max"] or QUANTITY_LOTS_MAX
        self.steps: list[list[int]] = source["price_steps"]

    def step(self, price_ticks: int) -> tuple[int, int]:
        """Tick multiple and lot multiple that rule at this price."""
        ruling = (1, 1)
        for from_ticks, tick_multiple, lot_multiple in self.steps:
            if from_ticks <= price_ticks:
                ruling = (tick_multiple, lot_multiple)
        return ruling


class Known:
    """What judgements rest on: views of maps that their owner keeps up to date."""

    def __init__(
        self,
        keys: Mapping[str, KeyRights],
        instruments: Mapping[str, Mapping[str, Any]],
        accounts: Mapping[int, Mapping[str, Any]],
        partition_of: Callable[[int], int],
        window_ns: int,
    ) -> None:
        self.keys = keys
        self.accounts = accounts
        self.window_ns = window_ns
        self.shapes = Shapes()
        self._instruments = instruments
        self._made: dict[str, Instrument] = {}
        self.partitions = _Partitions(partition_of)

    def instrument(self, symbol: str) -> Instrument:
        """By symbol, as it stands now. Raises Refused (unknown_instrument)."""
        source = self._instruments.get(symbol)
        if source is None:
            raise Refused("unknown_instrument", f"the symbol must have been defined, was {ascii(symbol)[:60]}")
        made = self._made.get(symbol)
        if made is None or made.source is not source:
            made = self._made[symbol] = Instrument(source)
        return made


class _Partitions(dict[int, int]):
    """The partition of each firm; asked for once and kept."""

    def __init__(self, partition_of: Callable[[int], int]) -> None:
        super().__init__()
        self._partition_of = partition_of

    def __missing__(self, firm: int) -> int:
        found = self[firm] = self._partition_of(firm)
        return found


# ---- Messages --------------------------------------------------------------------------------------------------------


class Message(NamedTuple):
    """A message of orders.submitted."""

    partition: int
    offset: int
    appended_ns: int
    value: bytes
    events: list[dict[str, Any]]


class Unclaimed(NamedTuple):
    """What has no sender to be told: a dead letter. at: index of the envelope; None: the whole message."""

    at: int | None
    code: str
    text: str


class Judgement(NamedTuple):
    """What became of a message. record: its value in the table, None if no nonce in it counts."""

    orders: list[dict[str, Any]]
    rejections: list[dict[str, Any]]
    unclaimed: Unclaimed | None
    record: Record | None


def judge(message: Message, known: Known, nonces: Nonces) -> Judgement:
    """Every envelope of a message, in order. Takes their nonces."""
    events = message.events
    if len(events) > BATCH_COUNT_MAX:
        text = f"a message must have at most {BATCH_COUNT_MAX} envelopes, has {len(events)}"
        return Judgement([], [], Unclaimed(None, "schema_invalid", text), None)
    twice = _twice(message)
    judging = _Judging(message, known, nonces)
    orders: list[dict[str, Any]] = []
    rejections: list[dict[str, Any]] = []
    unclaimed: list[Unclaimed] = []
    for index, event in enumerate(events):
        try:
            if twice and twice[index]:
                raise Refused("schema_invalid", "an envelope must name each field once, one stands there twice")
            orders.append(judging.order(event, index))
        except Refused as refused:
            rejection = judging.rejection(event, index, refused)
            if rejection is None:
                unclaimed.append(Unclaimed(index, refused.code, refused.text))
            else:
                rejections.append(rejection)
    record = judging.record if judging.record.names else None
    if record is not None:
        record = nonces.add(message.offset, record)
    return Judgement(orders, rejections, _joined(unclaimed), record)


def _joined(unclaimed: list[Unclaimed]) -> Unclaimed | None:
    """One dead letter a message, however many of its envelopes have no sender: each would hold the whole message."""
    if len(unclaimed) < 2:
        return unclaimed[0] if unclaimed else None
    first = unclaimed[0]
    return Unclaimed(None, first.code, f"envelope {first.at}: {first.text}; and {len(unclaimed) - 1} more like it")


def _twice(message: Message) -> list[bool]:
    """Which envelopes name a field twice; empty if none does.

    Without an escaped quotation mark in the text, the marks in it are those of names and texts and of the bodies' own;
    a field that stands twice brings more. So the exact and slow look is taken only where the count is not right.
    """
    expected = 0
    for event in message.events:
        body = event.get("body")
        if len(event) != len(_ENVELOPE) or type(body) is not str:
            return names_twice(message.value)
        expected += _ENVELOPE_QUOTES + body.count('"')
    if message.value.count(b'"') == expected and b"\\u0022" not in message.value:
        return []
    return names_twice(message.value)


class _Judging:
    """One message at work."""

    def __init__(self, message: Message, known: Known, nonces: Nonces) -> None:
        self._message = message
        self._known = known
        self._nonces = nonces
        self._now_ns = max(message.appended_ns, nonces.high_ns)
        self.record = Record(message.appended_ns)

    # ---- Checks, in the order in which codes win

    def order(self, event: dict[str, Any], index: int) -> dict[str, Any]:
        """The order of an envelope. Raises Refused."""
        message, known = self._message, self._known
        key_id, timestamp_ns, nonce, text, claimed = _fields(event, known.keys)
        body, shape = known.shapes.read(text)
        if shape.plain:
            kind = _PLAIN_KIND
            if body["side"] not in _SIDES:
                enumerated(body, "side", "")
        else:
            kind = _kind(body, shape.action)
        name_bytes = f"{key_id}\n{timestamp_ns}\n{nonce}".encode()
        hashed = _BLANK.copy()
        hashed.update(name_bytes)
        name = hashed.hexdigest()[:32]
        here = message.offset << INDEX_BITS | index
        seen = self._nonces.index.get(name)
        before = self._nonces.answer(here) if seen == here else None
        if before:
            raise Refused(before, _AS_BEFORE)
        first = before is None
        if first:
            signed = b"".join((_DOMAIN, name_bytes, b"\n", text.encode()))
            self._authentic(body, signed, claimed, key_id, timestamp_ns)
            self._take_nonce(name, seen, here, timestamp_ns)
        try:
            if first:
                _permitted(known.keys[key_id], body["account"], shape.action)
            made = self._converted(body, shape, kind, first)
        except Refused as refused:
            if name in self.record.names:
                self.record.refused[str(index)] = refused.code
            raise
        made["place"] = {
            "topic": "orders.submitted", "partition": message.partition, "offset": message.offset, "index": index,
        }  # fmt: skip
        made["key_id"] = key_id
        made["timestamp_ns"] = timestamp_ns
        made["nonce"] = name
        made["appended_ns"] = message.appended_ns
        return made

    def _authentic(self, body: dict[str, Any], signed: bytes, claimed: bytes, key_id: str, timestamp_ns: int) -> None:
        """Partition, signature, timestamp."""
        known = self._known
        account = known.accounts.get(body["account"])
        if account is not None and known.partitions[account["firm"]] != self._message.partition:
            raise Refused(
                "partition_wrong",
                f"an order of firm {account['firm']} must be in partition {known.partitions[account['firm']]}, "
                f"was in {self._message.partition}",
            )
        rights = known.keys.get(key_id)
        if rights is None or not rights.signed(signed, claimed):
            raise Refused("signature_invalid", "the signature must be by a live secret of the key, is not")
        if not -known.window_ns <= self._now_ns - timestamp_ns <= known.window_ns:
            raise Refused(
                "timestamp_outside_window",
                f"the timestamp must lie within {known.window_ns // 1_000_000} ms of the time at which the broker took "
                f"the message, {self._now_ns}, was {timestamp_ns}",
            )

    def _take_nonce(self, name: str, seen: int | None, here: int, timestamp_ns: int) -> None:
        nonces, record = self._nonces, self.record
        if seen is not None:
            raise Refused(
                "nonce_repeated",
                f"a nonce must be used once, was first used at offset {seen >> INDEX_BITS}, index {seen & _INDEX_MASK}",
            )
        if len(nonces.index) >= nonces.count_max:
            raise Refused(
                "order_rate_exceeded",
                f"at most {nonces.count_max} orders of one partition may lie in the nonce window; there is no room",
            )
        nonces.index[name] = here
        record.names[name] = here & _INDEX_MASK
        until_ns = timestamp_ns + self._known.window_ns
        if until_ns > record.until_ns:
            record.until_ns = until_ns

    def _converted(self, body: dict[str, Any], shape: Shape, kind: _Kind, first: bool) -> dict[str, Any]:
        """In whole numbers; place and names are still to come. `first`: not the same place again."""
        number = body["account"]
        account = self._known.accounts.get(number)
        if account is None:
            raise Refused("unknown_account", f"the account must have been defined, was {number}")
        symbol = body.get("symbol")
        if symbol is None:  # a mass cancel of all
            made = {"action": shape.action, "firm": account["firm"], "account": number}
            return made | {name: body[name] for name in _PASSED_ON if name in body}
        instrument = self._known.instrument(symbol)
        if shape.action == "new":
            return _new(account["firm"], body, instrument, kind, shape.common, first)
        made = {
            "action": shape.action, "firm": account["firm"], "account": number, "symbol": symbol,
            "instrument": instrument.number,
        }  # fmt: skip
        made |= {name: body[name] for name in _PASSED_ON if name in body}
        if shape.action == "replace":
            made["price_ticks"] = _counted("price", body["price"], instrument.ticks, 1, PRICE_TICKS_MAX)
            made["quantity_lots"] = _counted("quantity", body["quantity"], instrument.lots, 1, QUANTITY_LOTS_MAX)
        return made

    # ---- Rejections

    def rejection(self, event: dict[str, Any], index: int, refused: Refused) -> dict[str, Any] | None:
        """What the sender is told; None if the envelope claims no key."""
        key_id = event.get("key_id")
        if type(key_id) is not str or _KEY_ID.fullmatch(key_id) is None:
            return None
        message = self._message
        made: dict[str, Any] = {
            "stage": STAGE, "code": refused.code, "text": refused.text,
            "place": {
                "topic": "orders.submitted", "partition": message.partition, "offset": message.offset, "index": index,
            },
            "appended_ns": message.appended_ns, "key_id": key_id,
        }  # fmt: skip
        timestamp_ns, nonce = event.get("timestamp_ns"), event.get("nonce")
        if _is_whole(timestamp_ns) and type(nonce) is str and _is_nonce(nonce):
            name_text = f"{key_id}\n{timestamp_ns}\n{nonce}"
            name = hashlib.sha256(name_text.encode()).hexdigest()[:32]
            made["nonce"] = name
            if self._nonces.index.get(name) == message.offset << INDEX_BITS | index:  # so it is authentic
                self._tell_order(made, event["body"])
        return made

    def _tell_order(self, made: dict[str, Any], text: str) -> None:
        """Account and order, of an envelope that is authentic: nobody else's orders can be spoken of."""
        body, _ = self._known.shapes.read(text)
        account = self._known.accounts.get(body["account"])
        if account is not None:
            made["firm"] = account["firm"]
        for name in ("account", "symbol", "client_order_id"):
            if name in body:
                made[name] = body[name]


# ---- Leaves ----------------------------------------------------------------------------------------------------------


def _is_whole(value: object) -> bool:
    return type(value) is int and 0 <= value <= U64_MAX


def _is_nonce(nonce: str) -> bool:
    return 1 <= len(nonce) <= 36 and nonce.isascii() and nonce.isprintable()


def _fields(event: dict[str, Any], keys: Mapping[str, KeyRights]) -> tuple[str, int, str, str, bytes]:
    """The five fields of an envelope, each of its type. Raises Refused (schema_invalid)."""
    try:
        key_id, timestamp_ns, nonce = event["key_id"], event["timestamp_ns"], event["nonce"]
        text, signature = event["body"], event["signature"]
    except KeyError as error:
        raise Refused("schema_invalid", f"an envelope must have the field {error.args[0]}") from None
    if len(event) != len(_ENVELOPE):
        extra = next(name for name in event if name not in _ENVELOPE)
        raise Refused("schema_invalid", f"an envelope must have no other fields, has {ascii(extra)[:60]}")
    if type(key_id) is not str or (key_id not in keys and _KEY_ID.fullmatch(key_id) is None):
        raise Refused("schema_invalid", "key_id must be 1 to 16 of A-Z a-z 0-9 . _ -")
    if type(timestamp_ns) is not int or not 0 <= timestamp_ns <= U64_MAX:
        raise Refused("schema_invalid", "timestamp_ns must be whole nanoseconds since the epoch")
    if type(nonce) is not str or not (0 < len(nonce) <= 36 and nonce.isascii() and nonce.isprintable()):
        raise Refused("schema_invalid", "nonce must be 1 to 36 printable ASCII characters")
    if type(text) is not str or len(text) > BODY_BYTES_MAX or not (text.isascii() or _fits(text)):
        raise Refused("schema_invalid", f"body must be a text of at most {BODY_BYTES_MAX} bytes")
    try:
        claimed = bytes.fromhex(signature) if type(signature) is str and len(signature) == 64 else b""
    except ValueError:
        claimed = b""
    if len(claimed) != 32:
        raise Refused("schema_invalid", "signature must be 64 hexadecimal digits")
    return key_id, timestamp_ns, nonce, text, claimed


def _fits(text: str) -> bool:
    try:
        return len(text.encode()) <= BODY_BYTES_MAX
    except UnicodeEncodeError:
        return False


def _kind(body: dict[str, Any], action: str) -> _Kind:
    """Order type, time in force and self-trade prevention; enumerations checked. Raises Refused (schema_invalid)."""
    if "side" in body:
        enumerated(body, "side", "")
    if action != "new":
        return _PLAIN_KIND
    order_type = enumerated(body, "order_type", "limit")
    if order_type == "limit" and "price" not in body:
        raise Refused("schema_invalid", "a limit order must have a price")
    for name in ("trigger", "peg"):
        if name in body:
            enumerated(body, name, "none")
    in_force = enumerated(
        body, "time_in_force", "good_till_cancelled" if order_type == "limit" else "immediate_or_cancel"
    )
    return order_type, in_force, enumerated(body, "self_trade_prevention", "cancel_taker")


def _permitted(rights: KeyRights, number: int, action: str) -> None:
    """May the key act for the account, and do this? Raises Refused."""
    if rights.account != number and not rights.permissions & _ACTS_FOR_OTHERS:
        raise Refused("account_forbidden", f"a key must act for its own account, was {number}")
    if not rights.permissions & _NEEDS[action]:
        wanted = Permission(_NEEDS[action]).name or ""
        raise Refused("kind_forbidden", f"{action} needs a key with the permission {wanted.lower()}")


def _counted(name: str, text: str, scale: Scale, least: int, most: int) -> int:
    """Steps of a text, within bounds. Raises Refused (number_invalid)."""
    steps = scale.steps(text)
    if steps is None:
        raise Refused(
            "number_invalid",
            f"{name} must be digits with at most one point, and a whole number of the instrument's steps, "
            f"was {ascii(text)[:60]}",
        )
    if not least <= steps <= most:
        raise Refused("number_invalid", f"{name} must be from {least} to {most} steps, was {steps}")
    return steps


def _new(
    firm: int, body: dict[str, Any], instrument: Instrument, kind: _Kind, common: bool, first: bool
) -> dict[str, Any]:
    """A new order. `first`: not the same place again, so that limits of the day apply."""
    order_type, in_force, prevention = kind
    limit = order_type == "limit"
    price_ticks = 0
    if "price" in body:
        price_ticks = _counted("price", body["price"], instrument.ticks, limit, PRICE_TICKS_MAX)
    if order_type == "market_by_quote":
        lots = _counted("quantity", body["quantity"], instrument.amounts, 1, UNITS_MAX)
    else:
        lots = _counted("quantity", body["quantity"], instrument.lots, 1, QUANTITY_LOTS_MAX)
        if first and not instrument.lots_min <= lots <= instrument.lots_max:
            raise Refused(
                "number_invalid",
                f"quantity must be from {instrument.lots_min} to {instrument.lots_max} lots, was {lots}",
            )
        if first and limit and instrument.steps and body.get("peg", "none") == "none":
            _on_step(instrument, price_ticks, lots)
    made = {
        "action": "new", "firm": firm, "account": body["account"], "symbol": body["symbol"],
        "instrument": instrument.number, "side": body["side"], "order_type": order_type, "time_in_force": in_force,
        "self_trade_prevention": prevention, "post_only": body.get("post_only", False), "price_ticks": price_ticks,
        "quantity_lots": lots, "client_order_id": body.get("client_order_id", 0),
    }  # fmt: skip
    if not common:
        terms = _terms(body, instrument)
        if terms:
            made["terms"] = terms
    return made


def _on_step(instrument: Instrument, price_ticks: int, lots: int) -> None:
    tick_multiple, lot_multiple = instrument.step(price_ticks)
    if price_ticks % tick_multiple:
        raise Refused("number_invalid", f"price must be a multiple of {tick_multiple} ticks there, was {price_ticks}")
    if lots % lot_multiple:
        raise Refused("number_invalid", f"quantity must be a multiple of {lot_multiple} lots there, was {lots}")


def _terms(body: dict[str, Any], instrument: Instrument) -> dict[str, int]:
    """Fields of the frame order_terms; those that are zero are absent."""
    terms: dict[str, int] = {}
    if "trigger_price" in body:
        terms["trigger_price_ticks"] = _counted(
            "trigger_price", body["trigger_price"], instrument.ticks, 1, PRICE_TICKS_MAX
        )
    for name in ("display", "minimum"):
        if name in body:
            terms[f"{name}_lots"] = _counted(name, body[name], instrument.lots, 0, QUANTITY_LOTS_MAX)
    if "offset" in body:
        text: str = body["offset"]
        if text.startswith("-"):
            terms["offset_ticks"] = -_counted("offset", text[1:], instrument.ticks, 0, _I32)
        else:
            terms["offset_ticks"] = _counted("offset", text, instrument.ticks, 0, _I32 - 1)
    for name in ("trigger", "peg"):
        if name in body:
            terms[name] = ENUMERATIONS[name][body[name]]
    if "expire_ns" in body:
        terms["expire_ns"] = body["expire_ns"]
    options = 0
    for option in TermOption:
        if body.get((option.name or "").lower()):
            options |= option
    terms["options"] = options
    return {name: value for name, value in terms.items() if value}
