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
ADDRESS = "127.0.0.1:7400"


@pytest.fixture
def node(tmp_path):
    """`ironbook up` in a folder of its own, as docs/start.md says, at a free port."""
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "ironbook", "up", "--listen", "127.0.0.1:0", "--level", "process", "--no-analytics"],
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


def test_the_example_of_the_readme_enters_and_cancels_an_order(node):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(example.splitlines()) <= 10
    address = json.loads((node / DATA / "engine.json").read_text())["addresses"][0]
    assert ADDRESS in example
    done = subprocess.run(
        [sys.executable, "-c", example.replace(ADDRESS, address)],
        cwd=node,
        capture_output=True,
        text=True,
        timeout=30,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ACCEPTED 0 filled\n"


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
