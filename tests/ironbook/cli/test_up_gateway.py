"""`ironbook up` with its gateway: the URL it prints answers, the lines it prints trade, and it ends with the rest."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request

import orjson
import pytest

from ironbook._secrets import write_secret
from tests.ironbook.cli.conftest import ROOT, Up
from tests.support.node import wait_until

START_S = 60.0


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A first start that speaks to people; everything it said until it was ready."""
    up = Up(tmp_path_factory.mktemp("up") / "data", "--level", "process", "--http", "127.0.0.1:0")
    said = []
    try:
        while not said or b"Ctrl-C stops it" not in said[-1]:
            said.append(up.first_line())
            assert said[-1], up.end()
        yield up, b"".join(said).decode()
    finally:
        assert up.stop()[0] == 0


def test_it_prints_where_the_dashboard_is_and_what_is_printed_answers(started):
    up, said = started
    state = orjson.loads((up.data / "gateway.json").read_bytes())
    assert state["dashboard"] in said
    with urllib.request.urlopen(f"{state['url']}/ready", timeout=10) as answer:
        assert answer.status == 200


def test_the_ccxt_lines_that_it_prints_trade_and_hold_no_secret(started):
    up, said = started
    lines = said.partition("Trade with ccxt (")[2].partition("\n")[2].partition("Try, in another")[0]
    program = "\n".join(line.strip() for line in lines.splitlines())
    secret = orjson.loads((up.data / "client-keys" / "demo-1.json").read_bytes())["secret"]
    assert secret not in said
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r"'status': 'open'", done.stdout)


def test_a_port_that_is_taken_is_told_in_the_gateways_words(started, tmp_path):
    up, _ = started
    taken = orjson.loads((up.data / "gateway.json").read_bytes())["addresses"][0]
    code, _, said = Up(tmp_path / "data", "--level", "process", "--http", taken).end()
    assert code == 1
    assert "in use" in said
    assert taken in said
    assert "--http" in said


def test_a_second_start_tells_where_the_dashboard_of_the_first_is(started):
    up, _ = started
    code, _, said = Up(up.data, "--http", "127.0.0.1:0").end()
    assert code == 1
    assert orjson.loads((up.data / "gateway.json").read_bytes())["dashboard"] in said


def test_without_analytics_the_database_of_an_earlier_start_is_not_asked(started, tmp_path):
    (tmp_path / "data").mkdir(mode=0o700)
    write_secret(tmp_path / "data" / "database-url", "postgresql://nobody@127.0.0.1:1/nothing")
    up = Up(tmp_path / "data", "--json", "--level", "process", "--http", "127.0.0.1:0")
    try:
        url = orjson.loads(up.first_line())["gateway"]
        with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
            parts = {part["name"]: part["status"] for part in orjson.loads(answer.read())["parts"]}
        assert parts["database"] == "off"
    finally:
        assert up.stop()[0] == 0


def test_a_gateway_that_dies_is_started_again(tmp_path):
    up = Up(tmp_path / "data", "--json", "--level", "process", "--http", "127.0.0.1:0")
    try:
        ready = orjson.loads(up.first_line())
        path = up.data / "gateway.json"
        first = orjson.loads(path.read_bytes())
        assert ready["gateway"] == first["url"]
        os.kill(first["pid"], signal.SIGKILL)
        wait_until(lambda: path.exists() and orjson.loads(path.read_bytes())["pid"] != first["pid"], START_S)
    finally:
        assert up.stop()[0] == 0
    assert not path.exists()
