"""The primary: the compiled engine in a uvloop, and all that Python does around it.

                       ┌───────────────────────── one process, one pinned CPU ─────────────────────────┐
    TCP ──accept──▶ Python ──fd──▶ Engine.accept ──▶ loop.add_reader(fd, connection)                    │
    TCP ══readable════════════════════════════════▶ connection(): C all the way, no Python frame        │
    sync thread ──eventfd══▶ on_wake      timer 100 ms ──▶ on_timer      SIGHUP, file mark ──▶ new keys  │
                       └──────────────────────────────────┬────────────────────────────────────────────┘
                            starts, watches               │
      snapshotter, publisher (replicas, other CPU)   TLS terminator (other CPU) ──PROXY v2──▶ proxy.sock

Python runs at start, accept, close, key changes and stop; an order runs none of it.

Start:  lock the directory ─ load keys ─ bind ─ newest good snapshot ─ recover ─ pin, lock, prioritise ─ listen ─ ready
Stop:   (SIGTERM, SIGINT) stop accepting ─ refuse commands ─ drain ─ finish ─ snapshot ─ end children ─ gone.
        SIGALRM ends a stop that takes longer than stop_timeout_ms: a restart replays what a snapshot would have saved.
Crash:  a failed fdatasync, or an exception that nobody expected, ends the process at once without acknowledging more;
        start and recovery are one path.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import ipaddress
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import orjson
import uvloop

from engine_node import _engine, machine, tls
from engine_node.children import Child
from engine_node.errors import DataDirectoryError, EngineNodeError, StartError
from engine_node.held_keys import HeldKeys
from engine_node.logs import Log
from engine_node.replica import read_mark
from engine_node.settings import Address, Settings, child_environment
from engine_node.snapshots import BadSnapshot, newest_good, prune, set_aside
from engine_node.snapshotter import save_verified
from ironbook.held import BEAT_S, HeldError
from ironbook.keystore import Key, KeyFile, KeySet, KeyStore, KeyStoreError, select_passphrase

__all__ = ["Server", "key_records", "run"]

TICK_S: Final = 0.1
ACCEPT_COUNT_MAX: Final = 64  # accepted in one go before other sockets get their turn
ACCEPT_PAUSE_S: Final = 0.1  # after running out of descriptors
REFUSALS_LOOK_S: Final = 0.5  # how soon refusals for want of room, or of a cluster, are told
REFUSALS_QUIET_S: Final = 60.0  # how long the same is not told again
CHILD_STOP_S: Final = 3.0
SWITCH_INTERVAL_S: Final = 0.0001  # how long a helper thread may keep the engine's thread waiting
SO_BUSY_POLL: Final = 46  # asm-generic/socket.h; not in the socket module
EXIT_START_FAILED: Final = 1
EXIT_BUG: Final = 70
EXIT_INPUT_OUTPUT: Final = 74

Loop = asyncio.AbstractEventLoop


def key_records(keys: Sequence[Key], key_count_max: int) -> list[_engine.KeyRecord]:
    """Live keys as the engine takes them. Raises StartError for a number beyond its capacity."""
    for key in keys:
        if key.number >= key_count_max:
            raise StartError(
                f"a key's number must be below key_count_max ({key_count_max}), was {key.number}",
                detail=f"key {key.key_id!r}",
                hint="raise key_count_max and restart",
            )
    return [
        {
            "number": key.number,
            "key_id": key.key_id.encode(),
            "secrets": [secret.value for secret in key.secrets],
            "permissions": key.permissions,
            "account": key.account,
            "networks": list(key.network_bytes()),
            "messages_per_s": key.message_rate_per_s,
            "message_burst": key.message_burst,
        }
        for key in keys
        if key.live
    ]


class Server:
    """One engine node. Everything belongs to the loop's thread; `start`, then run the loop until it stops itself.

    store: where keys come from; the encrypted file of the settings unless given.
    """

    def __init__(self, settings: Settings, log: Log, loop: Loop, *, store: KeyStore | None = None) -> None:
        self.settings = settings
        self.log = log
        self.loop = loop
        self.exit_code = 0
        self.engine: _engine.Engine | None = None
        self._given_store = store
        self._store: KeyStore | None = store
        self._keys_mark = ""
        self._keys_version = ""
        self._keys_loading = False
        self._keys_unwatched = threading.Event()  # set: the thread that looks for changes ends
        self._keys_wake = threading.Event()  # set: that thread has something to do at once
        self._held_keys = HeldKeys(settings.held_path, settings.shard, self._held_told)
        self._hung_up = False  # SIGHUP came while keys were being loaded
        self._connections: dict[int, _engine.Connection] = {}
        self._listeners: list[tuple[socket.socket, bool]] = []  # (socket, proxied)
        self._tls_listeners: list[socket.socket] = []
        self._children: list[Child] = []
        self._counters_told: dict[str, int] = {}
        self._no_room_told = 0  # the counter of core_no_room when it was last told
        self._full_pool_told = ""
        self._full_pool_quiet_s = 0.0  # until then (monotonic) the same capacity is not told again
        self._behind_told = 0  # the counter of cluster_behind when it was last told
        self._behind_quiet_s = 0.0
        self._refused_accepts = 0
        self._lock = -1
        self._stopping = False
        self._finish_handle: asyncio.TimerHandle | None = None
        self._allowed_cpus = os.sched_getaffinity(0)

    # ---- Start -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Everything up to readiness, which the loop tells once it runs.

        Raises EngineNodeError, KeyStoreError, _engine.EngineError.
        """
        began_s = time.monotonic()
        self._take_directory()
        self._store = self._given_store or self._open_store()
        self._keys_mark = self._store.mark()
        keys = self._store.load()
        records = key_records(keys.live(), self.settings.key_count_max)
        machine.raise_open_files(self.settings.connection_count_max + 256)
        self._bind()
        if self.settings.lock_memory:
            machine.lock_memory()
        engine = self.engine = self._make_engine()
        self._recover(engine)
        engine.set_keys(records)
        self._keys_version = keys.version
        self._held_keys.take(keys)
        self._take_machine()
        self._watch(engine)
        self._start_children()
        gc.collect()
        gc.freeze()
        gc.disable()
        self.loop.call_soon(self._tell_readiness, engine, keys, began_s)

    def _tell_readiness(self, engine: _engine.Engine, keys: KeySet, began_s: float) -> None:
        """In the loop, because uvloop loses a signal that comes before it runs."""
        self.loop.add_signal_handler(signal.SIGTERM, self.begin_stop, "SIGTERM")
        self.loop.add_signal_handler(signal.SIGINT, self.begin_stop, "SIGINT")
        self.loop.add_signal_handler(signal.SIGHUP, self.reload_keys, True)
        try:
            self._write_state_file(engine)
        except DataDirectoryError as error:
            self.log.error("start_failed", error)
            self.exit_code = EXIT_START_FAILED
            self.begin_stop("engine.json")
            return
        self.log.info(
            "ready",
            addresses=[str(_bound_address(listener)) for listener, proxied in self._listeners if not proxied],
            tls_addresses=[str(_bound_address(listener)) for listener in self._tls_listeners],
            keys=len(keys.live()),
            keys_version=keys.version,
            survival_level=self.settings.survival_level,
            seconds=round(time.monotonic() - began_s, 3),
        )
        self._notify_manager("READY=1")

    def _take_directory(self) -> None:
        path = self.settings.data_path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.settings.journal_path.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(path / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryError(
                f"the data directory must be writable: {error.strerror}",
                detail=str(path),
                hint="check its owner and the disk",
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirectoryError(
                "no other engine may use the data directory, one does",
                detail=f"{path}, process {_pid_in(self.settings.state_file) or 'unknown'}",
                hint="stop it first (SIGTERM), or choose another data_directory",
            ) from None
        with contextlib.suppress(FileNotFoundError):
            self.settings.state_file.unlink()  # left by a crash: nobody shall be sent to a port that is not ours

    def _open_store(self) -> KeyStore:
        file = Path(self.settings.key_passphrase_file) if self.settings.key_passphrase_file else None
        return KeyFile(self.settings.key_path, select_passphrase(self.settings.key_passphrase, file))

    def _bind(self) -> None:
        self._listeners = [(_bind_tcp(address, "listen"), False) for address in self.settings.listen]
        if self.settings.tls_listen:
            tls.make_context(self.settings)  # its files are read before anything else depends on them
            self._tls_listeners = [_bind_tcp(address, "tls_listen") for address in self.settings.tls_listen]
        if self.settings.proxy_path is not None:
            self._listeners.append((_bind_unix(self.settings.proxy_path), True))

    def _make_engine(self) -> _engine.Engine:
        s = self.settings
        return _engine.Engine(
            core_options=s.core_options(),
            journal_directory=str(s.journal_path),
            shard=s.shard,
            node=s.node,
            level=s.level,
            unshipped_records_max=s.unshipped_records_max,
            segment_records=s.segment_records,
            sync_interval_us=s.sync_interval_us,
            free_bytes_min=s.free_bytes_min,
            sync_cpu=machine.choose_sync_cpu(s.engine_cpu, s.sync_cpu, s.background_cpu, self._allowed_cpus),
            connection_count_max=s.connection_count_max,
            idle_ms=s.idle_ms,
            logon_timeout_ms=s.logon_timeout_ms,
            tick_interval_ms=s.tick_interval_ms,
            digest_interval_records=s.digest_interval_records,
            refused_peer_max=s.refused_peer_max,
            closed=self._closed,
            want_write=self._want_write,
            failed=self._failed,
        )

    def _recover(self, engine: _engine.Engine) -> None:
        snapshot, name = None, ""
        bad = []
        for found in newest_good(self.settings.snapshot_path, self.settings.core_options()):
            if isinstance(found, BadSnapshot):
                self.log.warning("snapshot_bad", file=found.path.name, **found.why)
                bad.append(found)
            else:
                snapshot, name = found[1], found[0].path.name
        self.log.info("recovered", snapshot=name, **engine.recover(snapshot))
        for one in bad:
            set_aside(one)

    def _take_machine(self) -> None:
        """After recovery, so that the sync thread has not inherited the engine's CPU and priority."""
        s = self.settings
        if s.engine_cpu >= 0:
            machine.pin(s.engine_cpu)
            machine.move_other_threads(s.engine_cpu, self._background_cpus())
        if s.realtime_priority:
            machine.set_realtime(s.realtime_priority)
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    def _background_cpus(self) -> set[int]:
        return machine.background_cpus(self.settings.engine_cpu, self.settings.background_cpu, self._allowed_cpus)

    def _watch(self, engine: _engine.Engine) -> None:
        self.loop.set_exception_handler(self._unexpected)
        self.loop.add_reader(engine.wake_fd, engine.on_wake)
        self.loop.call_later(TICK_S, self._tick)
        watcher = threading.Thread(target=self._watch_keys, args=(self._background_cpus(),), name="keys", daemon=True)
        watcher.start()
        self.loop.call_later(REFUSALS_LOOK_S, self._look_for_refusals)
        if self.settings.counters_interval_s:
            self.loop.call_later(self.settings.counters_interval_s, self._tell_counters)
        for listener, _ in self._listeners:
            listener.listen(self.settings.backlog_count)
        self._accept_from_all()
        if self.settings.busy_poll:
            self._spin()

    def _start_children(self) -> None:
        common: dict[str, Any] = {
            "environment": child_environment(self.settings),
            "restart_max": self.settings.child_restart_max,
            "loop": self.loop,
            "log": self.log,
        }
        place = [f"--parent={os.getpid()}", "--cpus=" + ",".join(map(str, sorted(self._background_cpus())))]
        if self.settings.snapshot_process:
            self._children.append(Child("snapshotter", ["snapshotter", *place], **common))
        if self.settings.kafka_bootstrap:
            self._children.append(Child("publisher", ["publisher", *place], **common))
        if self._tls_listeners:
            for listener in self._tls_listeners:
                listener.listen(self.settings.backlog_count)
            descriptors = [listener.fileno() for listener in self._tls_listeners]
            arguments = ["tls", *place, "--listen-fds=" + ",".join(map(str, descriptors))]
            self._children.append(Child("tls", arguments, inherited=descriptors, **common))
        for child in self._children:
            child.start()

    def _write_state_file(self, engine: _engine.Engine) -> None:
        state = {
            "pid": os.getpid(),
            "started_ns": time.time_ns(),
            "shard": self.settings.shard,
            "node": self.settings.node,
            "addresses": [str(_bound_address(listener)) for listener, proxied in self._listeners if not proxied],
            "tls_addresses": [str(_bound_address(listener)) for listener in self._tls_listeners],
            "proxy_socket": str(self.settings.proxy_path or ""),
            "survival_level": self.settings.survival_level,
            "start_sequence": engine.sequence(),
        }
        path = self.settings.state_file
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(orjson.dumps(state, option=orjson.OPT_APPEND_NEWLINE))
            temporary.rename(path)
        except OSError as error:
            raise DataDirectoryError(f"engine.json must be written: {error.strerror}", detail=str(path)) from None

    # ---- Connections -------------------------------------------------------------------------------------------------

    def _accept_from_all(self) -> None:
        if not self._stopping:
            for listener, proxied in self._listeners:
                self.loop.add_reader(listener.fileno(), self._accept, listener, proxied)

    def _accept(self, listener: socket.socket, proxied: bool) -> None:
        for _ in range(ACCEPT_COUNT_MAX):
            try:
                accepted, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self.log.warning("accept_failed", error=errno.errorcode.get(error.errno or 0, ""), message=str(error))
                for other, _ in self._listeners:
                    self.loop.remove_reader(other.fileno())
                self.loop.call_later(ACCEPT_PAUSE_S, self._accept_from_all)
                return
            self._take(accepted, peer, proxied)

    def _take(self, accepted: socket.socket, peer: object, proxied: bool) -> None:
        engine = self.engine
        if engine is None:
            accepted.close()
            return
        accepted.setblocking(False)
        try:
            if not proxied:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.settings.socket_busy_poll_us:
                    accepted.setsockopt(socket.SOL_SOCKET, SO_BUSY_POLL, self.settings.socket_busy_poll_us)
        except OSError as error:  # more than the system allows, or a peer that is gone already
            self.log.debug("socket_option_refused", message=str(error))
        address = bytes(16) if proxied else _mapped(peer)
        descriptor = accepted.detach()
        try:
            connection = engine.accept(descriptor, address, proxied)
        except _engine.EngineError as error:
            os.close(descriptor)
            self._refused_accepts += 1
            self.log.debug("connection_refused", message=str(error))
            return
        self._connections[descriptor] = connection
        self.loop.add_reader(descriptor, connection)

    def _closed(self, descriptor: int, code: int) -> None:
        if self._connections.pop(descriptor, None) is not None:
            self.loop.remove_reader(descriptor)
            self.loop.remove_writer(descriptor)
        os.close(descriptor)
        self.log.debug("connection_closed", descriptor=descriptor, end_code=code)

    def _want_write(self, descriptor: int, wanted: bool) -> None:
        connection = self._connections.get(descriptor)
        if connection is None:
            return
        if wanted:
            self.loop.add_writer(descriptor, connection.on_writable)
        else:
            self.loop.remove_writer(descriptor)

    # ---- Turns of the loop -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self.engine is not None:
            self.engine.on_timer()
            self.loop.call_later(TICK_S, self._tick)

    def _spin(self) -> None:
        """The engine polls its sockets; between two spins the loop has one round for everything else."""
        if not self._stopping and self.engine is not None:
            self.engine.spin()
            self.loop.call_soon(self._spin)

    def _tell_counters(self) -> None:
        if self.engine is None:
            return
        counters = self.engine.counters() | {
            "accepts_refused": self._refused_accepts,
            "log_dropped": self.log.dropped_count,
        }
        if counters != self._counters_told:
            self._counters_told = counters
            self._tell_refusals(self.engine)
            self.log.info("counters", sequence=self.engine.sequence(), counters=counters)
        self.loop.call_later(self.settings.counters_interval_s, self._tell_counters)

    def _look_for_refusals(self) -> None:
        if self.engine is not None:
            self._tell_refusals(self.engine)
            self.loop.call_later(REFUSALS_LOOK_S, self._look_for_refusals)

    def _tell_refusals(self, engine: _engine.Engine) -> None:
        self._tell_full_pool(engine)
        self._tell_cluster_behind(engine)

    def _tell_cluster_behind(self, engine: _engine.Engine) -> None:
        """Say that commands were refused because records are not shipped; a flood of refusals gives a line a minute."""
        counters, now_s = engine.counters(), time.monotonic()
        refused = counters["refused_cluster_behind"]
        if refused == self._behind_told or now_s < self._behind_quiet_s:
            return
        self.log.warning(
            "cluster_behind",
            unshipped_records=counters["unshipped_records"],
            refused=refused - self._behind_told,
            hint="look at the publisher and at Kafka: survival_level is cluster, and the journal topic is behind",
        )
        self._behind_told, self._behind_quiet_s = refused, now_s + REFUSALS_QUIET_S

    def _tell_full_pool(self, engine: _engine.Engine) -> None:
        """Name the capacity that commands were refused for; a flood of refusals gives a line a minute."""
        refused = engine.counters()["refused_core_no_room"]
        if refused == self._no_room_told:
            return
        name, now_s = engine.full_pool(), time.monotonic()
        if name == self._full_pool_told and now_s < self._full_pool_quiet_s:
            return
        self.log.warning(
            "core_no_room",
            capacity=name,
            value=self.settings.core_options().get(name),
            refused=refused - self._no_room_told,
            hint=f"raise {name} and restart; see which account holds so much",
        )
        self._no_room_told, self._full_pool_told, self._full_pool_quiet_s = refused, name, now_s + REFUSALS_QUIET_S

    # ---- Keys --------------------------------------------------------------------------------------------------------

    def _watch_keys(self, cpus: set[int]) -> None:
        """In a thread of its own: a file system that hangs (a share whose server is gone) holds up nothing else."""
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)
        look_s = self.settings.key_poll_ms / 1000
        look_at_s = time.monotonic() + look_s
        self._keys_wake.set()  # what the engine holds is said at once
        while True:
            self._keys_wake.wait(min(BEAT_S, max(0.0, look_at_s - time.monotonic())))
            self._keys_wake.clear()
            if self._keys_unwatched.is_set():
                return
            self._held_keys.turn()
            if time.monotonic() >= look_at_s:
                self._look_for_keys()
                look_at_s = time.monotonic() + look_s

    def _look_for_keys(self) -> None:
        store = self._store
        try:
            mark = store.mark() if store is not None else ""
        except Exception:  # loading meets it again, and tells it
            mark = ""
        if mark != self._keys_mark:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
                self.loop.call_soon_threadsafe(self._mark_changed, mark)

    def _unwatch_keys(self) -> None:
        self._keys_unwatched.set()
        self._keys_wake.set()

    def _held_told(self, error: HeldError | None) -> None:
        """In the watching thread: the file of what the engine holds cannot be written, or can be again."""
        with contextlib.suppress(RuntimeError):
            if error is not None:
                self.loop.call_soon_threadsafe(self.log.error, "held_not_told", error)
            else:
                self.loop.call_soon_threadsafe(self.log.info, "held_told")

    def _mark_changed(self, mark: str) -> None:
        if mark != self._keys_mark:  # no load that ended meanwhile has taken it in
            self.reload_keys()

    def reload_keys(self, hang_up: bool = False) -> None:
        """Load the keys again, off the loop's thread; what cannot be loaded is told and the old ones stay.

        hang_up: SIGHUP came: the passphrase file is read again too, and TLS reads its certificate again.
        """
        if hang_up:
            for child in self._children:
                if child.name == "tls":
                    child.hang_up()
        if self._keys_loading or self._stopping:
            self._hung_up = self._hung_up or hang_up
            return
        self._keys_loading, self._hung_up = True, False
        cpus = self._background_cpus()
        threading.Thread(target=self._load_keys, args=(hang_up, cpus), name="keys", daemon=True).start()

    def _load_keys(self, anew: bool, cpus: set[int]) -> None:
        """In a thread of its own: deriving a key takes a tenth of a second, a thousand keys nearly as long."""
        mark = ""
        try:
            os.sched_setaffinity(0, cpus)
            store = self._open_store() if self._given_store is None and (anew or self._store is None) else self._store
            if store is None:
                raise StartError("a key store must be open, none is")
            mark = store.mark()
            keys = store.load()
            records = key_records(keys.live(), self.settings.key_count_max)
        except Exception as error:  # whatever it is: the old keys stay, and it is told
            self.loop.call_soon_threadsafe(self._keep_keys, error, mark)
            return
        self.loop.call_soon_threadsafe(self._take_keys, store, keys, records, mark)

    def _keep_keys(self, error: Exception, mark: str) -> None:
        self._keys_mark = mark
        self.log.error("keys_not_reloaded", error, kept_version=self._keys_version)
        self._end_reload()

    def _take_keys(self, store: KeyStore, keys: KeySet, records: list[_engine.KeyRecord], mark: str) -> None:
        if self.engine is None or self._stopping:
            return
        try:
            self.engine.set_keys(records)
        except _engine.EngineError as error:
            self._keep_keys(error, mark)
            return
        self._keys_mark, self._store, self._keys_version = mark, store, keys.version
        self._held_keys.take(keys)
        self._keys_wake.set()
        self.log.info("keys_reloaded", keys=len(records), keys_version=keys.version)
        self._end_reload()

    def _end_reload(self) -> None:
        self._keys_loading = False
        if self._hung_up:
            self.reload_keys(True)

    # ---- Stop --------------------------------------------------------------------------------------------------------

    def begin_stop(self, why: str) -> None:
        """Stop accepting, refuse commands, and finish after the drain. A second call finishes at once."""
        if self.engine is None:
            return
        if self._stopping:
            if self._finish_handle is not None:
                self._finish_handle.cancel()
                self._finish_handle = None
                self._finish()
            return
        self._stopping = True
        self._unwatch_keys()
        self.log.info("stopping", why=why, bound_ms=self.settings.stop_timeout_ms)
        self._notify_manager("STOPPING=1")
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, self.settings.stop_timeout_ms / 1000)
        self._remove_state_file()
        for listener, _ in self._listeners:
            self.loop.remove_reader(listener.fileno())
            listener.close()
        for listener in self._tls_listeners:
            listener.close()
        self.engine.begin_stop()
        for child in self._children:
            if child.name == "snapshotter":
                child.begin_stop()
        self._finish_handle = self.loop.call_later(self.settings.drain_ms / 1000, self._finish)

    def _finish(self) -> None:
        engine = self.engine
        if engine is None:
            return
        self._finish_handle = None
        try:
            ended = engine.finish()
            released, whole = ended["released"], ended["released"] >= ended["sequence"]
            self.log.info("finished", sequence=ended["sequence"], released=released, digest=f"{ended['digest']:016x}")
            if whole:  # a snapshot never knows what the survival level has not passed
                self._save(engine)
        except (EngineNodeError, _engine.EngineError) as error:
            self.log.error("finish_failed", error)
            self.exit_code = EXIT_INPUT_OUTPUT
        self.engine = None
        for child in self._children:
            child.begin_stop()
        for child in self._children:
            flush_s = self.settings.kafka_flush_ms / 1000 if child.name == "publisher" else 0.0
            child.finish(CHILD_STOP_S + flush_s)
        if self.settings.proxy_path is not None:
            self.settings.proxy_path.unlink(missing_ok=True)
        self._held_keys.close()
        self.log.info("stopped", exit_code=self.exit_code)
        self.loop.stop()

    def _save(self, engine: _engine.Engine) -> None:
        snapshot, size = save_verified(self.settings.snapshot_path, engine, self.settings.core_options())
        prune(self.settings.snapshot_path, self.settings.snapshot_keep_count, read_mark(self.settings.data_path))
        self.log.info("snapshot_written", file=snapshot.path.name, bytes=size)

    def _remove_state_file(self) -> None:
        with contextlib.suppress(OSError):
            self.settings.state_file.unlink()

    def close(self) -> None:
        """After a start that failed: give back what was taken."""
        self._unwatch_keys()
        for listener in [listener for listener, _ in self._listeners] + self._tls_listeners:
            listener.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # ---- The end that nobody wants -----------------------------------------------------------------------------------

    def _failed(self, why: str) -> None:
        """The engine says that nothing more may be acknowledged: a failed fdatasync."""
        self._end_at_once(
            EXIT_INPUT_OUTPUT, "engine_failed", message=why, hint="check the disk; a restart recovers the journal"
        )

    def _unexpected(self, _loop: Loop, context: dict[str, Any]) -> None:
        """An exception came out of a callback: our bug. Going on would be guessing."""
        error = context.get("exception")
        self._end_at_once(
            EXIT_BUG, "bug", message=f"{context.get('message', '')}: {error!r}", traceback=_traceback_of(error)
        )

    def _end_at_once(self, code: int, event: str, **fields: object) -> NoReturn:
        self.log.write("error", event, fields)
        self._remove_state_file()
        self.log.flush(1.0)
        os._exit(code)

    def _notify_manager(self, state: str) -> None:
        """Tell systemd (Type=notify), if it started us."""
        path = self.settings.notify_socket
        if not path:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.connect("\0" + path[1:] if path.startswith("@") else path)
            sender.sendall(state.encode())


def _traceback_of(error: object) -> str:
    import traceback

    return "".join(traceback.format_exception(error))[-4000:] if isinstance(error, BaseException) else ""


def _pid_in(state_file: Path) -> int | None:
    try:
        return int(orjson.loads(state_file.read_bytes())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _bound_address(listener: socket.socket) -> Address:
    host, port = listener.getsockname()[:2]
    return Address(host, port)


def _mapped(peer: object) -> bytes:
    """The 16 bytes of a peer's address, IPv4 mapped."""
    if not isinstance(peer, tuple):
        return bytes(16)
    address = ipaddress.ip_address(str(peer[0]).split("%")[0])
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def _bind_tcp(address: Address, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind((address.host, address.port))
    except OSError as error:
        raise StartError(
            f"every address of {setting} must be free and of this machine: {error.strerror}",
            detail=str(address),
            hint="stop what listens there, or change the setting",
        ) from None
    return listener


def _bind_unix(path: Path) -> socket.socket:
    """A Unix socket for its owner only; one that a crash left is replaced, anything else at its path is not touched."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        _remove_left_socket(path)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        raise StartError(f"proxy_socket must be writable: {error.strerror or error}", detail=str(path)) from None
    except StartError:
        listener.close()
        raise
    return listener


def _remove_left_socket(path: Path) -> None:
    """Unlink a socket that nobody listens to any more. Raises StartError for whatever else is there, and OSError."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartError(
            "proxy_socket must name a Unix socket or nothing, names something else",
            detail=str(path),
            hint="choose another path; what is there was not touched",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog answers EAGAIN: that one lives too
        outcome = probe.connect_ex(str(path))
    if outcome in (0, errno.EAGAIN):
        raise StartError("proxy_socket must not be in use, is", detail=str(path), hint="stop what listens there")
    if outcome != errno.ECONNREFUSED:
        raise StartError(
            f"proxy_socket must be free, or left by a crash; a connection to it said: {os.strerror(outcome)}",
            detail=str(path),
            hint="see what it is; remove it or choose another path",
        )
    path.unlink()


def run(settings: Settings, log: Log, parent: int | None = None) -> int:
    """The process's body: start, serve until a signal, stop. Returns the exit code.

    parent: the process to stop with, gracefully, when it ends in whatever way; None: none.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    server = Server(settings, log, loop)
    try:
        if parent is not None:
            machine.die_with_parent(parent)
        server.start()
    except (EngineNodeError, KeyStoreError, _engine.EngineError) as error:
        log.error("start_failed", error)
        server.close()
        return EXIT_START_FAILED
    loop.run_forever()
    server.close()
    return server.exit_code
