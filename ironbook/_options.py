"""Options of a client, the state it can resume from, and what it takes from its surroundings."""

from __future__ import annotations

import dataclasses
import os
import random
import ssl
import time
from collections.abc import Callable

import orjson

from ironbook._errors import AddressInvalid, InputInvalid
from schemas.vocabulary import COMMAND_BYTES


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a client behaves. Times in seconds."""

    cancel_on_disconnect: bool = False  # the engine cancels this key's resting orders when the session ends
    connect_timeout_s: float = 5.0  # one attempt: TCP, TLS and logon
    request_timeout_s: float = 10.0  # from sending a command to its outcome
    reconnect: bool = True  # regain a lost line and resend what is not recorded
    reconnect_timeout_s: float = 30.0  # then ConnectionFailed; everything is kept for the next connect()
    backoff_first_s: float = 0.05  # wait before the second attempt; doubles up to backoff_max_s
    backoff_max_s: float = 2.0
    refusal_timeout_s: float = 10.0  # resend what the engine could not record for so long, then NotRecorded
    outstanding_max: int = 65_536  # frames sent and not yet known to be recorded; more are QueueFull
    report_queue_max: int = 262_144  # reports received and not yet read; then nothing more is read or sent
    keep_reports: bool = True  # False: reports that no request waits for are dropped
    keep_alive: bool = True  # send pings when idle
    tls: ssl.SSLContext | None = None  # None: plain TCP, for private networks
    tls_server_name: str | None = None  # name in the engine's certificate, if it is not the host

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "request_timeout_s", "backoff_first_s", "backoff_max_s"):
            if not getattr(self, name) > 0:
                raise InputInvalid(f"{name} must be above 0 seconds, was {getattr(self, name)}", hint="see Options")
        for name in ("reconnect_timeout_s", "refusal_timeout_s"):
            if not getattr(self, name) >= 0:
                raise InputInvalid(f"{name} must not be below 0 seconds, was {getattr(self, name)}", hint="see Options")
        for name in ("outstanding_max", "report_queue_max"):
            if getattr(self, name) < 8:
                raise InputInvalid(f"{name} must be at least 8, was {getattr(self, name)}", hint="see Options")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResumeState:
    """Where a client stood: save it, hand it to the next one, and nothing is entered twice, lost or told twice.

    last_report_number    the newest report that was read
    last_client_sequence  the newest client sequence known to be recorded
    outstanding           commands of 48 bytes behind it, prefixes too, each with its client sequence
    """

    last_report_number: int
    last_client_sequence: int
    outstanding: tuple[bytes, ...] = ()

    def to_json(self) -> bytes:
        """One JSON object. It holds orders, so keep it as private as the orders are."""
        return orjson.dumps(
            {
                "last_report_number": self.last_report_number,
                "last_client_sequence": self.last_client_sequence,
                "outstanding": [command.hex() for command in self.outstanding],
            }
        )

    @classmethod
    def from_json(cls, data: bytes | str) -> ResumeState:
        """Read what to_json wrote. Raises InputInvalid."""
        try:
            fields = orjson.loads(data)
            state = cls(
                last_report_number=int(fields["last_report_number"]),
                last_client_sequence=int(fields["last_client_sequence"]),
                outstanding=tuple(bytes.fromhex(text) for text in fields["outstanding"]),
            )
            first = state.last_client_sequence + 1
            for index, command in enumerate(state.outstanding):
                if len(command) != COMMAND_BYTES or int.from_bytes(command[2:8], "little") != first + index:
                    raise ValueError(f"command {index} is not {COMMAND_BYTES} bytes with sequence {first + index}")
        except (ValueError, KeyError, TypeError) as error:
            raise InputInvalid(
                f"a resume state must be what ResumeState.to_json wrote, found: {error}",
                hint="start without one: the engine still knows which client sequences it has recorded",
            ) from error
        return state


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Time and randomness, handed in so that tests can hold them still."""

    now_ns: Callable[[], int] = time.time_ns  # since the epoch
    monotonic_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random_bytes: Callable[[int], bytes] = os.urandom
    random_unit: Callable[[], float] = random.random  # 0 to 1: jitter


def backoff_s(options: Options, attempt: int, unit: float) -> float:
    """Seconds to wait before attempt 1, 2, …: doubles from backoff_first_s to backoff_max_s, between half and whole."""
    whole = min(options.backoff_max_s, options.backoff_first_s * 2.0 ** min(attempt - 1, 30))
    return whole * (0.5 + 0.5 * unit)


def parse_address(address: str | tuple[str, int]) -> tuple[str, int]:
    """Read "host:port" or "[IPv6]:port". Raises AddressInvalid."""
    if isinstance(address, tuple):
        return address
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise AddressInvalid(
            f"an address must be host:port with a port from 1 to 65535, was {address!r}",
            hint="for example 127.0.0.1:7001 or [::1]:7001; `ironbook up` prints where it listens",
        )
    return host, int(port)
