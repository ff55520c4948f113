"""The outcome digest: what a tape came to, in the tape's own numbers.

    SHA-256 over lines of ASCII text, each ended by a newline:
        fill <symbol> <maker's order> <taker> <price> <shares>  in the order of the trades, symbol by symbol
        balance <client> <asset> <change>                  by client, then asset: fees taken out, deposits left out

A taker is `m<index>` for the message whose execution was sent, `o<id>` for an arriving order that met another; a maker
is `o<id>`. Clients are `taker`, `maker1`, `maker2`, …; an asset is the symbol (shares) or `cash` (in 10^-6 of the
currency). No number that an engine gave is in it and no time: the same
tape gives the same digest in every run, at every pace, and after any number of restarts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

CASH = "cash"


def client_name(client: int) -> str:
    """Client 0 is the taker, makers count from 1."""
    return f"maker{client}" if client else "taker"


class OutcomeLog:
    """Gathers fills in the order of trades, and balances; its digest is known at any time."""

    def __init__(self) -> None:
        self._fills: dict[str, hashlib._Hash] = {}
        self.fill_count = 0
        self.balances: dict[tuple[int, str], int] = {}

    def fill(self, symbol: str, maker: str, taker: str, price: int, quantity: int) -> None:
        """One trade, behind all earlier ones of its symbol. `price` as on the tape, `quantity` in shares."""
        digest = self._fills.get(symbol)
        if digest is None:
            digest = self._fills[symbol] = hashlib.sha256()
        digest.update(f"fill {symbol} {maker} {taker} {price} {quantity}\n".encode())
        self.fill_count += 1

    def change(self, client: int, asset: str, units: int) -> None:
        """A client's balance of an asset changed by so many units."""
        at = (client, asset)
        self.balances[at] = self.balances.get(at, 0) + units

    def digest(self) -> str:
        """64 hexadecimal digits. The fills of each symbol go in by the digest of their lines."""
        whole = hashlib.sha256()
        for symbol in sorted(self._fills):
            whole.update(f"fills {symbol} {self._fills[symbol].hexdigest()}\n".encode())
        for line in self.balance_lines():
            whole.update(line.encode())
        return whole.hexdigest()

    def balance_lines(self) -> Iterable[str]:
        """The balances as they go into the digest; a change of nothing is left out."""
        for client, asset in sorted(self.balances):
            units = self.balances[client, asset]
            if units:
                yield f"balance {client_name(client)} {asset} {units}\n"
