"""Tapes: recorded order flow (LOBSTER, NASDAQ ITCH 5.0) or made-up flow, played against an engine and compared with
what it did.
"""

from .errors import TapeError, TapeFailed, TapeInvalid, TapeOptions, TapeUnreadable
from .flow import FlowOptions, generate
from .itch import ItchMessage, read_itch, read_messages
from .lobster import common_step, read_lobster
from .messages import TapeKind, TapeMessage
from .player import Difference, Fill, Played, Player, PlayOptions, parse_pace

__all__ = [
    "Difference",
    "Fill",
    "FlowOptions",
    "ItchMessage",
    "PlayOptions",
    "Played",
    "Player",
    "TapeError",
    "TapeFailed",
    "TapeInvalid",
    "TapeKind",
    "TapeMessage",
    "TapeOptions",
    "TapeUnreadable",
    "common_step",
    "generate",
    "parse_pace",
    "read_itch",
    "read_lobster",
    "read_messages",
]
