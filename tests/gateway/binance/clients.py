"""Clients that people have, pointed at a running stack by URL alone, and a fence: nothing leaves this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import ccxt
import ccxt.async_support
from binance.client import Client

from tests.support.gateway import TRADERS, Stack

SYMBOL = "BTC/USD"


def _point(urls: dict[str, Any], url: str, ws_url: str) -> dict[str, Any]:
    """The same tree with every address of it at the stack."""
    return {
        name: _point(value, url, ws_url) if isinstance(value, dict) else _moved(value, url, ws_url)
        for name, value in urls.items()
    }


def _moved(address: str, url: str, ws_url: str) -> str:
    scheme, _, rest = address.partition("://")
    return (ws_url if scheme == "wss" else url) + "/" + rest.partition("/")[2]


def ccxt_options(stack: Stack, key_id: str) -> dict[str, Any]:
    """What both of ccxt's clients are made with."""
    return {
        "apiKey": key_id,
        "secret": stack.secret(key_id),
        "enableRateLimit": False,
        "options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False},
    }


def point(exchange: Any, stack: Stack) -> Any:
    """Move all addresses of a ccxt exchange to the stack."""
    exchange.urls["api"] = _point(exchange.urls["api"], stack.url, stack.ws_url)
    return exchange


def by_ccxt(stack: Stack, key_id: str, **options: Any) -> Any:
    """ccxt's binance, with the account's key."""
    return point(ccxt.binance(ccxt_options(stack, key_id) | options), stack)


def by_async_ccxt(stack: Stack, key_id: str) -> Any:
    """The same for asyncio."""
    return point(ccxt.async_support.binance(ccxt_options(stack, key_id)), stack)


def by_python_binance(stack: Stack, key_id: str) -> Any:
    """python-binance, with the account's key."""
    client = Client(key_id, stack.secret(key_id), ping=False)
    client.API_URL = f"{stack.url}/api"
    client.MARGIN_API_URL = f"{stack.url}/sapi"
    return client


@contextlib.contextmanager
def fenced() -> Iterator[list[str]]:
    """Connections to anything but loopback fail, and are told in the list."""
    refused: list[str] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not ipaddress.ip_address(address[0]).is_loopback:
            refused.append(str(address))
            raise ConnectionRefusedError(f"{address} is not this machine")
        connect(self, address)

    def resolve(host: Any, *arguments: Any, **named: Any) -> Any:
        if host not in (None, "127.0.0.1", "::1", "localhost"):
            refused.append(str(host))
            raise OSError(f"{host} is not this machine")
        return found(host, *arguments, **named)

    found = socket.getaddrinfo
    socket.socket.connect = guarded  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = resolve
    try:
        yield refused
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.getaddrinfo = found


def clear(stack: Stack) -> None:
    """No trader has an open order any more."""
    for key_id in TRADERS:
        for symbol in ("BTCUSD", "ETHUSD"):
            stack.signed(key_id, "DELETE", "/api/v3/openOrders", symbol=symbol)
