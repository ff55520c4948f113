"""Files that hold one secret, such as a database's URL: mode 0600, there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_secret(path: Path, text: str) -> Path:
    """Write it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
    new.rename(path)
    return path


def read_secret(path: Path) -> str:
    """Its first line."""
    return path.read_text().split("\n", 1)[0].strip()
