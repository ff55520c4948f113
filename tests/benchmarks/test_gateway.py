"""The gateway's benchmark runs at smoke size: every order is answered and trades, every wrong signature is refused."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil

import pytest

from benchmarks import gateway
from benchmarks.machine import Placement

FIGURES = {
    "requests_per_s",
    "fastapi_ratio",
    "starlette_ratio",
    "median_ratio",
    "engine_p50_ratio_under_abuse",
    "engine_p99_ratio_under_abuse",
}


@pytest.mark.timeout(300)
def test_everything_is_answered_and_it_ends_in_one_json_object(capsys):
    assert shutil.which("wrk"), "ops/system-packages bench"
    assert gateway.main(["--smoke"]) == 0
    said = capsys.readouterr().out
    figures = json.loads(said.splitlines()[-1])
    assert figures.keys() >= FIGURES
    assert all(figures[name] > 0 for name in FIGURES)
    assert "machine " in said


def test_no_two_signed_requests_are_alike_and_each_signature_is_right(tmp_path):
    stage = gateway.Stage(Placement(server_cpu=0, load_cpu=0, realtime_priority=0), gateway.SMOKE, tmp_path)
    stage.secrets = {"buyer": "11" * 32, "seller": "22" * 32}
    requests = []
    for _ in range(2):
        path = gateway._order_file(stage, 7480, 100)
        requests += path.read_bytes().decode().rstrip("\0").split("\0")
    assert len(set(requests)) == 200
    for number, request in enumerate(requests):
        line, _, rest = request.partition(" HTTP/1.1\r\n")
        signed, _, signature = line.partition("?")[2].partition("&signature=")
        key_id = ("buyer", "seller")[number % 2]
        assert f"\r\nX-MBX-APIKEY: {key_id}\r\n" in rest
        assert f"&side={('BUY', 'SELL')[number % 2]}&" in signed
        assert signature == hmac.new(stage.secrets[key_id].encode(), signed.encode(), hashlib.sha256).hexdigest()
