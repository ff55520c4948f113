"""The guide of the streams: its program runs as it stands, and its table of codes is the contract's."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ironbook import nonce_name
from schemas.topics import load_topics
from schemas.vocabulary import Permission
from tests.streams.support import KeyDirectory, make_market, read_until
from tests.support.workers import ROOT, WorkerProcess

PAGE = (ROOT / "docs/guides/streams.md").read_text()


@pytest.mark.timeout(300)
def test_the_program_that_submits_orders_has_them_validated(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    keys = KeyDirectory(tmp_path / "keys")
    keys.make("desk-1", int(Permission.TRADE | Permission.CANCEL), account=1).write(tmp_path / "desk-1.json")
    asyncio.run(make_market(kafka, topic_prefix, "orders.submitted", "orders.validated", "keys"))
    section = PAGE[PAGE.index("## Submitting") : PAGE.index("## Validation")]
    (program,) = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    variables = {
        "IRONBOOK_KAFKA": kafka, "IRONBOOK_TOPIC_PREFIX": topic_prefix,
        "IRONBOOK_KEY_FILE": str(tmp_path / "desk-1.json"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with WorkerProcess("streams.validation", kafka, topic_prefix, tmp_path / "worker", **keys.settings()):
        orders = asyncio.run(read_until(kafka, topic_prefix, "orders.validated", lambda found: len(found) >= 3))
    assert [f"sent {order['nonce']}" for order in orders] == done.stdout.splitlines()
    assert [order["price_ticks"] for order in orders] == [6001000, 6000550, 6000125]


def test_the_table_of_codes_is_in_the_order_in_which_codes_win() -> None:
    section = PAGE[PAGE.index("## Validation") : PAGE.index("## Submitter")]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    named = [code for row in rows for code in re.findall(r"`([a-z_]+)`", row.split("|")[1])]
    codes = list(load_topics().data["stream_codes"])
    assert named == [*codes[: codes.index("account_halted")], "order_rate_exceeded"]
    assert nonce_name.__name__ in PAGE
