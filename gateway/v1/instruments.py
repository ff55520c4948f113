"""/api/v1/instruments: what can be traded, and how it stands."""

from __future__ import annotations

from typing import Final

from gateway import errors
from gateway.routing import Call, Route
from gateway.v1 import shapes
from gateway.v1.models import InstrumentInfo
from gateway.v1.types import Page

__all__ = ["ROUTES"]


def all_instruments(call: Call) -> Page[InstrumentInfo]:
    """Every instrument."""
    core = call.gateway.mirror.core
    return Page(items=[shapes.instrument_info(core, one) for one in shapes.instruments(call.gateway)])


def one_instrument(call: Call) -> InstrumentInfo:
    """One instrument."""
    mirror = call.gateway.mirror
    return shapes.instrument_info(mirror.core, mirror.instrument(call.path["symbol"]))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/instruments",
        handler=all_instruments,
        summary="Every instrument as it stands.",
        tag="market",
        returns=Page[InstrumentInfo],
        weight=10,
    ),
    Route(
        method="GET",
        path="/api/v1/instruments/{symbol}",
        handler=one_instrument,
        summary="One instrument as it stands.",
        tag="market",
        returns=InstrumentInfo,
        problems=(errors.SYMBOL,),
    ),
)
