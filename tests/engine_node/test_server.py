"""The primary as a process: real sockets, real signals, real files, real crashes."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine_node.replica import Replica
from engine_node.tls import proxy_header
from ironbook import held
from schemas import vocabulary as v
from tests.support.node import ROOT, Client, LogonRefused, Node, wait_until

MakeNode = Callable[..., Node]


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    made: list[Node] = []

    def make(name: str = "data", **settings: object) -> Node:
        made.append(Node(tmp_path / name, **settings))
        return made[-1]

    yield make
    for node in made:
        node.end()


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    return make_node()


def replayed(node: Node, *, use_snapshot: bool = False) -> Replica:
    replica = Replica.open(node.directory, use_snapshot=use_snapshot)
    replica.catch_up()
    return replica


# ---- Ordinary life ---------------------------------------------------------------------------------------------------


def test_two_clients_trade_and_both_get_their_fills(node: Node) -> None:
    maker_secret, taker_secret = node.make_key("maker"), node.make_key("taker", account=2)
    node.start()
    maker = Client.connect(node.address(), "maker", maker_secret)
    maker.define_market()
    assert maker.ask(maker.order(v.Side.SELL, 100, 5)).kind == v.EventKind.ACCEPTED
    taker = Client.connect(node.address(), "taker", taker_secret)
    assert taker.ask(taker.order(v.Side.BUY, 100, 5, account=2)).kind == v.EventKind.ACCEPTED
    for client in (maker, taker):
        fill = client.report()
        assert (fill.kind, fill.price_ticks, fill.quantity_lots) == (v.EventKind.FILLED, 100, 5)
    assert node.stop() == 0


def test_engine_json_tells_where_it_listens_and_goes_with_it(node: Node) -> None:
    node.start()
    state = node.state()
    assert state is not None
    assert state["pid"] == node.process.pid  # type: ignore[union-attr]
    assert node.address()[1] > 0
    (ready,) = node.wait_event("ready")
    assert ready["addresses"] == state["addresses"]
    node.stop()
    assert not (node.directory / "engine.json").exists()


def test_it_listens_on_ipv4_and_ipv6_at_once(make_node: MakeNode) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    node = make_node(listen="127.0.0.1:0,[::1]:0")
    secret = node.make_key("a", networks=["::1/128"])
    node.start()
    state = node.state()
    assert state is not None
    port = int(state["addresses"][1].rpartition(":")[2])
    with pytest.raises(LogonRefused):
        Client.connect(node.address(), "a", secret)
    Client.connect(("::1", port), "a", secret).close()


def test_a_proxied_connection_counts_with_its_true_address(make_node: MakeNode, tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    node = make_node(proxy_socket=path)
    secret = node.make_key("a", networks=["203.0.113.0/24"])
    node.start()
    assert path.stat().st_mode & 0o777 == 0o600

    def through(source: str) -> Client:
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(10)
        line.connect(str(path))
        line.sendall(proxy_header((source, 40000), ("198.51.100.1", 443)))
        client = Client(line, "a", secret)
        client.log_on()
        return client

    assert through("203.0.113.7").answer is not None
    with pytest.raises(LogonRefused):
        through("192.0.2.7")
    node.stop()
    assert not path.exists()


def test_counters_are_logged_when_they_change_and_no_secret_ever_is(make_node: MakeNode) -> None:
    node = make_node(counters_interval_s=1)
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    told = node.wait_event("counters")[-1]["counters"]
    assert told["connections_accepted"] >= 1
    node.stop()
    text = node.log_path.read_text()
    assert secret.hex() not in text
    assert (node.directory / "passphrase").read_text().strip() not in text


def test_a_full_pool_is_told_by_name_at_once_and_a_restart_with_more_room_takes_the_order(make_node: MakeNode) -> None:
    node = make_node(order_count_max=2, counters_interval_s=0)
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    for _ in range(2):
        assert client.ask(client.order(v.Side.BUY, 100, 1)).kind == v.EventKind.ACCEPTED
    refused = client.ask(client.order(v.Side.BUY, 100, 1))
    assert (refused.kind, refused.code) == (v.MessageKind.REFUSED, v.Code.CORE_NO_ROOM)
    (told,) = node.wait_event("core_no_room", timeout_s=2)
    assert (told["level"], told["capacity"], told["value"], told["refused"]) == ("warning", "order_count_max", 2, 1)
    client.send(*[client.order(v.Side.BUY, 100, 1)] * 50)
    client.close()
    time.sleep(1.2)
    assert len(node.events("core_no_room")) == 1, "the same capacity is told once a minute"
    node.stop()
    node.settings["order_count_max"] = 1000
    node.start()
    again = Client.connect(node.address(), "admin", secret)
    assert again.ask(again.order(v.Side.BUY, 100, 1)).kind == v.EventKind.ACCEPTED


def test_the_service_manager_is_told(make_node: MakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(10)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    node = make_node().start()
    assert manager.recv(100) == b"READY=1"
    node.stop()
    assert manager.recv(100) == b"STOPPING=1"
    manager.close()


# ---- Stop, crash, start ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_within_the_bound_and_leaves_a_snapshot(make_node: MakeNode, number: signal.Signals) -> None:
    node = make_node(stop_timeout_ms=10_000)
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    began_s = time.monotonic()
    assert node.stop(number) == 0
    assert time.monotonic() - began_s < 10
    assert client.ended_with() == v.Code.SERVER_STOPPING
    with replayed(node) as replica:
        name = f"{replica.core.sequence():020d}-{replica.core.digest():016x}.snap"
    assert (node.directory / "snapshots" / name).exists()
    (finished,) = node.events("finished")
    assert name == f"{finished['sequence']:020d}-{finished['digest']}.snap"


def test_commands_during_the_drain_are_refused_and_not_recorded(make_node: MakeNode) -> None:
    node = make_node(drain_ms=1500)
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    node.tell(signal.SIGTERM)
    node.wait_event("stopping")
    refused = client.ask(client.order(v.Side.BUY, 100, 1))
    assert (refused.kind, refused.code) == (v.MessageKind.REFUSED, v.Code.ENGINE_STOPPING)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(client.line.getpeername(), timeout=5)
    assert node.stop() == 0
    with replayed(node) as replica:
        assert replica.core.levels(1, v.Side.BUY) == []


def test_a_second_signal_skips_the_drain(make_node: MakeNode) -> None:
    node = make_node(drain_ms=15_000)
    node.start()
    node.tell(signal.SIGTERM)
    node.wait_event("stopping")
    began_s = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - began_s < 8


def test_a_reader_that_does_not_read_cannot_hold_up_a_stop(make_node: MakeNode) -> None:
    node = make_node(stop_timeout_ms=10_000)
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    with contextlib.suppress(OSError):
        for _ in range(40):
            client.send(*[client.order(v.Side.BUY, 100, 1)] * 500)
    assert node.stop() == 0


def test_a_stop_that_hangs_is_ended_by_the_alarm(node: Node) -> None:
    script = textwrap.dedent("""
        import sys, time
        from engine_node import server, settings, logs
        server.Server._finish = lambda self: time.sleep(60)
        log = logs.Log(2)
        sys.exit(server.run(settings.load(), log))
    """)
    environment = node.environment() | {"IRONBOOK_ENGINE_STOP_TIMEOUT_MS": "600", "IRONBOOK_ENGINE_DRAIN_MS": "10"}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=ROOT, stderr=subprocess.PIPE)
    try:
        wait_until((node.directory / "engine.json").exists, 30)
        process.send_signal(signal.SIGTERM)
        _, _ = process.communicate(timeout=20)
        assert process.returncode == -signal.SIGALRM
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("harm", "code", "event"),
    [
        ("server.Server._tell_counters = lambda self: 1 / 0", 70, "bug"),
        ("server.Server._tell_counters = lambda self: self._failed('a sync failed')", 74, "engine_failed"),
    ],
)
def test_what_must_not_happen_ends_the_process_at_once_and_says_why(
    node: Node, harm: str, code: int, event: str
) -> None:
    script = textwrap.dedent(f"""
        import sys
        from engine_node import server, settings, logs
        {harm}
        chosen = settings.load()
        sys.exit(server.run(chosen, logs.Log.open(chosen.log_file, level="info", queue_max=1000)))
    """)
    environment = node.environment() | {"IRONBOOK_ENGINE_COUNTERS_INTERVAL_S": "1"}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=ROOT)
    try:
        assert process.wait(30) == code
    finally:
        process.kill()
        process.wait()
    (told,) = node.events(event)
    assert told["message"]
    assert not (node.directory / "engine.json").exists()
    node.start()
    assert node.stop() == 0


def test_running_out_of_descriptors_is_told_and_ends_with_the_shortage(node: Node) -> None:
    secret = node.make_key()
    node.start()
    first = Client.connect(node.address(), "admin", secret)
    pid = node.process.pid  # type: ignore[union-attr]
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1, limits[1]))
    waiting = [socket.create_connection(node.address(), timeout=10) for _ in range(3)]
    told = node.wait_event("accept_failed")[0]
    assert told["error"] == "EMFILE"
    assert first.ask(v.Ping(echo=1)).kind == v.MessageKind.PONG
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    other = node.make_key("other")
    node.wait_event("keys_reloaded")
    assert Client.connect(node.address(), "other", other).ask(v.Ping(echo=2)).kind == v.MessageKind.PONG
    assert len(node.events("accept_failed")) < 100, "it pauses instead of spinning"
    for line in waiting:
        line.close()


def test_a_restart_after_a_stop_begins_with_the_snapshot_and_replays_next_to_nothing(node: Node) -> None:
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    order = client.ask(client.order(v.Side.BUY, 100, 5))
    node.stop()
    node.start()
    recovered = node.events("recovered")[-1]
    assert recovered["snapshot"].endswith(".snap")
    assert recovered["replayed_records"] == 0
    assert recovered["term"] == 2
    again = Client.connect(node.address(), "admin", secret)
    assert again.answer is not None
    assert again.answer.last_client_sequence == client.sequence
    cancelled = again.ask(v.Cancel(account=1, instrument=1, order_id=order.order_id))
    assert (cancelled.kind, cancelled.code) == (v.EventKind.CANCELLED, v.Code.CANCELLED_BY_REQUEST)
    node.stop()


@pytest.mark.parametrize("level", ["process", "disk"])
def test_kill_9_loses_nothing_acknowledged_and_the_reports_go_on_without_a_gap(make_node: MakeNode, level: str) -> None:
    node = make_node(survival_level=level)
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    acknowledged = {}
    for index in range(1, 51):
        report = client.ask(client.order(v.Side.BUY, 100 + index % 7, 1, client_order_id=index))
        acknowledged[report.client_order_id] = report
    client.send(*[client.order(v.Side.BUY, 99, 1, client_order_id=1000 + index) for index in range(200)])
    node.stop(signal.SIGKILL)
    read = []
    with contextlib.suppress(LogonRefused):
        while True:
            read.append(client.report())
    last_read = read[-1].report_number if read else acknowledged[50].report_number

    node.start()
    again = Client.connect(node.address(), "admin", secret, last_report=last_read)
    answer = again.answer
    assert answer is not None
    again.send(v.Ping())  # the first valid frame makes the session live, and the reports flow
    messages = [again.report() for _ in range(answer.last_report_number - last_read + 1)]
    numbers = [message.report_number for message in messages if message.kind != v.MessageKind.PONG]
    assert numbers == list(range(last_read + 1, answer.last_report_number + 1))
    missing = 200 - (answer.last_client_sequence - (client.sequence - 200))
    again.send(*[again.order(v.Side.BUY, 99, 1, client_order_id=2000 + index) for index in range(missing)])
    for index in range(missing):
        assert again.report().report_number == answer.last_report_number + 1 + index
    node.stop()
    with replayed(node) as replica:
        orders = replica.core.account_orders(1)
        ids = [order["client_order_id"] for order in orders]
        assert set(range(1, 51)) <= set(ids)
        assert len(ids) == len(set(ids)) == 250
        assert all(
            acknowledged[o["client_order_id"]].order_id == o["order_id"] for o in orders if o["client_order_id"] <= 50
        )
        assert replica.core.check() is None


def test_a_bad_snapshot_is_told_and_the_journal_gives_the_same_state(node: Node) -> None:
    secret = node.make_key()
    node.start()
    Client.connect(node.address(), "admin", secret).define_market()
    node.stop()
    (snapshot,) = (node.directory / "snapshots").glob("*.snap")
    data = bytearray(snapshot.read_bytes())
    data[len(data) // 2] ^= 1
    snapshot.write_bytes(data)
    node.start()
    assert node.events("snapshot_bad")[-1]["file"] == snapshot.name
    recovered = node.events("recovered")[-1]
    assert recovered["snapshot"] == ""
    assert recovered["replayed_records"] > 0
    assert not snapshot.exists()
    assert snapshot.with_name(snapshot.name + ".bad").exists()
    sequence, digest = int(snapshot.name[:20]), snapshot.name[21:37]
    with Replica.open(node.directory, use_snapshot=False) as replica:
        replica.catch_up(sequence)
        assert f"{replica.core.digest():016x}" == digest
    node.stop()


def test_a_damaged_journal_stops_the_start_with_segment_and_place(node: Node) -> None:
    secret = node.make_key()
    node.start()
    Client.connect(node.address(), "admin", secret).define_market()
    node.stop()
    for snapshot in (node.directory / "snapshots").glob("*.snap"):
        snapshot.unlink()
    (segment,) = (node.directory / "journal").glob("*0001.jnl")
    with segment.open("r+b") as file:
        file.seek(64 + 64 * 3 + 20)
        file.write(b"\xff")
    node.start(wait=False)
    assert node.process is not None
    assert node.process.wait(30) == 1
    (told,) = node.events("start_failed")
    assert segment.name in told["detail"]
    assert told["hint"]


# ---- Keys ------------------------------------------------------------------------------------------------------------


def test_a_key_made_while_running_logs_on_and_the_live_session_goes_on(node: Node) -> None:
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    second = node.make_key("second")
    node.wait_event("keys_reloaded")
    Client.connect(node.address(), "second", second).close()
    assert client.ask(client.order(v.Side.BUY, 100, 1)).kind == v.EventKind.ACCEPTED


def test_a_file_system_that_hangs_under_the_keys_holds_up_neither_orders_nor_a_stop(node: Node) -> None:
    secret = node.make_key()
    hung = node.directory / "hung"
    script = textwrap.dedent(f"""
        import pathlib, sys, time
        from engine_node import logs, server, settings
        from ironbook.keystore import KeyFile
        mark = KeyFile.mark
        def hanging(self):
            if pathlib.Path({str(node.directory / "engine.json")!r}).exists():
                pathlib.Path({str(hung)!r}).touch()
                time.sleep(600)
            return mark(self)
        KeyFile.mark = hanging
        sys.exit(server.run(settings.load(), logs.Log(2)))
    """)
    node.process = subprocess.Popen([sys.executable, "-c", script], env=node.environment(), cwd=ROOT)
    wait_until(hung.exists, 30)
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    assert client.ask(client.order(v.Side.BUY, 100, 1)).kind == v.EventKind.ACCEPTED
    assert node.stop() == 0


def test_a_rotation_has_no_gap_and_ends_the_session_of_the_dropped_secret(node: Node) -> None:
    old = node.make_key("a")
    node.start()
    session = Client.connect(node.address(), "a", old)
    new = node.keys().begin_rotation("a").secret
    node.wait_event("keys_reloaded", 1)
    assert session.ask(v.Ping(echo=1)).kind == v.MessageKind.PONG
    replacing = Client.connect(node.address(), "a", new)
    assert replacing.ask(v.Ping(echo=2)).kind == v.MessageKind.PONG
    older = Client.connect(node.address(), "a", old)
    assert older.ask(v.Ping(echo=3)).kind == v.MessageKind.PONG
    node.keys().finish_rotation("a")
    node.wait_event("keys_reloaded", 2)
    assert older.ended_with() == v.Code.KEY_CHANGED
    with pytest.raises(LogonRefused):
        Client.connect(node.address(), "a", old)
    Client.connect(node.address(), "a", new).close()


@pytest.mark.parametrize("change", ["revoke", "networks", "permissions"])
def test_a_session_that_may_not_go_on_is_ended(node: Node, change: str) -> None:
    secret = node.make_key("a")
    node.start()
    session = Client.connect(node.address(), "a", secret)
    if change == "revoke":
        node.keys().revoke("a")
    elif change == "networks":
        node.keys().set_networks("a", ["192.0.2.0/24"])
    else:
        node.keys().set_permissions("a", int(v.Permission.READ))
    assert session.ended_with() == v.Code.KEY_CHANGED
    node.wait_event("keys_reloaded")


@pytest.mark.parametrize("breakage", ["truncated", "altered", "readable by others", "gone"])
def test_a_broken_key_file_is_told_and_the_old_keys_stay(node: Node, breakage: str) -> None:
    secret = node.make_key("a")
    node.start()
    session = Client.connect(node.address(), "a", secret)
    path = node.directory / "keys.ironbook"
    whole = path.read_bytes()
    if breakage == "truncated":
        path.write_bytes(whole[:-5])
    elif breakage == "altered":
        path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    elif breakage == "readable by others":
        path.write_bytes(whole)
        path.chmod(0o644)
    else:
        path.unlink()
    told = node.wait_event("keys_not_reloaded")[0]
    assert told["message"]
    assert session.ask(v.Ping(echo=1)).kind == v.MessageKind.PONG
    Client.connect(node.address(), "a", secret).close()
    time.sleep(0.3)  # several polls
    assert len(node.events("keys_not_reloaded")) <= 2, "told once for each state of the file, not at every poll"
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(whole)
    node.make_key("b")
    node.wait_event("keys_reloaded")


def test_sighup_reads_keys_and_passphrase_file_again(make_node: MakeNode) -> None:
    node = make_node(key_poll_ms=600_000)
    node.make_key("a")
    node.start()
    secret = node.make_key("b")
    passphrase = b"another passphrase of the owner"
    node.keys().change_passphrase(passphrase)
    (node.directory / "passphrase").write_bytes(passphrase + b"\n")
    node.tell(signal.SIGHUP)
    node.wait_event("keys_reloaded")
    Client.connect(node.address(), "b", secret).close()


def test_a_key_beyond_the_capacity_is_told_and_the_old_keys_stay(make_node: MakeNode) -> None:
    node = make_node(key_count_max=2)
    secret = node.make_key("a")
    node.start()
    node.make_key("b")
    told = node.wait_event("keys_not_reloaded")[0]
    assert "below key_count_max (2), was 2" in told["message"]
    Client.connect(node.address(), "a", secret).close()


def accepted(node: Node) -> dict[str, tuple[str, ...]]:
    """What the engine says that it accepts."""
    try:
        said = held.read(node.directory / "engine.held.json")
    except held.HeldUnreadable:
        return {}
    assert (said.process, said.kind) == (held.process_name("engine-0"), "engine")
    assert all(one.uses is None for one in said.holdings)
    return {one.secret: one.accepts for one in said.holdings}


def test_the_engine_says_which_secrets_it_accepts_as_soon_as_it_does(make_node: MakeNode) -> None:
    node = make_node(key_poll_ms=600_000)
    old = node.make_key("a")
    node.start()
    first = held.fingerprint(old)
    wait_until(lambda: accepted(node) == {"api_key/a": (first,)})
    assert held.read(node.directory / "engine.held.json").alive()
    new = node.keys().begin_rotation("a").secret
    node.make_key("b")
    node.tell(signal.SIGHUP)
    wait_until(lambda: accepted(node).get("api_key/a") == (first, held.fingerprint(new)))
    Client.connect(node.address(), "a", new).close()
    node.keys().finish_rotation("a")
    node.keys().revoke("b")
    node.tell(signal.SIGHUP)
    wait_until(lambda: accepted(node) == {"api_key/a": (held.fingerprint(new),)})
    assert node.stop() == 0
    assert not (node.directory / "engine.held.json").exists(), "who stopped cleanly holds nothing"


def test_keys_that_were_not_taken_over_are_not_said_and_a_crash_leaves_what_was_held(make_node: MakeNode) -> None:
    node = make_node(key_count_max=2)
    secret = node.make_key("a")
    node.start()
    wait_until(lambda: accepted(node))
    node.make_key("b")
    node.wait_event("keys_not_reloaded")
    assert accepted(node) == {"api_key/a": (held.fingerprint(secret),)}
    node.tell(signal.SIGKILL)
    assert node.process is not None
    node.process.wait(10)
    left = held.read(node.directory / "engine.held.json")
    assert left.holdings
    assert not left.alive()


def test_a_held_file_that_cannot_be_written_is_told_once_and_nothing_else_suffers(node: Node) -> None:
    secret = node.make_key("a")
    (node.directory / "engine.held.json").mkdir()
    node.start()
    told = node.wait_event("held_not_told")[0]
    assert "until it is written no old secret can end" in told["hint"]
    node.make_key("b")
    node.wait_event("keys_reloaded")
    Client.connect(node.address(), "a", secret).close()
    assert len(node.events("held_not_told")) == 1
    (node.directory / "engine.held.json").rmdir()
    node.make_key("c")
    node.wait_event("held_told")
    assert set(accepted(node)) == {"api_key/a", "api_key/b", "api_key/c"}


# ---- No room on disk -------------------------------------------------------------------------------------------------


def test_without_room_orders_are_refused_and_taken_again_when_there_is(make_node: MakeNode) -> None:
    room = os.statvfs(make_node().directory.parent)
    free = room.f_bavail * room.f_frsize
    node = make_node("full", free_bytes_min=free - (256 << 20), segment_records=4096)
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    ballast = node.directory / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 512 << 20)
    kept, refused = 0, None
    for _ in range(20_000):
        report = client.ask(client.order(v.Side.BUY, 100, 1))
        if report.kind == v.MessageKind.REFUSED:
            refused = report
            break
        kept += 1
    assert refused is not None
    assert refused.code == v.Code.JOURNAL_NO_ROOM
    client.sequence -= 1  # it may be sent again under the same number
    ballast.unlink()

    def taken() -> bool:
        report = client.ask(client.order(v.Side.BUY, 100, 1))
        if report.kind == v.MessageKind.REFUSED:
            client.sequence -= 1
        return report.kind == v.EventKind.ACCEPTED

    wait_until(taken, 10)
    node.stop()
    with replayed(node) as replica:
        assert len(replica.core.account_orders(1, 0, 65536)) == kept + 1


# ---- Starts that must fail -------------------------------------------------------------------------------------------


def refused_start(node: Node) -> dict[str, Any]:
    node.start(wait=False)
    assert node.process is not None
    assert node.process.wait(30) == 1
    (told,) = node.events("start_failed")[-1:]
    return told


def test_a_second_engine_on_the_same_directory_is_refused_with_the_first_ones_pid(make_node: MakeNode) -> None:
    first = make_node().start()
    second = make_node()
    told = refused_start(second)
    assert told["error"] == "data_directory"
    assert str(first.process.pid) in told["detail"]  # type: ignore[union-attr]
    assert first.state() is not None


def test_a_taken_port_is_refused_with_the_address(make_node: MakeNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refused_start(make_node(listen=f"127.0.0.1:{port}"))
    assert told["detail"] == f"127.0.0.1:{port}"
    assert "must be free" in told["message"]


def test_a_proxy_socket_that_names_a_file_is_refused_and_the_file_stays(make_node: MakeNode, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("kept")
    told = refused_start(make_node(proxy_socket=path))
    assert told["message"] == "proxy_socket must name a Unix socket or nothing, names something else"
    assert told["detail"] == str(path)
    assert path.read_text() == "kept"


@pytest.mark.parametrize(
    ("kind", "said"),
    [(socket.SOCK_STREAM, "must not be in use"), (socket.SOCK_DGRAM, os.strerror(errno.EPROTOTYPE))],
    ids=["stream", "datagram"],
)
def test_a_proxy_socket_of_somebody_else_is_refused_and_stays(
    make_node: MakeNode, tmp_path: Path, kind: socket.SocketKind, said: str
) -> None:
    path = tmp_path / "p.sock"
    with socket.socket(socket.AF_UNIX, kind) as taken:
        taken.bind(str(path))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        inode = path.stat().st_ino
        told = refused_start(make_node(proxy_socket=path))
        assert said in told["message"]
        assert path.stat().st_ino == inode


def test_a_proxy_socket_that_a_crash_left_is_replaced(make_node: MakeNode, tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    node = make_node(proxy_socket=path).start()
    node.stop(signal.SIGKILL)
    assert path.is_socket()
    node.start()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
    assert node.stop() == 0


def test_a_missing_key_file_and_a_wrong_passphrase_are_refused(node: Node) -> None:
    (node.directory / "passphrase").write_text("quite another passphrase\n")
    assert refused_start(node)["error"] == "passphrase_wrong"
    (node.directory / "keys.ironbook").unlink()
    assert refused_start(node)["error"] == "key_file_missing"


def test_another_shard_number_than_the_journals_is_refused(make_node: MakeNode) -> None:
    make_node().start().stop()
    told = refused_start(make_node(shard=7))
    assert "shard" in told["message"]


def test_a_cpu_that_is_not_there_is_refused(make_node: MakeNode) -> None:
    told = refused_start(make_node(engine_cpu=1000))
    assert "CPU 1000" in told["message"]


def test_bad_settings_are_told_on_standard_error_and_nothing_is_made(make_node: MakeNode) -> None:
    node = make_node(idle_ms=3, lock_memory="perhaps")
    node.start(wait=False)
    assert node.process is not None
    assert node.process.wait(30) == 1
    said = node.last_words()
    assert "variable IRONBOOK_ENGINE_IDLE_MS" in said
    assert "variable IRONBOOK_ENGINE_LOCK_MEMORY" in said
    assert not (node.directory / "journal").exists()


# ---- Machine ---------------------------------------------------------------------------------------------------------


def test_a_pinned_engine_keeps_its_cpu_for_itself(make_node: MakeNode) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("one CPU only")
    node = make_node(engine_cpu=allowed[-1], busy_poll=True)
    secret = node.make_key()
    node.start()
    pid = node.process.pid  # type: ignore[union-attr]
    assert os.sched_getaffinity(pid) == {allowed[-1]}
    for thread in os.listdir(f"/proc/{pid}/task"):
        if int(thread) != pid:
            assert allowed[-1] not in os.sched_getaffinity(int(thread))
    child = node.wait_event("snapshotter_started")[0]["pid"]
    assert allowed[-1] not in os.sched_getaffinity(child)
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    assert node.stop() == 0


def test_real_time_priority_and_locked_memory_are_taken_and_not_inherited(make_node: MakeNode) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs the right to real-time priority")
    node = make_node(realtime_priority=5, lock_memory=True).start()
    pid = node.process.pid  # type: ignore[union-attr]
    assert os.sched_getscheduler(pid) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
    locked = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmLck"))
    assert int(locked.split()[1]) > 10_000
    child = node.wait_event("snapshotter_started")[0]["pid"]
    assert os.sched_getscheduler(child) == os.SCHED_OTHER
    assert node.stop() == 0


# ---- Helpers ---------------------------------------------------------------------------------------------------------


def test_snapshots_are_written_while_it_runs_and_only_the_newest_are_kept(make_node: MakeNode) -> None:
    node = make_node(snapshot_interval_records=100, snapshot_keep_count=2)
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    for count in range(1, 5):
        client.send(*[client.order(v.Side.BUY, 100, 1)] * 150)
        for _ in range(150):
            client.report()
        node.wait_event("snapshot_written", count)
    assert len(list((node.directory / "snapshots").glob("*.snap"))) <= 2
    node.stop(signal.SIGKILL)
    node.start()
    assert node.events("recovered")[-1]["snapshot_sequence"] >= 450
    node.stop()


def test_a_snapshotter_that_dies_is_started_again_and_orders_go_on(node: Node) -> None:
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    os.kill(node.wait_event("snapshotter_started")[0]["pid"], signal.SIGKILL)
    node.wait_event("child_died")
    assert client.ask(client.order(v.Side.BUY, 100, 1)).kind == v.EventKind.ACCEPTED
    node.wait_event("snapshotter_started", 2)


def test_helpers_do_not_outlive_an_engine_that_is_killed(node: Node) -> None:
    node.start()
    child = node.wait_event("snapshotter_started")[0]["pid"]
    node.stop(signal.SIGKILL)
    wait_until(
        lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2], 10
    )


def test_an_engine_with_a_parent_stops_gracefully_when_that_is_killed(node: Node) -> None:
    starter = "import os,subprocess,sys,time;" + (
        "subprocess.Popen([sys.executable,'-m','engine_node','run',f'--parent={os.getpid()}']);time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT, env=node.environment()) as parent:
        node.wait_event("ready", timeout_s=30)
        parent.kill()
        assert node.wait_event("stopped", timeout_s=30)[0]["exit_code"] == 0


def test_rubbish_on_the_line_ends_that_line_only(node: Node) -> None:
    secret = node.make_key()
    node.start()
    client = Client.connect(node.address(), "admin", secret)
    client.define_market()
    for junk in (b"GET / HTTP/1.1\r\n\r\n" * 10, bytes(96), os.urandom(4096), struct.pack("<Q", 1) * 12):
        with socket.create_connection(node.address(), timeout=10) as line, contextlib.suppress(ConnectionError):
            line.sendall(junk)
            while line.recv(4096):
                pass
    assert client.ask(client.order(v.Side.BUY, 100, 1)).kind == v.EventKind.ACCEPTED
