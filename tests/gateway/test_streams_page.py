"""The page of the streams names every method and kind that is served."""

from __future__ import annotations

import re

from gateway.binance.streams import METHODS as STREAM_METHODS
from gateway.binance.ws_api import METHODS, ApiSocket
from gateway.candles import INTERVALS
from tests.support.node import ROOT

PAGE = (ROOT / "docs/reference/streams-websocket.md").read_text()


def test_every_method_of_the_websocket_api_is_on_the_page():
    own = re.findall(r'"((?:session|userDataStream)\.[a-zA-Z.]+)":', _source("gateway/binance/ws_api.py"))
    assert len(own) == 10
    told = set(re.findall(r"`([a-zA-Z0-9]+(?:\.[a-zA-Z0-9]+)*)`", PAGE))
    assert set(METHODS) | set(own) <= told
    assert ApiSocket.__doc__


def test_every_request_and_interval_of_the_streams_is_on_the_page():
    assert all(f"`{method}`" in PAGE or f'"{method}"' in PAGE for method in STREAM_METHODS)
    assert " ".join(INTERVALS) in PAGE


def test_every_type_of_the_accounts_and_books_channels_is_on_the_page():
    account = re.findall(r'"type": "([a-z]+)"|_tell\(log, event, "([a-z]+)"', _source("gateway/account_channel.py"))
    assert {one or other for one, other in account} <= set(re.findall(r"^\| `([a-z]+)`", PAGE, re.MULTILINE))


def _source(path: str) -> str:
    return (ROOT / path).read_text()
