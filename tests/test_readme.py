"""What the README promises a newcomer: its example runs as it stands, and every page it names is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ".ironbook"
ADDRESS, HTTP = "127.0.0.1:7400", "127.0.0.1:7480"
PAGES = ("README.md", "docs/guides/gateway.md")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """`ironbook up` in a folder of its own, as docs/start.md says, at free ports."""
    tmp_path = tmp_path_factory.mktemp("readme")
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ironbook", "up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"),
            *("--level", "process", "--no-analytics"),
        ],
        cwd=tmp_path,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
    )
    try:
        deadline = time.monotonic() + 40
        while "listens at" not in (tmp_path / "log").read_text():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield tmp_path
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def examples(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def run(node: Path, command: list[str], text: str = "") -> str:
    """What a program prints that runs where the data directory stands, with the ports of this node."""
    address = json.loads((node / DATA / "engine.json").read_text())["addresses"][0]
    http = json.loads((node / DATA / "gateway.json").read_text())["addresses"][0]
    done = subprocess.run(
        [*command, text.replace(ADDRESS, address).replace(HTTP, http)],
        cwd=node,
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_the_readme_enters_and_cancels_an_order(node):
    [example] = [text for text in examples("README.md") if "ironbook import" in text]
    assert len(example.splitlines()) <= 10
    assert run(node, [sys.executable, "-c"], example) == "ACCEPTED 0 filled\n"


@pytest.mark.parametrize("page", PAGES)
def test_ccxt_trades_as_the_page_says(node, page):
    [example] = [text for text in examples(page) if "ccxt" in text]
    assert "open" in run(node, [sys.executable, "-c"], example)


def test_curl_and_openssl_sign_as_the_guide_says(node):
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / PAGES[1]).read_text(), re.DOTALL | re.MULTILINE)
    [example] = [text for text in blocks if "curl" in text]
    assert json.loads(run(node, ["bash", "-euc"], example.replace("curl ", "curl -sS ")))["status"] == "NEW"


def test_every_page_that_a_page_links_to_is_there():
    missing = []
    for page in [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("schemas/wire/*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not missing, missing
