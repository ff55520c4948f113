"""Ironbook for its users: a client that signs orders, and everything its answers are made of.

    from ironbook import Client, Key, Side

    with Client("127.0.0.1:7001", Key.from_file(".ironbook/client-keys/demo-1.json")) as client:
        outcome = client.submit(1, Side.BUY, price_ticks=10_000, quantity_lots=5)
        print(outcome.answer.kind, outcome.filled_lots)

`AsyncClient` has the same methods for asyncio. The command line is `ironbook`.
"""

from ironbook._async_client import AsyncClient
from ironbook._client import Batch, Client
from ironbook._commands import Command, Prefixed
from ironbook._decimals import Units, amount_text, amount_units, format_decimal, parse_decimal
from ironbook._errors import (
    AddressInvalid,
    AnswerForged,
    ClientClosed,
    ConnectionFailed,
    DecimalInvalid,
    DependencyMissing,
    EngineCodeError,
    EngineFailed,
    InputInvalid,
    IronbookError,
    JournalInvalid,
    KeyInvalid,
    LineError,
    LocalError,
    LogonRefused,
    NotRecorded,
    ProtocolError,
    QueueFull,
    Rejected,
    ReportGap,
    ReportRepeated,
    RequestTimeout,
    SequenceConflict,
    SessionEnded,
)
from ironbook._key import Key
from ironbook._options import Options, ResumeState, Surroundings
from ironbook._reports import Outcome, Report
from schemas.vocabulary import (
    Account,
    AccountLimits,
    Asset,
    Cancel,
    CircuitBreaker,
    Code,
    CountdownCancel,
    Deposit,
    EventKind,
    Halt,
    HaltAction,
    HaltScope,
    Instrument,
    InstrumentLimits,
    InstrumentState,
    LinkAction,
    MassCancel,
    NewOrder,
    Nonce,
    OrderLink,
    OrderOption,
    OrderTerms,
    OrderType,
    Peg,
    Permission,
    Replace,
    ReportFlag,
    SelfTradePrevention,
    Side,
    TermOption,
    TimeInForce,
    TradingState,
    Trigger,
    Withdrawal,
)

__version__ = "0.1.0"

__all__ = [
    # clients
    "AsyncClient",
    "Batch",
    "Client",
    "Key",
    "Options",
    "ResumeState",
    "Surroundings",
    # results
    "Outcome",
    "Report",
    # commands
    "Account",
    "AccountLimits",
    "Asset",
    "Cancel",
    "CircuitBreaker",
    "Command",
    "CountdownCancel",
    "Deposit",
    "Halt",
    "Instrument",
    "InstrumentLimits",
    "InstrumentState",
    "MassCancel",
    "NewOrder",
    "Nonce",
    "OrderLink",
    "OrderTerms",
    "Prefixed",
    "Replace",
    "Withdrawal",
    # vocabulary
    "Code",
    "EventKind",
    "HaltAction",
    "HaltScope",
    "LinkAction",
    "OrderOption",
    "OrderType",
    "Peg",
    "Permission",
    "ReportFlag",
    "SelfTradePrevention",
    "Side",
    "TermOption",
    "TimeInForce",
    "TradingState",
    "Trigger",
    # decimals
    "Units",
    "amount_text",
    "amount_units",
    "format_decimal",
    "parse_decimal",
    # errors
    "AddressInvalid",
    "AnswerForged",
    "ClientClosed",
    "ConnectionFailed",
    "DecimalInvalid",
    "DependencyMissing",
    "EngineCodeError",
    "EngineFailed",
    "InputInvalid",
    "IronbookError",
    "JournalInvalid",
    "KeyInvalid",
    "LineError",
    "LocalError",
    "LogonRefused",
    "NotRecorded",
    "ProtocolError",
    "QueueFull",
    "Rejected",
    "ReportGap",
    "ReportRepeated",
    "RequestTimeout",
    "SequenceConflict",
    "SessionEnded",
    # this package
    "__version__",
]
