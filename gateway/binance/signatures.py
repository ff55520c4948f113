"""Signatures that begin something that lasts: a session, a user data stream. Each is taken once.

What is signed says neither method nor path, so the signature of any request without parameters of its own would do for
a logon as well. So every such signature that was seen is remembered until its timestamp is stale, whatever it was for,
and one that was seen before begins nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from gateway.context import Gateway
from gateway.errors import REPEATED, TOO_MANY_REQUESTS, UNREAD, ApiError

__all__ = ["Signatures", "signatures"]

SEEN_MAX: Final = 1 << 17
STALE_NS: Final = 62_000_000_000  # recvWindow is at most a minute, and a clock may be a second ahead
BARE: Final = frozenset(("apiKey", "timestamp", "recvWindow", "signature", "returnRateLimits"))


class Signatures:
    """Those of this process that are not stale yet."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._order: deque[tuple[int, bytes]] = deque()  # by time of arrival
        self._blind_until_ns = 0  # one that there was no room for could be repeated so long

    def saw(self, nonce: bytes, names: Iterable[str], now_ns: int) -> None:
        """A request was signed with these parameters: could it be repeated as the begin of something?"""
        if not BARE.issuperset(names) or nonce in self._seen:
            return
        self._forget(now_ns)
        if len(self._seen) < SEEN_MAX:
            self._keep(nonce, now_ns)
        else:
            self._blind_until_ns = now_ns + STALE_NS

    def begin(self, nonce: bytes, names: Iterable[str], now_ns: int) -> None:
        """Something begins with this signature. Raises ApiError if it was seen before, or made for something else."""
        extra = sorted(set(names) - BARE)
        if extra:
            told = f"A signature that begins a session or stream signs nothing else, found '{extra[0][:60]}'."
            raise ApiError(UNREAD, told)
        self._forget(now_ns)
        if nonce in self._seen:
            raise ApiError(REPEATED)
        if len(self._seen) >= SEEN_MAX or now_ns <= self._blind_until_ns:
            raise ApiError(TOO_MANY_REQUESTS, retry_after=1)
        self._keep(nonce, now_ns)

    def _keep(self, nonce: bytes, now_ns: int) -> None:
        self._seen.add(nonce)
        self._order.append((now_ns, nonce))

    def _forget(self, now_ns: int) -> None:
        while self._order and now_ns - self._order[0][0] > STALE_NS:
            self._seen.discard(self._order.popleft()[1])


def signatures(gateway: Gateway) -> Signatures:
    """The gateway's one memory of them, made when it is first asked for."""
    found = gateway.shared.get(Signatures)
    if not isinstance(found, Signatures):
        found = gateway.shared[Signatures] = Signatures()
    return found
