"""/api/v1/backtests: the place of jobs that try a strategy on the past. Reserved: no release has them yet.

The path is taken now, so that clients and proxies never meet something else there.
"""

from __future__ import annotations

from typing import Final, NoReturn

from gateway import errors
from gateway.errors import ApiError
from gateway.routing import Access, Call, Route

__all__ = ["ROUTES"]


def reserved(call: Call) -> NoReturn:
    """Reserved.

    Not part of this release: who may read is answered 501, and nothing is done.
    """
    raise ApiError(
        errors.RESERVED,
        detail=f"{call.request.method} {call.request.path}",
        hint="to try something on a recorded market, play one against a node of its own: ironbook tape FILE",
    )


def _route(method: str, what: str) -> Route:
    return Route(
        method=method,
        path="/api/v1/backtests",
        handler=reserved,
        summary=f"Reserved, not part of this release: {what}",
        tag="backtests",
        access=Access.READ,
        status=errors.RESERVED.status,
        problems=(errors.RESERVED,),
    )


ROUTES: Final = (_route("GET", "the account's backtest jobs."), _route("POST", "begin a backtest job."))
