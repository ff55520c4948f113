"""A line of a scenario as a command: who says what."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from schemas import vocabulary
from schemas.vocabulary import (
    Account,
    AccountLimits,
    Asset,
    Cancel,
    CircuitBreaker,
    ClockTick,
    Code,
    CountdownCancel,
    Deposit,
    Digest,
    Halt,
    HaltAction,
    HaltScope,
    Instrument,
    InstrumentLimits,
    InstrumentState,
    LinkAction,
    Logoff,
    LogoffReason,
    Logon,
    LogonOption,
    MassCancel,
    NewOrder,
    OrderLink,
    OrderOption,
    OrderTerms,
    OrderType,
    Peg,
    Refused,
    Replace,
    SelfTradePrevention,
    Side,
    Term,
    TermOption,
    TimeInForce,
    TradingState,
    Trigger,
    Withdrawal,
)
from tests.scenarios import money
from tests.scenarios.language import ScenarioError

Command: TypeAlias = (
    Account
    | AccountLimits
    | Asset
    | Cancel
    | CircuitBreaker
    | ClockTick
    | CountdownCancel
    | Deposit
    | Digest
    | Halt
    | Instrument
    | InstrumentLimits
    | InstrumentState
    | Logoff
    | Logon
    | MassCancel
    | NewOrder
    | Refused
    | Replace
    | Term
    | Withdrawal
    | money.Command
)

ASSETS = {"USD": 1, "BTC": 2, "ETH": 3}
INSTRUMENTS = {"BTC-USD": 1, "ETH-USD": 2}
KEYS = {"alice": 1, "bob": 2, "carol": 3, "admin": 4, "desk": 5, "dave": 6, "erin": 7}
ACCOUNTS = {name: number for name, number in KEYS.items() if name not in ("admin", "desk")}
NAMES = {**ASSETS, **INSTRUMENTS, **ACCOUNTS}
UNITS_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
TIMES = {
    "gtc": TimeInForce.GOOD_TILL_CANCELLED,
    "ioc": TimeInForce.IMMEDIATE_OR_CANCEL,
    "fok": TimeInForce.FILL_OR_KILL,
}
TERM_OPTIONS = {"hidden": TermOption.HIDDEN, "all_or_none": TermOption.ALL_OR_NONE, "day": TermOption.DAY}


@dataclasses.dataclass(slots=True, kw_only=True)
class Said:
    """A line, read. Times in nanoseconds."""

    key: int
    command: Command
    label: str | None = None  # of a new order
    text: str | None = None
    nonce: int | None = None
    age_ns: int = 0
    after_ns: int = 1000  # since the record before
    byte: tuple[int, int] | None = None  # (offset in the command, value)
    prefix_byte: tuple[int, int] | None = None  # the same of each prefix
    terms: OrderTerms | None = None
    link: OrderLink | None = None
    due_ns: int | None = None  # when the order expires or the auction ends, from the time of the record on
    wrong: bool = False  # of a digest: another state's


def number_of(word: str, names: dict[str, int] = NAMES) -> int:
    """A name's number, or a number as it is; 2^63 and the like too."""
    if word in names:
        return names[word]
    base, power, exponent = word.partition("^")
    try:
        return int(base) ** int(exponent) if power else int(word.replace(",", ""))
    except ValueError:
        raise ScenarioError(f"a name or number is needed, found {word!r}") from None


def duration_ns(word: str) -> int:
    for unit in ("ns", "us", "ms", "s"):
        if word.endswith(unit):
            return int(word.removesuffix(unit)) * UNITS_NS[unit]
    raise ScenarioError(f"a duration such as 5ms is needed, found {word!r}")


class Words:
    """The words of a line, taken from the front."""

    def __init__(self, words: list[str], labels: dict[str, int]) -> None:
        self.words = words
        self.labels = labels

    def take(self) -> str:
        if not self.words:
            raise ScenarioError("a word is missing at the end of the line")
        return self.words.pop(0)

    def accept(self, *options: str) -> str | None:
        return self.words.pop(0) if self.words and self.words[0] in options else None

    def number(self, names: dict[str, int] = NAMES) -> int:
        return number_of(self.take(), names)

    def price(self) -> int:
        """`@ 100`"""
        if self.take() != "@":
            raise ScenarioError("a price must be written as @ 100")
        return self.number()

    def option(self, word: str, default: int = 0, names: dict[str, int] = NAMES) -> int:
        """The number behind a word that may stand anywhere in what is left."""
        if word not in self.words:
            return default
        place = self.words.index(word)
        value = self.words[place + 1]
        del self.words[place : place + 2]
        return number_of(value, names)

    def string_option(self, word: str) -> str | None:
        if word not in self.words:
            return None
        place = self.words.index(word)
        value = self.words[place + 1]
        del self.words[place : place + 2]
        return value

    def flag(self, word: str) -> bool:
        found = word in self.words
        if found:
            self.words.remove(word)
        return found

    def order_name(self) -> dict[str, int]:
        """`s1`, `number 7` (the client's) or `order 99` (an id)."""
        if self.accept("number"):
            return {"target_client_order_id": self.number()}
        if self.accept("order"):
            return {"order_id": self.number()}
        return {"order_id": self.number(self.labels)}


def read_line(words: list[str], labels: dict[str, int]) -> Said:
    """Turn the words of a line into what is said and by whom."""
    actor, _, account_name = words[0].partition("/")
    rest = Words(words[1:], labels)
    text, age, after = rest.string_option("text"), rest.string_option("age"), rest.string_option("after")
    byte, prefix_byte = rest.string_option("byte"), rest.string_option("prefix_byte")
    nonce = rest.option("nonce", -1)
    label, wrong = rest.string_option("as"), rest.flag("wrong")
    due = rest.string_option("expires") or rest.string_option("ends")
    terms, link = read_terms(rest, due is not None), read_link(rest)
    if actor == "engine":
        key, command = engine_command(rest, nonce)
    else:
        key = number_of(actor, KEYS)
        command = client_command(rest, number_of(account_name or actor, KEYS))
    if isinstance(command, Asset | Instrument) and text is None:
        text = words[3]
    return Said(
        key=key,
        command=with_fields(command, rest),
        label=label,
        text=None if text == "none" else text,
        nonce=nonce if nonce >= 0 else None,
        age_ns=duration_ns(age) if age else 0,
        after_ns=duration_ns(after) if after else 1000,
        byte=byte_set(byte) if byte else None,
        prefix_byte=byte_set(prefix_byte) if prefix_byte else None,
        wrong=wrong,
        terms=terms if isinstance(command, NewOrder) or terms_said(words) else None,
        link=link,
        due_ns=duration_ns(due) if due else None,
    )


def terms_said(words: list[str]) -> bool:
    return any(word == "terms" or word.startswith("terms.") for word in words)


def read_terms(rest: Words, expires: bool) -> OrderTerms | None:
    """What a line says in an order_terms prefix: `show 2`, `hidden`, `stop 105`, ... or raw: `terms.peg=9`."""
    trigger, trigger_price = read_trigger(rest)
    peg = rest.string_option("peg")
    options = sum(option for word, option in TERM_OPTIONS.items() if rest.flag(word))
    trailing = rest.option("trailing")
    terms = OrderTerms(
        trigger=Trigger.TRAILING if trailing else trigger,
        trigger_price_ticks=trigger_price,
        display_lots=rest.option("show"),
        minimum_lots=rest.option("minimum"),
        offset_ticks=trailing + rest.option("offset"),
        peg=Peg[peg.upper()] if peg else Peg.NONE,
        options=options,
    )
    said = rest.flag("terms") or expires or terms != OrderTerms()
    raw = raw_fields(rest, "terms.")
    return dataclasses.replace(terms, **raw) if said or raw else None


def read_trigger(rest: Words) -> tuple[int, int]:
    for word in ("stop", "take_profit"):
        if word in rest.words:
            return Trigger[word.upper()], rest.option(word)
    return Trigger.NONE, 0


def read_link(rest: Words) -> OrderLink | None:
    """`with s1`: one cancels the other; `instead_of s1`: cancelled first. The order by its label, id or number."""
    for word, action in (("with", LinkAction.ONE_CANCELS_OTHER), ("instead_of", LinkAction.CANCEL_FIRST)):
        if word in rest.words:
            place = rest.words.index(word)
            named = Words(rest.words[place + 1 :], rest.labels)
            name = named.order_name()
            rest.words[place:] = named.words
            return dataclasses.replace(OrderLink(action=action, **name), **raw_fields(rest, "link."))
    return None


def raw_fields(rest: Words, prefix: str) -> dict[str, Any]:
    """`terms.peg=9`: a field of a prefix as it is."""
    said = [word for word in rest.words if word.startswith(prefix)]
    rest.words[:] = [word for word in rest.words if word not in said]
    pairs = [word.removeprefix(prefix).partition("=") for word in said]
    return {name: number_of(value) for name, _, value in pairs}


def byte_set(word: str) -> tuple[int, int]:
    offset, _, value = word.partition("=")
    return int(offset), int(value)


def with_fields(command: Command, rest: Words) -> Command:
    """What is left of a line are fields by their names in the vocabulary: `side=3`."""
    fields: dict[str, Any] = {}
    while rest.words:
        word = rest.take()
        name, equals, value = word.partition("=")
        if not equals:
            raise ScenarioError(f"field=value is needed, found {word!r}")
        fields[name] = number_of(value)
    return dataclasses.replace(command, **fields) if fields else command


def client_command(rest: Words, account: int) -> Command:
    verb = rest.take()
    match verb:
        case "buy" | "sell":
            return new_order(rest, account, Side[verb.upper()])
        case "cancel":
            name = rest.order_name()
            return Cancel(account=account, instrument=rest.option("in", 1), client_order_id=rest.option("own"), **name)
        case "replace":
            name = rest.order_name()
            total = rest.number()
            price = rest.price()
            where = rest.option("in", 1)
            return Replace(account=account, instrument=where, quantity_lots=total, price_ticks=price, **name)
        case "mass_cancel":
            side = rest.accept("buy", "sell")
            return MassCancel(
                account=account,
                instrument=rest.option("in", 0),
                side=Side[side.upper()] if side else 0,
                client_order_id=rest.option("own"),
            )
        case "countdown":
            timeout_ms = duration_ns(rest.take()) // 10**6
            return CountdownCancel(account=account, timeout_ms=timeout_ms, client_order_id=rest.option("own"))
        case _:
            return admin_command(rest, verb)


def new_order(rest: Words, account: int, side: Side) -> NewOrder:
    """`5 @ 100 ioc`, `5 @ market`, `5 @ market cap 101`, `450 @ quote`: for that many quote units"""
    quantity = rest.number()
    at, word = rest.take(), rest.take()
    if at != "@":
        raise ScenarioError("an order must be written as buy 5 @ 100")
    market = word in ("market", "quote")
    order_type = {"market": OrderType.MARKET, "quote": OrderType.MARKET_BY_QUOTE}.get(word, OrderType.LIMIT)
    said = [lasts for word, lasts in TIMES.items() if rest.flag(word)]
    lasts = said[0] if said else TIMES["ioc" if market else "gtc"]
    mode = rest.string_option("stp")
    return NewOrder(
        account=account,
        instrument=rest.option("in", 1),
        side=side,
        order_type=order_type,
        price_ticks=rest.option("cap") if market else number_of(word),
        quantity_lots=quantity,
        time_in_force=lasts,
        self_trade_prevention=SelfTradePrevention[mode.upper()] if mode else SelfTradePrevention.NONE,
        options=OrderOption.POST_ONLY if rest.flag("post_only") else 0,
        client_order_id=rest.option("number"),
    )


def admin_command(rest: Words, verb: str) -> Command:
    match verb:
        case "deposit" | "withdraw":
            layout = Deposit if verb == "deposit" else Withdrawal
            whose, what, units = rest.number(), rest.number(), rest.number()
            return layout(account=whose, asset=what, amount_units=units, reference=rest.option("reference"))
        case "halt" | "resume" | "kill":
            scope = HaltScope[rest.take().upper()]
            target = 0 if scope == HaltScope.EVERYTHING else rest.number()
            return Halt(scope=scope, target=target, action=HaltAction[verb.upper()])
        case "state":
            where, into = rest.number(), rest.take()
            static = rest.option("static")
            return InstrumentState(
                instrument=where, trading_state=TradingState[into.upper()], static_price_ticks=static
            )
        case "breaker":
            return CircuitBreaker(instrument=rest.number())
        case "limit":
            layout_name, number = rest.take(), rest.number()
            if layout_name == "account":
                return AccountLimits(account=number)
            return InstrumentLimits(instrument=number)
        case "define":
            return definition(rest)
        case _:
            return money.command(rest, verb)


def definition(rest: Words) -> Command:
    """`define asset USD decimals=2`: what is not said has the value of an ordinary definition."""
    what, number = rest.take(), rest.number()
    match what:
        case "asset":
            return Asset(asset=number)
        case "account":
            return Account(account=number)
        case "instrument":
            return Instrument(
                instrument=number,
                base_asset=ASSETS["BTC"],
                quote_asset=ASSETS["USD"],
                trading_state=TradingState.OPEN,
                base_units_per_lot=1,
                quote_units_per_tick_lot=1,
            )
        case _:
            raise ScenarioError(f"asset, instrument or account is needed, found {what!r}")


def engine_command(rest: Words, nonce: int) -> tuple[int, Command]:
    """What the engine itself records: key and command."""
    verb = rest.take()
    match verb:
        case "term":
            return 0, Term(term=rest.number())
        case "tick":
            return 0, ClockTick()
        case "digest":
            return 0, Digest()
        case "logon":
            key = rest.number(KEYS)
            asked = LogonOption.CANCEL_ON_DISCONNECT if rest.flag("cancel_on_disconnect") else 0
            return key, Logon(session=rest.option("session", 1), account=rest.option("account", key), options=asked)
        case "logoff":
            key = rest.number(KEYS)
            return key, Logoff(session=rest.option("session", 1), reason=LogoffReason.LINE_LOST)
        case "refused":
            key, code = rest.number(KEYS), Code[rest.take().upper()]
            return key, Refused(account=key, instrument=1, code=code, refused_kind=vocabulary.Kind.NEW_ORDER)
        case _:
            raise ScenarioError(f"term, tick, digest, logon, logoff or refused is needed, found {verb!r}")
