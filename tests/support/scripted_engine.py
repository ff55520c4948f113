"""A peer that speaks the wire and follows a script: for what a real engine would never do, and before there is one.

It keeps what a real engine keeps for one key (last client sequence, reports) over any number of connections, records
every frame in order and answers by simple rules: a new order rests (immediate-or-cancel ones are cancelled at once),
a cancel finds it, everything else is applied. Scripts change what leaves (`alter`), refuse frames (`refuse`), or cut.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import threading
import time
from collections.abc import Callable

from schemas.vocabulary import (
    RESUME_NEW_ONLY,
    Cancel,
    Code,
    EventKind,
    Header,
    Kind,
    LogonAnswer,
    LogonRequest,
    MassCancel,
    MessageKind,
    NewOrder,
    Ping,
    Report,
    TimeInForce,
)

DONE = 4


class ScriptedEngine:
    """Listens on a free port of the loopback; a context manager.

    recorded   every command recorded, in order, without tags
    reports    every report made for the key, from number 1
    alter      called with each message that leaves; gives the messages that leave instead
    refuse     client sequence -> codes still to be answered instead of recording it
    cut_after  after so many frames more, the connection is cut before the next one is recorded; None: never
    mute       frames are recorded but nothing is answered
    """

    def __init__(self, key_id: str = "desk", secret: bytes = bytes(32), *, key: int = 3, account: int = 7) -> None:
        self.key_id, self.secret, self.key, self.account = key_id, secret, key, account
        self.idle_ms = 10_000
        self.recorded: list[bytes] = []
        self.reports: list[bytes] = []
        self.last_client_sequence = 0
        self.sequence = 100
        self.open_orders: dict[int, NewOrder] = {}
        self.logons: list[LogonRequest] = []
        self.pings = 0
        self.alter: Callable[[bytes], list[bytes]] = lambda message: [message]
        self.alter_answer: Callable[[bytes], bytes] = lambda answer: answer
        self.end_logon: int | None = None
        self.refuse: dict[int, list[int]] = {}
        self.refused_from: int | None = None
        self.cut_after: int | None = None
        self.cut_before_answer = False
        self.mute = False
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._stopped = False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> ScriptedEngine:
        self._start(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop_listening()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        if self.errors:
            raise self.errors[0]

    def stop_listening(self) -> None:
        """Nobody can connect any more."""
        self._stopped = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """Cut every connection, as a broken cable would be noticed."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def tell(self, message: bytes) -> None:
        """Send a message on every connection."""
        for connection in list(self._connections):
            connection.sendall(message)

    def message(self, kind: MessageKind, *, code: int = 0, reference: int = 0, order_id: int = 0) -> bytes:
        return Report(kind=kind, code=code, reference=reference, order_id=order_id, key=self.key).pack()

    def report(self, kind: EventKind, **fields: int) -> bytes:
        """Make the key's next report."""
        number = len(self.reports) + 1
        fields.setdefault("account", self.account)
        fields.setdefault("sequence", self.sequence)
        packed = Report(kind=kind, key=self.key, report_number=number, **fields).pack()
        self.reports.append(packed)
        return packed

    def _start(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=self._guard, args=(run, *args), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guard(self, run: Callable[..., None], *args: object) -> None:
        try:
            run(*args)
        except OSError:
            return
        except BaseException as error:
            self.errors.append(error)

    def _accept(self) -> None:
        while not self._stopped:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._session(connection)
        finally:
            self._connections.remove(connection)
            connection.close()

    def _session(self, connection: socket.socket) -> None:
        data = _exactly(connection, 96)
        request = LogonRequest.unpack(data)
        good = hmac.compare_digest(request.mac, hmac.digest(self.secret, data[:64], "sha256"))
        assert abs(request.timestamp_ns - time.time_ns()) < 300e9
        if self.end_logon is not None or not good or request.key_id.rstrip(b"\0") != self.key_id.encode():
            code = Code.LOGON_REFUSED if self.end_logon is None else self.end_logon
            connection.sendall(self.message(MessageKind.SESSION_ENDED, code=code))
            return
        with self._lock:
            self.logons.append(request)
            self.refused_from = None
            answer = LogonAnswer(
                kind=MessageKind.LOGON_ANSWER,
                idle_ms=self.idle_ms,
                server_nonce=os.urandom(16),
                last_client_sequence=self.last_client_sequence,
                last_report_number=len(self.reports),
                server_time_ns=time.time_ns(),
                key=self.key,
                account=self.account,
                permissions=31,
            ).pack()
        mac = hmac.digest(self.secret, data[:64] + answer[:64], "sha256")
        connection.sendall(self.alter_answer(answer[:64] + mac))
        label = b"IRONBK01 session" + request.client_nonce + answer[8:24] + request.key_id
        session_key = hmac.digest(self.secret, label, "sha256")
        told = len(self.reports) if request.last_report_number == RESUME_NEW_ONLY else request.last_report_number
        while True:
            frame = _exactly(connection, 64)
            tag = hmac.digest(session_key, frame[:48], hashlib.sha256)[:16]
            if not hmac.compare_digest(tag, frame[48:]):
                connection.sendall(self.message(MessageKind.SESSION_ENDED, code=Code.FRAME_REFUSED))
                return
            if self.cut_after is not None:
                if self.cut_after == 0:
                    self.cut_after = None
                    return
                self.cut_after -= 1
            with self._lock:
                missed = self.reports[told:]
                answers = self._frame(frame[:48])
                told = len(self.reports)
            if self.cut_before_answer:
                self.cut_before_answer = False
                return
            if not self.mute:
                out = [part for message in (*missed, *answers) for part in self.alter(message)]
                connection.sendall(b"".join(out))

    def _frame(self, command: bytes) -> list[bytes]:
        header = Header.unpack(command)
        sequence = header.client_sequence
        if header.kind == Kind.PING:
            self.pings += 1
            echo = Ping.unpack(command).echo
            return [self.message(MessageKind.PONG, reference=echo, order_id=self.last_client_sequence)]
        if sequence <= self.last_client_sequence:
            return [self.message(MessageKind.REPEAT, reference=sequence)]
        codes = self.refuse.get(sequence)
        if codes:
            self.refused_from = sequence
            return [self.message(MessageKind.REFUSED, code=codes.pop(0), reference=sequence)]
        if self.refused_from is not None and sequence > self.refused_from:
            return [self.message(MessageKind.REFUSED, code=Code.EARLIER_REFUSED, reference=sequence)]
        self.refused_from = None
        assert sequence == self.last_client_sequence + 1, f"gap: {self.last_client_sequence} then {sequence}"
        self.last_client_sequence = sequence
        self.recorded.append(command)
        self.sequence += 1
        return self._carry_out(header, command)

    def _carry_out(self, header: Header, command: bytes) -> list[bytes]:
        sequence = header.client_sequence
        if header.kind in (Kind.TEXT, Kind.NONCE):
            return []
        if header.kind == Kind.NEW_ORDER:
            order = NewOrder.unpack(command)
            fields = {"order_id": self.sequence, "client_order_id": order.client_order_id}
            if order.quantity_lots <= 0:
                return [self.report(EventKind.REJECTED, code=Code.QUANTITY_INVALID, reference=sequence)]
            quantity = order.quantity_lots
            accepted = self.report(
                EventKind.ACCEPTED, quantity_lots=quantity, remaining_lots=quantity, reference=sequence, **fields
            )
            if order.time_in_force == TimeInForce.GOOD_TILL_CANCELLED:
                self.open_orders[self.sequence] = order
                return [accepted]
            code = Code.CANCELLED_UNFILLED
            cancelled = self.report(EventKind.CANCELLED, flags=DONE, code=code, quantity_lots=quantity, n=1, **fields)
            return [accepted, cancelled]
        if header.kind == Kind.CANCEL:
            order_id = Cancel.unpack(command).order_id
            if self.open_orders.pop(order_id, None) is None:
                return [self.report(EventKind.REJECTED, code=Code.UNKNOWN_ORDER, reference=sequence)]
            code = Code.CANCELLED_BY_REQUEST
            return [self.report(EventKind.CANCELLED, flags=DONE, code=code, order_id=order_id, reference=sequence)]
        answers = []
        if header.kind == Kind.MASS_CANCEL:
            account = MassCancel.unpack(command).account
            for order_id in [o for o, order in self.open_orders.items() if order.account == account]:
                del self.open_orders[order_id]
                code = Code.CANCELLED_BY_MASS_CANCEL
                answers.append(self.report(EventKind.CANCELLED, flags=DONE, code=code, order_id=order_id))
        return [*answers, self.report(EventKind.APPLIED, quantity_lots=len(answers), reference=sequence)]


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("the client closed")
        data += part
    return bytes(data)
