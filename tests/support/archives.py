"""Journals of chosen days, made without an engine, and archives of records, made without an archiver."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Sequence
from typing import Any

from engine_node import _engine
from ironbook.archive.layout import Entry, Head, encode, head_key, last_crc, object_key, pack, received_ns, sha256
from ironbook.archive.statements import DAY_NS
from ironbook.archive.stores import Store
from schemas import vocabulary as v

DAY = 20_454  # 2026-01-01
SECOND_NS = 1_000_000_000


class Script:
    """Records as an engine would write them, of times that a test chooses."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.count = self.client_sequence = 0
        self.now_ns = DAY * DAY_NS

    def at(self, day: int, second: int = 0) -> None:
        """What follows is received then."""
        self.now_ns = max(self.now_ns, (DAY + day) * DAY_NS + second * SECOND_NS)

    def put(self, *commands: Any, key: int = 0) -> int:
        """One command: prefixes and what closes it. Its sequence."""
        for command in commands:
            if not v.Kind.TERM <= command.KIND <= v.Kind.REFUSED:
                self.client_sequence += 1
                command, key = dataclasses.replace(command, client_sequence=self.client_sequence), 1
            self.parts.append(command.pack() + key.to_bytes(4, "little") + bytes(4) + self.now_ns.to_bytes(8, "little"))
        self.count += len(commands)
        return self.count

    def named(self, text: str, command: Any) -> int:
        """A command with a name before it."""
        return self.put(v.Text(text=text.encode().ljust(36, b"\0")), command)

    def records(self) -> bytes:
        """All of it, chained."""
        return _engine.seal(b"".join(self.parts), 0)

    def market(self) -> None:
        """Assets BTC and USD, symbols BTC/USD and XBT/USD, accounts 1 to 4 with plenty of both."""
        self.put(v.Term(term=1, node=1))
        self.put(v.Logon(session=1), key=1)
        self.named("BTC", v.Asset(asset=1, decimals=8))
        self.named("USD", v.Asset(asset=2, decimals=2))
        for number, name in ((1, "BTC/USD"), (2, "XBT/USD")):
            self.named(
                name,
                v.Instrument(
                    instrument=number, base_asset=1, quote_asset=2, trading_state=v.TradingState.OPEN,
                    base_units_per_lot=10, quote_units_per_tick_lot=3, maker_fee_ppm=100, taker_fee_ppm=300,
                ),
            )  # fmt: skip
        for account in range(1, 5):
            self.put(v.Account(account=account))
            for asset in (1, 2):
                self.put(v.Deposit(account=account, asset=asset, amount_units=10**12))

    def order(self, account: int, side: int, price: int, lots: int, instrument: int = 1) -> int:
        """A good-till-cancelled limit order; its id."""
        return self.put(
            v.NewOrder(
                account=account, instrument=instrument, price_ticks=price, quantity_lots=lots, side=side,
                order_type=v.OrderType.LIMIT, time_in_force=v.TimeInForce.GOOD_TILL_CANCELLED,
                self_trade_prevention=v.SelfTradePrevention.CANCEL_TAKER,
            )
        )  # fmt: skip

    def trade(self, count: int, seed: int) -> None:
        """So many random orders, some with a name before them."""
        rand = random.Random(seed)
        for _ in range(count):
            side = rand.choice((v.Side.BUY, v.Side.SELL))
            if rand.random() < 0.2:  # half of a command, if an object ends here
                self.put(v.Nonce(nonce=rand.randbytes(16), timestamp_ns=self.now_ns))
            self.order(rand.randint(1, 4), side, rand.randint(95, 105), rand.randint(1, 9), rand.randint(1, 2))


def three_days() -> bytes:
    """A market that trades on 2026-01-01 and -02, is quiet on -03, and trades on -04."""
    script = Script()
    script.at(0, 100)
    script.market()
    script.trade(400, seed=1)
    script.at(1, 0)
    script.put(v.Withdrawal(account=2, asset=2, amount_units=5_000))
    script.trade(300, seed=2)
    script.at(1, 86_399)
    script.put(v.FeePayout(account=1, asset=2, amount_units=1))
    script.at(3, 7)
    script.trade(200, seed=3)
    return script.records()


def closed_ends(records: bytes, sizes: Iterable[int]) -> list[int]:
    """Sequences at which a command closes, the next one each at or behind a size."""
    ends: list[int] = []
    core, last = _engine.Core(order_count_max=64), len(records) // 64
    for size in sizes:
        end = min(last, (ends[-1] if ends else 0) + size)
        while end < last and core.group_bytes(records[: end * 64]) != end * 64:
            end += 1
        ends.append(end)
        if end == last:
            break
    return ends


def write_archive(store: Store, shard: int, records: bytes, ends: Sequence[int]) -> list[Entry]:
    """Objects that end at these sequences, their manifests and the head; over what is there. Returns the manifests."""
    entries: list[Entry] = []
    head, before = Head(shard=shard), 0
    for end in ends:
        part = records[before * 64 : end * 64]
        packed = pack(part)
        last = entries[-1] if entries else None
        entry = Entry(
            shard=shard, first_sequence=before + 1, last_sequence=end, key=object_key(shard, before + 1, end),
            bytes=len(packed), sha256=sha256(packed), records_sha256=sha256(part),
            first_received_ns=received_ns(part, 0), last_received_ns=received_ns(part, -1), crc32c=last_crc(part),
            previous=None if last is None else last.manifest, previous_sha256=None if last is None else head.sha256,
        )  # fmt: skip
        put_over(store, entry.key, packed)
        put_over(store, entry.manifest, encode(entry))
        head = head.after(entry)
        entries.append(entry)
        before = end
    put_over(store, head_key(shard), encode(head))
    return entries


def put_over(store: Store, key: str, data: bytes) -> None:
    """Write it, whatever was there."""
    found = store.get(key)
    assert store.put(key, data, None if found is None else found.tag) is not None


def altered(store: Store, key: str, **changes: Any) -> None:
    """A head or manifest with other fields, otherwise sound JSON."""
    import orjson

    found = store.get(key)
    assert found is not None
    said = orjson.loads(found.data) | changes
    put_over(store, key, orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")


def replaced(entry: Entry, **changes: Any) -> Entry:
    """A manifest that differs in these fields."""
    return dataclasses.replace(entry, **changes)
