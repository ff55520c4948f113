"""`ironbook up`: an engine node with everything it needs, in one directory, until Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Annotated, Any

import orjson
import typer
from rich.markup import escape

from engine_node.errors import SettingsError
from engine_node.settings import load
from ironbook import Client, EngineFailed, Key
from ironbook.cli import _demo, _gateway, _pipeline
from ironbook.cli._kafka import LoginOption, PrefixOption
from ironbook.cli._output import JsonOption, say_json, stderr, stdout
from ironbook.cli._place import (
    ADMIN_KEY,
    DATA,
    DataOption,
    client_key_path,
    engine_state,
    open_replica,
    passphrase_from_environment,
)
from ironbook.keystore import PASSPHRASE_FILE_VARIABLE, KeyFile

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02
_OPTIONS = {  # the engine reads variables; whoever gave an option is told of the option
    "IRONBOOK_ENGINE_DATA_DIRECTORY": "--data",
    "IRONBOOK_ENGINE_LISTEN": "--listen",
    "IRONBOOK_ENGINE_SURVIVAL_LEVEL": "--level",
}
_UNSEEN = frozenset({"counters"})  # a kilobyte every ten seconds: for machines, which read the log_file of the settings
_COLOURS = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red"}


def up(
    data: DataOption = DATA,
    listen: Annotated[
        str, typer.Option(help="Addresses to listen at, separated by commas; port 0 takes a free one.")
    ] = "127.0.0.1:7400",
    level: Annotated[
        str, typer.Option(help="What an acknowledgement survives: process (kill -9), disk (power), cluster (machine).")
    ] = "disk",
    settings: Annotated[
        Path | None, typer.Option(help="Settings file (TOML) of the engine; --data, --listen and --level win.")
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(help="The full pipeline on these brokers, host:port; `local`, or nothing: starts them here."),
    ] = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    database: Annotated[
        str | None,
        typer.Option(envvar="IRONBOOK_DATABASE_URL", help="PostgreSQL for the results; default: one of its own."),
    ] = None,
    analytics: Annotated[bool, typer.Option(help="Positions, P&L and candles, into PostgreSQL.")] = True,
    http: Annotated[
        str, typer.Option(help="Where gateway and dashboard listen, host:port; port 0 takes a free one.")
    ] = _gateway.LISTEN,
    gateway: Annotated[bool, typer.Option(help="HTTP and WebSocket API, and the dashboard.")] = True,
    demo: Annotated[bool, typer.Option(help="Define demo assets, instruments, accounts and deposits.")] = True,
    exit_after: Annotated[float | None, typer.Option(help="Stop by itself after so many seconds.", hidden=True)] = None,
    json: JsonOption = False,
) -> None:
    """Start an engine node, its gateway and the dashboard in the foreground; Ctrl-C stops them gracefully.

    On the first start it makes a key file, a passphrase file, keys for an admin and two demo traders, and (through
    signed admin frames, like anybody) demo assets, instruments, accounts, limits and deposits. Nothing else is needed.

    The gateway speaks the Binance Spot dialect (ccxt and other clients trade by its URL alone) and serves a dashboard.
    Beside it analytics reads the journal into a PostgreSQL of its own: `ironbook positions`, `pnl`, `candles`. With
    --kafka the publisher and the workers run instead: signed orders come in on a topic, and all that happens goes out
    on topics and into PostgreSQL.

    Examples:

      ironbook up

      ironbook up --kafka

      ironbook up --kafka 10.0.0.5:9092 --database postgresql://ironbook@10.0.0.6/ironbook

      ironbook up --data /srv/exchange --listen 10.0.0.5:7400,[::1]:7400 --no-demo
    """
    _refuse_second(data)
    beside = _pipeline.choose(data, kafka, prefix, login, database, analytics, _quiet if json else _tell)
    web = _gateway.Gateway(data, http, _quiet if json else _tell) if gateway else None
    engine = _Engine(data, listen, level, settings, json)
    engine.check_settings()
    keys = _demo.open_or_make_key_file(data)
    made = _demo.make_keys(keys, data)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    ready, code = False, 0
    try:
        address, steps, more = _start(engine, beside, web, keys, demo)
        ready = True
        _greet(data, address, level, made, steps, more, json)
        code = engine.wait(exit_after)
    except KeyboardInterrupt:
        if not ready:
            raise
    finally:
        _stop(engine, beside, web)
        signal.signal(signal.SIGTERM, previous)
    if code:
        raise _ended(data, code, engine.last_problem())


def _refuse_second(data: Path) -> None:
    running = engine_state(data)
    if running is not None:
        raise EngineFailed(
            f"no engine node may be running in the data directory, process {running['pid']} is",
            detail=f"{data.absolute()}, listening at {', '.join(map(str, running.get('addresses', [])))}"
            + (f", dashboard {url}" if (url := _gateway.running_url(data)) else ""),
            hint="use it as it is, stop it first, or choose another --data",
        )


def _start(
    engine: _Engine,
    beside: _pipeline.Embedded | _pipeline.Full | None,
    web: _gateway.Gateway | None,
    keys: KeyFile,
    demo: bool,
) -> tuple[str, int, dict[str, Any]]:
    """Everything in its order; the engine's address, how many commands set it up, and what there is to say."""
    if web is not None:
        web.prepare(keys)
    if beside is not None:
        beside.prepare(keys)
        engine.environment |= beside.engine_variables()
    engine.start()
    address = engine.wait_until_ready()
    steps = _set_up(engine.data, address, engine.as_json) if demo else 0
    more = beside.start(address) if beside is not None else {}
    if web is not None:
        more |= web.start(address, **(beside.for_gateway() if beside is not None else {}))
    return address, steps, more


def _stop(engine: _Engine, beside: _pipeline.Embedded | _pipeline.Full | None, web: _gateway.Gateway | None) -> None:
    """Who brings orders ends first, then the engine with its publisher, then who keeps the results, and the servers."""
    if web is not None:
        web.stop()
    if isinstance(beside, _pipeline.Full):
        beside.stop()
    engine.stop()
    if beside is not None:
        beside.stop()
        beside.stop_services()


class _Engine:
    """The engine node as a child process in a session of its own: Ctrl-C comes to us, and we stop it by pid."""

    def __init__(self, data: Path, listen: str, level: str, settings: Path | None, as_json: bool) -> None:
        self.data, self.as_json = data, as_json
        self.environment = {
            **os.environ,
            "IRONBOOK_ENGINE_DATA_DIRECTORY": str(data),
            "IRONBOOK_ENGINE_LISTEN": listen,
            "IRONBOOK_ENGINE_SURVIVAL_LEVEL": level,
        }
        if not passphrase_from_environment():
            self.environment[PASSPHRASE_FILE_VARIABLE] = str(data / "passphrase")
        if settings is not None:
            self.environment["IRONBOOK_ENGINE_SETTINGS"] = str(settings)
        self.process: subprocess.Popen[bytes] | None = None
        self.problems: list[dict[str, Any]] = []
        self._ready = False
        self._held: list[dict[str, Any]] = []  # problems of the start: the last of them becomes the error
        self._reader: threading.Thread | None = None

    def check_settings(self) -> None:
        """Are options, variables and settings file good? Raises SettingsError, in which options are called options."""
        try:
            load(environment=self.environment)
        except SettingsError as error:
            raise SettingsError(_by_option(error.message), detail=_by_option(error.detail), hint=error.hint) from None

    def start(self) -> None:
        """Start it; its log is shown from now on."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine_node", "run", f"--parent={os.getpid()}"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if self.process.stderr is not None:
            self._reader = threading.Thread(target=self._show_log, args=(self.process.stderr,), daemon=True)
            self._reader.start()

    def wait_until_ready(self) -> str:
        """Its first address. Raises EngineFailed with what it said last."""
        process = self.process
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while process is not None and process.poll() is None and time.monotonic() < deadline_s:
            state = engine_state(self.data)
            if state is not None and state["pid"] == process.pid and state.get("addresses"):
                self._ready = True
                self._show_held()
                return str(state["addresses"][0])
            time.sleep(_POLL_S)
        if self._reader is not None:
            self._reader.join(1.0)
        last = self.last_problem()
        if last in self._held:
            self._held.remove(last)
        self._show_held()
        if process is not None and process.poll():
            raise _ended(self.data, process.returncode, last)
        raise EngineFailed(
            f"the engine node must become ready within {START_TIMEOUT_S:.0f} s, did not",
            detail=str(last.get("message") or last.get("event") or ""),
            hint=str(last.get("hint") or "a long journal takes long to replay: its log above tells how far it came"),
        )

    def last_problem(self) -> dict[str, Any]:
        """The last warning or error that it logged."""
        if self._reader is not None and self.process is not None and self.process.poll() is not None:
            self._reader.join(1.0)
        return self.problems[-1] if self.problems else {}

    def wait(self, seconds: float | None) -> int:
        """Until it ends, or the time is over; its exit status, 0 if the time is over."""
        try:
            return self.process.wait(seconds) if self.process is not None else 0
        except subprocess.TimeoutExpired:
            return 0

    def stop(self) -> None:
        """SIGTERM, wait for the orderly end; SIGKILL if it does not come."""
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
                process.wait()
        if self._reader is not None:
            self._reader.join(1.0)
        self._show_held()

    def _take_text(self, text: str) -> dict[str, Any]:
        """A line that is no log entry: settings are refused before there is a log, as `name: text` on three lines."""
        name, _, rest = text.partition(": ")
        if name in ("detail", "hint") and self.problems:
            self.problems[-1][name] = rest
            return {"level": "info", "event": text}
        return {"level": "error", "event": text}

    def _show_log(self, lines: IO[bytes]) -> None:
        for line in lines:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                entry = self._take_text(line.decode(errors="replace").strip())
            if entry.get("level") in ("warning", "error"):
                self.problems.append(entry)
                del self.problems[:-20]
            if not self._ready and entry.get("level") == "error":
                self._held.append(entry)
            else:
                self._show(entry)

    def _show_held(self) -> None:
        while self._held:
            self._show(self._held.pop(0))

    def _show(self, entry: dict[str, Any]) -> None:
        if not self.as_json and entry.get("event") not in _UNSEEN:
            stderr.print(format_log_line(entry), soft_wrap=True)


def _by_option(text: str) -> str:
    for variable, option in _OPTIONS.items():
        text = text.replace(f"variable {variable}", f"option {option}")
    return text


def _ended(data: Path, status: int, last: dict[str, Any]) -> EngineFailed:
    """The engine ended by itself: by a signal, or with an error of its own, which is told in its words."""
    if status < 0:
        return EngineFailed(
            f"the engine node must run until it is stopped, was killed by signal {-status}",
            detail=f"data in {data.absolute()}",
            hint="`ironbook up` resumes: nothing acknowledged is lost",
        )
    message = str(last.get("message") or f"the engine node must end with status 0, was {status}")
    return EngineFailed(
        message,
        detail=str(last.get("detail") or f"data in {data.absolute()}"),
        hint=str(last.get("hint") or "its log above says why; mend it, then `ironbook up` resumes"),
    )


def format_log_line(entry: dict[str, Any]) -> str:
    """A line of the engine's log for people: time, level, event, and the fields."""
    fields = {name: value for name, value in entry.items() if name not in ("time_ns", "level", "event")}
    time_ns = entry.get("time_ns")
    clock = "--:--:--" if time_ns is None else time.strftime("%H:%M:%S", time.localtime(time_ns / 1e9))
    level, event = str(entry.get("level", "info")), escape(str(entry.get("event", "")))
    rest = "  ".join(f"[dim]{escape(name)}[/]={escape(_plain(value))}" for name, value in fields.items())
    return f"[dim]{clock}[/] [{_COLOURS.get(level, 'white')}]{level:<7}[/] {event}  {rest}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _set_up(data: Path, address: str, as_json: bool) -> int:
    key = Key.from_file(client_key_path(data, ADMIN_KEY))
    with open_replica(data) as replica, Client(address, key) as client:
        return _demo.define(client, replica.core, _quiet if as_json else _tell)


def _quiet(what: str) -> None:
    return None


def _tell(what: str) -> None:
    stderr.print(f"[dim]        [/] [cyan]set up [/] {escape(what)}", soft_wrap=True)


def _greet(
    data: Path, address: str, level: str, made: list[str], steps: int, more: dict[str, Any], as_json: bool
) -> None:
    """Where it listens, and what to try next."""
    if as_json:
        say_json(
            {
                "ready": True,
                "address": address,
                "data": str(data.absolute()),
                "level": level,
                "keys_made": made,
                "commands_sent": steps,
                **more,
            }
        )
        return
    here = "" if data == DATA else f" --data {data}"
    say: Callable[[str], None] = lambda text: stdout.print(text, soft_wrap=True)  # noqa: E731
    say(f"\n[bold green]Ironbook listens at {escape(address)}[/]  (data in {escape(str(data))}, level {level})\n")
    for name in ("dashboard", "gateway", "kafka", "database", "workers"):
        if more.get(name):
            said = ", ".join(more[name]) if isinstance(more[name], dict) else str(more[name])
            say(f"  [dim]{name:<9}[/] {escape(said)}")
    if more.get("gateway"):
        keys_at = escape(str(client_key_path(data, "demo-1")))
        if not more["dashboard"]:
            say("No dashboard was built here; `make dashboard` builds it.")
        else:
            say(f"Log in to the dashboard with a key and its secret, which stand in {keys_at}.")
        say(f"Trade with ccxt (pip install ccxt, or with {escape(sys.executable)}):")
        for line in _gateway.ccxt_snippet(more["gateway"], data, "demo-1"):
            say(f"  [cyan]{escape(line)}[/]")
    say("Try, in another terminal:")
    name = "ironbook" if shutil.which("ironbook") else str(Path(sys.executable).with_name("ironbook"))
    for command in (
        f"ironbook order sell 0.5 BTC/USD --price 60010 --key demo-2{here}",
        f"ironbook order buy 0.2 BTC/USD --price 60010 --key demo-1{here}",
        f"ironbook book BTC/USD{here}",
        f"ironbook accounts show 1{here}",
        f"ironbook watch{here}",
        *([f"ironbook watch executions{here}", f"ironbook workers{here}"] if more.get("kafka") else []),
        *([f"ironbook positions{here}"] if more.get("analytics") or more.get("database") else []),
    ):
        say(f"  [cyan]{escape(command.replace('ironbook', name, 1))}[/]")
    say("\nCtrl-C stops it.\n")
