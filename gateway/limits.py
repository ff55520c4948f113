"""How much one address and one account may ask for, as exchangeInfo tells it.

    address   weight of its requests in a UTC minute ── beyond: 429 ── goes on all the same: 418 for a time, doubling
              bad signatures in that minute          ── beyond half: 429 ── beyond all: 418
    account   new orders in 10 seconds and in a UTC day ── beyond: 429

An IPv6 client is its /64: whoever has one has 2^64 addresses. Memory is bounded: beyond ADDRESS_COUNT_MAX the address
that was first seen longest ago is forgotten; bans are kept apart, so that a flood from everywhere frees nobody.
"""

from __future__ import annotations

import functools
import ipaddress
from collections import Counter
from typing import Final

from gateway.errors import BANNED, TOO_MANY_ORDERS, TOO_MANY_REQUESTS, ApiError, Problem
from gateway.settings import GatewaySettings

__all__ = ["Headers", "Limits", "client_share"]

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
TEN_NS: Final = 10 * SECOND_NS
DAY_NS: Final = 86_400 * SECOND_NS
BAN_S_MAX: Final = 3 * 86_400
ADDRESS_COUNT_MAX: Final = 65_536
BAN_COUNT_MAX: Final = 65_536

Headers = tuple[tuple[str, str], ...]


class _Address:
    """What one address did in one minute."""

    __slots__ = ("bad", "minute", "refused", "weight")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.weight = self.refused = self.bad = 0


class _Ban:
    """until_ns: refused until then. count: bans so far; the next one is as much longer."""

    __slots__ = ("count", "until_ns")

    def __init__(self) -> None:
        self.until_ns = self.count = 0


class _Account:
    """New orders of one account in one period of 10 s, and in one day."""

    __slots__ = ("day", "day_count", "ten", "ten_count")

    def __init__(self) -> None:
        self.ten = self.ten_count = self.day = self.day_count = 0


class Limits:
    """Counts, and refuses what goes beyond. Time is handed in; every method costs a few lookups."""

    def __init__(self, settings: GatewaySettings, counters: Counter[str] | None = None) -> None:
        self._settings = settings
        self._counters = Counter() if counters is None else counters
        self._addresses: dict[str, _Address] = {}  # in the order in which their minute began
        self._bans: dict[str, _Ban] = {}  # in the order in which they were made
        self._accounts: dict[int, _Account] = {}

    # ---- Addresses --------------------------------------------------------------------------------------------------

    def weight(self, address: str, n: int, now_ns: int) -> Headers:
        """Count a request of weight n; headers that tell how much is used. Raises TOO_MANY_REQUESTS, BANNED."""
        address = client_share(address)
        if self._bans:
            self._check_ban(address, now_ns)
        minute = now_ns // MINUTE_NS
        known = self._addresses.get(address)
        if known is None or known.minute != minute:
            known = self._begin(address, minute)
        known.weight += n
        most = self._settings.weight_per_minute
        if known.weight > most:
            raise self._too_many(address, known, now_ns, f"{most} request weight per 1 MINUTE")
        return (("X-MBX-USED-WEIGHT-1M", str(known.weight)),)

    def weight_header(self, address: str, now_ns: int) -> Headers:
        """What weight() gave, without counting."""
        return (("X-MBX-USED-WEIGHT-1M", str(self.used_weight(address, now_ns))),)

    def used_weight(self, address: str, now_ns: int) -> int:
        """Weight that the address has used in this minute."""
        known = self._addresses.get(client_share(address))
        return known.weight if known is not None and known.minute == now_ns // MINUTE_NS else 0

    def bad_signature(self, address: str, now_ns: int) -> None:
        """Count a wrong signature or key. Raises TOO_MANY_REQUESTS, BANNED when there were too many."""
        address = client_share(address)
        minute = now_ns // MINUTE_NS
        known = self._addresses.get(address)
        if known is None or known.minute != minute:
            known = self._begin(address, minute)
        known.bad += 1
        self._counters["bad_signatures"] += 1
        most = self._settings.bad_signatures_max
        if known.bad > most:
            raise self._ban(address, now_ns)
        if known.bad > most // 2:
            raise self._too_many(address, known, now_ns, f"{most // 2} bad signatures per 1 MINUTE")

    def _begin(self, address: str, minute: int) -> _Address:
        """The first request of an address in a minute."""
        self._addresses.pop(address, None)
        if len(self._addresses) >= ADDRESS_COUNT_MAX:
            del self._addresses[next(iter(self._addresses))]
        known = self._addresses[address] = _Address(minute)
        return known

    def _too_many(self, address: str, known: _Address, now_ns: int, limit: str) -> ApiError:
        known.refused += 1
        if known.refused > self._settings.ban_after:
            return self._ban(address, now_ns)
        self._counters["requests_limited"] += 1
        text = f"Too many requests; current limit is {limit}. Please use WebSocket Streams for live updates."
        return _later(TOO_MANY_REQUESTS, text, (known.minute + 1) * MINUTE_NS - now_ns)

    def _ban(self, address: str, now_ns: int) -> ApiError:
        ban = self._bans.pop(address, None) or _Ban()
        if len(self._bans) >= BAN_COUNT_MAX:
            del self._bans[next(iter(self._bans))]
        self._bans[address] = ban
        self._addresses.pop(address, None)
        length_s = min(BAN_S_MAX, self._settings.ban_seconds << min(ban.count, 30))
        ban.count += 1
        ban.until_ns = now_ns + length_s * SECOND_NS
        return self._banned(ban, now_ns)

    def _check_ban(self, address: str, now_ns: int) -> None:
        ban = self._bans.get(address)
        if ban is None:
            return
        if now_ns < ban.until_ns:
            raise self._banned(ban, now_ns)
        if now_ns > ban.until_ns + BAN_S_MAX * SECOND_NS:  # it has been good for long
            del self._bans[address]

    def _banned(self, ban: _Ban, now_ns: int) -> ApiError:
        self._counters["requests_banned"] += 1
        until_ms = ban.until_ns // 1_000_000
        text = f"Way too many requests; IP banned until {until_ms}. Please use WebSocket Streams for live updates."
        return _later(BANNED, text, ban.until_ns - now_ns)

    @property
    def ban_count(self) -> int:
        """Addresses that are or were banned and are remembered."""
        return len(self._bans)

    # ---- Accounts ---------------------------------------------------------------------------------------------------

    def orders(self, account: int, n: int, now_ns: int) -> Headers:
        """Count n new orders; headers that tell how many there are. Raises TOO_MANY_ORDERS: then none is counted."""
        known = self._account(account, now_ns)
        settings = self._settings
        if known.ten_count + n > settings.orders_per_10s:
            raise self._too_many_orders(f"{settings.orders_per_10s} orders per 10 SECOND", TEN_NS - now_ns % TEN_NS)
        if known.day_count + n > settings.orders_per_day:
            raise self._too_many_orders(f"{settings.orders_per_day} orders per 1 DAY", DAY_NS - now_ns % DAY_NS)
        known.ten_count += n
        known.day_count += n
        return _order_headers(known)

    def _too_many_orders(self, limit: str, wait_ns: int) -> ApiError:
        self._counters["orders_limited"] += 1
        return _later(TOO_MANY_ORDERS, f"Too many new orders; current limit is {limit}.", wait_ns)

    def used_orders(self, account: int, now_ns: int) -> tuple[int, int]:
        """New orders of the account in these 10 seconds, and in this day."""
        known = self._account(account, now_ns)
        return known.ten_count, known.day_count

    def order_headers(self, account: int, now_ns: int) -> Headers:
        """What orders() gave, without counting."""
        return _order_headers(self._account(account, now_ns))

    def _account(self, account: int, now_ns: int) -> _Account:
        """Its counts, begun anew where a period is over. As many accounts as the key file has: bounded by it."""
        known = self._accounts.get(account)
        if known is None:
            known = self._accounts[account] = _Account()
        ten = now_ns // TEN_NS
        if known.ten != ten:
            known.ten, known.ten_count = ten, 0
            day = now_ns // DAY_NS
            if known.day != day:
                known.day, known.day_count = day, 0
        return known


def _order_headers(known: _Account) -> Headers:
    return ("X-MBX-ORDER-COUNT-10S", str(known.ten_count)), ("X-MBX-ORDER-COUNT-1D", str(known.day_count))


def _later(problem: Problem, text: str, wait_ns: int) -> ApiError:
    return ApiError(problem, text, retry_after=max(1, -(-wait_ns // SECOND_NS)))


def client_share(address: str) -> str:
    """What all addresses of one client have in common: what is counted of it is counted under this."""
    return _subnet(address) if ":" in address else address


@functools.lru_cache(maxsize=4096)
def _subnet(address: str) -> str:
    """The /64 of an IPv6 address; an IPv4 address that is mapped into one; else what was given."""
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
