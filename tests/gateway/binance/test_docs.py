"""The page of the dialect says of every call and every refusal what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.binance import rest, user_data
from gateway.binance.refusals import REFUSALS
from schemas.vocabulary import Code

PAGE = (Path(__file__).parents[3] / "docs/reference/binance.md").read_text()


def test_every_call_stands_on_the_page_with_its_permission_and_weight() -> None:
    rows = re.findall(r"^\| (GET|POST|PUT|DELETE) (\S+) \| (\w*) ?\| ([^|]+) \|", PAGE, re.MULTILINE)
    told = {(method, path): (needs, weight) for method, path, needs, weight in rows}
    routes = (*rest.ROUTES, *user_data.ROUTES)
    assert set(told) == {(route.method, route.path) for route in routes}
    for route in routes:
        needs, weight = told[route.method, route.path]
        assert needs == ("" if route.access.value == "open" else route.access.value)
        assert callable(route.weight) or str(route.weight) == weight


def test_every_refusal_stands_on_the_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (-\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert {(name, int(status), int(code), text) for name, status, code, text in rows} == {
        (Code(code).name.lower(), problem.status, problem.binance, text) for code, (problem, text) in REFUSALS.items()
    }
