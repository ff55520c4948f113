"""What the tidy tests share: the tracked files of the tree, read once."""

from __future__ import annotations

import functools
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def tracked() -> tuple[pathlib.Path, ...]:
    """Every file that git knows or would add, from the root of the tree."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return tuple(path for path in (ROOT / name for name in names if name) if path.is_file())


@pytest.fixture(scope="session")
def root() -> pathlib.Path:
    """The top of the tree."""
    return ROOT


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """Text of each tracked file by its path from the root; binary files are left out."""
    out = {}
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            out[path.relative_to(ROOT).as_posix()] = data.decode()
    return out
