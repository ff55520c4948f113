"""Plays a tape in bursts through signed clients while the engine is killed (kill -9) and started again under them.

    tape ──▶ runs: neighbouring steps of one client, one write each ──▶ outcomes ──▶ next run
                                  │
                   killer thread: a due kill comes a random moment after the write; then start again, sometimes killed
                                  anew while it recovers; the clients come back and resume by themselves

A run waits for all its outcomes before another client sends, so the order of commands at the engine is the tape's, and
the run with kills must come to exactly what the run without them comes to. `check_journal` holds the journal against
everything that clients were told.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from engine_node.replica import Replica
from ironbook import Client, EventKind, Options, Outcome, Report
from ironbook.tape._desk import TRADING
from ironbook.tape._node import EngineNode
from ironbook.tape._plan import Planner, Step
from ironbook.tape._venue import Venue, VenueOptions
from ironbook.tape.messages import TapeMessage
from schemas.vocabulary import RECORD_BYTES, Header, Kind, Permission, Record
from tests.support.replay import replay

RUN_STEPS_MAX = 64
KILL_DELAY_S_MAX = 0.002  # after the write of a run: in the middle of it, or behind it
RECOVERY_KILL_S_MAX = 0.6  # after the start of a process: before, in or behind recovery
RECOVERY_KILL_ONE_IN = 6
OPTIONS = Options(request_timeout_s=60.0, reconnect_timeout_s=60.0, backoff_first_s=0.005, backoff_max_s=0.05)
NOT_NUMBERED = frozenset((Kind.LOGON, Kind.LOGOFF))  # records that carry a key and use no client sequence


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CrashOptions:
    """What to kill, and how often."""

    kill_count: int
    seed: int
    level: str  # process or disk
    makers: int = 1
    tick: int = 100
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True, kw_only=True)
class Told:
    """What one client was told."""

    key: int
    commands: dict[int, bytes] = dataclasses.field(default_factory=dict)  # acknowledged, by client sequence
    reports: list[Report] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, kw_only=True)
class Came:
    """What a tape came to. Equal in every run of the same tape, however often the engine was killed."""

    filled_lots: dict[tuple[int, int], int]  # by account and client order id
    balances: dict[tuple[int, int], tuple[int, int] | None]  # by account and asset: free, locked
    levels: list[tuple[int, int, int]]
    rejects: Counter[str]


@dataclasses.dataclass(slots=True, kw_only=True)
class Crashed:
    """One run: what it came to, and how it went."""

    came: Came
    kills: int
    kills_in_recovery: int
    logons: int
    kills_in_flight: int  # while frames were sent and not yet known to be recorded
    recovered: list[tuple[int, str]]  # sequence and digest after each recovery
    commands: int
    elapsed_s: float


class Killer(threading.Thread):
    """Kills and restarts the node whenever it is told to, one kill at a time."""

    def __init__(self, node: EngineNode, clients: Sequence[Client], rng: random.Random) -> None:
        super().__init__(name="killer", daemon=True)
        self.node = node
        self.clients = clients
        self.kills_in_flight = 0
        self.rng = rng
        self.due = threading.Semaphore(0)
        self.idle = threading.Event()
        self.idle.set()
        self.ended = False
        self.kills = 0
        self.kills_in_recovery = 0
        self.failure: BaseException | None = None

    def kill_soon(self) -> None:
        self.idle.clear()
        self.due.release()

    def run(self) -> None:
        try:
            while True:
                self.due.acquire()
                if self.ended:
                    return
                time.sleep(self.rng.random() * KILL_DELAY_S_MAX)
                self.node.kill()
                self.kills_in_flight += any(client._session.outstanding_count() for client in self.clients)
                self.kills += 1
                while self.rng.randrange(RECOVERY_KILL_ONE_IN) == 0:
                    self.node.spawn()
                    time.sleep(self.rng.random() * RECOVERY_KILL_S_MAX)
                    self.node.kill()
                    self.kills += 1
                    self.kills_in_recovery += 1
                self.node.start()
                self.idle.set()
        except BaseException as error:
            self.failure = error
            self.idle.set()

    def end(self) -> None:
        self.ended = True
        self.due.release()
        self.join()
        if self.failure is not None:
            raise self.failure


def play(directory: Path, messages: Iterable[TapeMessage], options: CrashOptions) -> Crashed:
    """Play a tape on a fresh node with kills at random places, then check everything against its journal."""
    rng = random.Random(options.seed)
    accounts = list(range(1, options.makers + 2))
    with EngineNode(directory, survival_level=options.level, **options.settings) as node:
        admin_key = node.add_key("admin", Permission.ADMIN)
        keys = [node.add_key(f"client-{account}", TRADING, account) for account in accounts]
        node.start()
        with Client(node.address, admin_key, options=OPTIONS) as admin:
            venue = Venue(admin, accounts, VenueOptions(step=options.tick))
            venue.open()
            plan = Planner(step=options.tick, accounts=accounts, instrument=venue.instrument)
            runs = runs_of(step for message in messages for step in plan.steps(message))
        clients = [Client(node.address, key, options=OPTIONS).connect() for key in keys]
        told = [Told(key=client.logon.key) for client in clients if client.logon is not None]
        killer = Killer(node, clients, rng)
        killer.start()
        began_s = time.monotonic()
        try:
            send_all(runs, clients, told, killer, kill_places(rng, len(runs), options.kill_count))
        finally:
            killer.end()
        elapsed_s = time.monotonic() - began_s
        for client, client_told in zip(clients, told, strict=True):
            client.ping()
            client_told.reports += client.take_reports()
        logons = sum(client.logon_count for client in clients)
        for client in clients:
            client.close()
        came = what_came(node, venue, told)
        node.stop()
    recovered = recovered_states(node.log_path)
    check_journal(directory, told, recovered)
    return Crashed(
        came=came, kills=killer.kills, kills_in_flight=killer.kills_in_flight, logons=logons,
        kills_in_recovery=killer.kills_in_recovery, recovered=recovered, commands=sum(len(run) for run in runs),
        elapsed_s=elapsed_s,
    )  # fmt: skip


def runs_of(steps: Iterable[Step]) -> list[list[Step]]:
    """Neighbouring steps of one client, at most RUN_STEPS_MAX together."""
    runs: list[list[Step]] = []
    for _, same_client in groupby(steps, key=lambda step: step.client):
        run = list(same_client)
        runs += [run[at : at + RUN_STEPS_MAX] for at in range(0, len(run), RUN_STEPS_MAX)]
    return runs


def kill_places(rng: random.Random, run_count: int, kill_count: int) -> set[int]:
    """Before which runs to let the killer go."""
    return set(rng.sample(range(run_count), min(kill_count, run_count)))


def send_all(
    runs: Sequence[list[Step]], clients: Sequence[Client], told: Sequence[Told], killer: Killer, places: set[int]
) -> None:
    for number, run in enumerate(runs):
        if number in places:
            assert killer.idle.wait(120), "a killed engine must be back within two minutes"
            if killer.failure is not None:
                return
            killer.kill_soon()
        client = run[0].client
        outcomes = clients[client].submit_many([step.command for step in run])
        note(told[client], run, outcomes)
    assert killer.idle.wait(120), "a killed engine must be back within two minutes"


def note(told: Told, run: Sequence[Step], outcomes: Sequence[Outcome]) -> None:
    for step, outcome in zip(run, outcomes, strict=True):
        packed, sequence = step.command.pack(), outcome.client_sequence
        assert sequence not in told.commands, "a client sequence must be answered once"
        told.commands[sequence] = packed[:2] + sequence.to_bytes(6, "little") + packed[8:]
        told.reports += outcome.reports


def what_came(node: EngineNode, venue: Venue, told: Sequence[Told]) -> Came:
    filled: Counter[tuple[int, int]] = Counter()
    rejects: Counter[str] = Counter()
    for report in (report for client in told for report in client.reports):
        if report.kind is EventKind.FILLED:
            filled[report.account, report.client_order_id] += report.quantity_lots
        elif report.kind is EventKind.REJECTED:
            rejects[report.code.name.lower()] += 1
    with Replica.open(node.directory) as replica:
        replica.catch_up()
        core = replica.core
        assets = [venue.options.first_asset, *(venue.share_asset(number) for number in venue.symbols)]
        balances = {(account, asset): core.balance(account, asset) for account in venue.accounts for asset in assets}
        levels = [level for number in venue.symbols for side in (1, 2) for level in core.levels(number, side, 100_000)]
    return Came(filled_lots=dict(filled), balances=balances, levels=levels, rejects=rejects)


def recovered_states(log: Path) -> list[tuple[int, str]]:
    """Sequence and digest that each start of the engine recovered, from its log."""
    states = []
    for line in log.read_text(errors="replace").splitlines():
        if '"recovered"' in line:
            entry = json.loads(line)
            states.append((entry["sequence"], f"{entry['digest']:016x}"))
    return states


def check_journal(directory: Path, told: Sequence[Told], recovered: Sequence[tuple[int, str]]) -> None:
    """Acknowledged commands are in the journal once, reports are dense, what was recovered is what a replay gives."""
    sent: dict[tuple[int, int], list[bytes]] = {}
    with Replica.open(directory, use_snapshot=False, event_mask=0) as replica:
        while (step := replica.step()) is not None:
            for offset in range(0, len(step.records), RECORD_BYTES):
                record = Record.unpack(step.records, offset)
                header = Header.unpack(record.command)
                if record.key and header.kind not in NOT_NUMBERED:
                    sent.setdefault((record.key, header.client_sequence), []).append(record.command)
        for client in told:
            for sequence, command in client.commands.items():
                found = sent.get((client.key, sequence), [])
                assert found == [command], (
                    f"key {client.key}, sequence {sequence}: must be in the journal once, as sent"
                )
            numbers = [report.report_number for report in client.reports]
            state = replica.core.key(client.key)
            assert state is not None
            assert sorted(numbers) == list(range(1, state["last_report_number"] + 1)), (
                f"key {client.key}: a gap or repeat"
            )
            assert set(range(1, state["last_client_sequence"] + 1)) == client.commands.keys()
        assert replica.core.check() is None
        last = (replica.core.sequence(), f"{replica.core.digest():016x}")
    replayed = [(state.sequence, state.digest) for state in replay(directory / "journal", (s for s, _ in recovered))]
    assert replayed == [*recovered, last]


def processes_left(directory: Path, timeout_s: float = 20.0) -> list[str]:
    """Processes that still name the directory in their environment or arguments, after giving them time to notice.

    A helper whose engine was killed while it was still importing ends by itself when it has begun.
    """
    deadline_s = time.monotonic() + timeout_s
    while (left := list(_naming(directory))) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return left


def _naming(directory: Path) -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(str(directory)) in command + environment:
                yield f"{entry.name}: {command.replace(bytes(1), b' ').decode(errors='replace')}"
