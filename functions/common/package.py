"""The zips that AWS runs: a function, what it imports of ours, and its requirements, in bytes that do not vary.

    build/functions/<name>.zip      functions/common  functions/<name>  ironbook (client parts)  schemas  requirements
    build/functions/<name>.json     what it was made of and how large it is; while that is the same, nothing is made

Requirements are pinned and taken as wheels of Lambda's platform, so a zip can be made on any machine; a library that
has no such wheel stops it. Files are sorted, and their times are those of the zip format's first day.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from functions.common.errors import EventInvalid, FunctionError
from functions.common.invoke import FOLDER, names

__all__ = ["IMAGES", "UNPACKED_BYTES_MAX", "Refused", "package", "package_all"]

IMAGES: Final = ("verifier",)  # a container image, not a zip: it runs the engine's core
UNPACKED_BYTES_MAX: Final = 262_144_000  # Lambda's limit
# Amazon Linux 2023, which Lambda's Python 3.12 and newer stand on, has glibc 2.34.
PLATFORMS: Final = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64")
PIP_TIMEOUT_S: Final = 900
FIRST_DAY: Final = (1980, 1, 1, 0, 0, 0)
# What no function imports: the command line, tapes, servers of development, generators, this file.
LEFT_OUT: Final = (
    "ironbook/cli/", "ironbook/tape/", "ironbook/services/", "schemas/generate", "functions/common/package.py",
)  # fmt: skip
# Of libraries: tests, headers, sources, and those shared objects of pyarrow that neither Parquet nor CSV needs.
STRIPPED_PARTS: Final = ("tests", "include", "__pycache__", "bin")
STRIPPED_ENDS: Final = (".pyx", ".pxd", ".pxi", ".pyi", ".h", ".hpp", ".c", ".cc", ".cpp", ".lib", ".a")
STRIPPED_STARTS: Final = (
    "pyarrow/libarrow_flight", "pyarrow/libarrow_python_flight", "pyarrow/_flight",
    "pyarrow/libgandiva", "pyarrow/_gandiva",
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/",
)  # fmt: skip


class Refused(FunctionError):
    """A zip cannot be made."""

    code = "package"


def package_all(wanted: Sequence[str], to: Path, python: str) -> list[dict[str, Any]]:
    """Make the zips of these functions, of all without a name. Raises EventInvalid, Refused."""
    zips = [name for name in names() if name not in IMAGES]
    for name in wanted:
        if name not in zips:
            raise EventInvalid(
                f"a function with a zip must be one of {', '.join(zips)}, was {name!r}",
                hint="the verifier is a container image: ops/images/verifier",
            )
    to.mkdir(parents=True, exist_ok=True)
    return [package(name, to, python) for name in wanted or zips]


def package(name: str, to: Path, python: str) -> dict[str, Any]:
    """Make one zip, unless the one that is there was made of the same. Raises Refused."""
    ours = dict(sorted(_ours(name)))
    requirements = [FOLDER / "common/requirements.txt", FOLDER / name / "requirements.txt"]
    made_of = _digest(python, ours, [path for path in requirements if path.exists()])
    target, record = to / f"{name}.zip", to / f"{name}.json"
    if target.exists() and record.exists():
        known: dict[str, Any] = json.loads(record.read_bytes())
        if known["made_of"] == made_of and known["sha256"] == _sha256(target):
            return {**known, "path": target}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        _install(root, [path for path in requirements if path.exists()], python)
        libraries = {inside: path for inside, path in _files(root) if _kept(inside)}
        unpacked_bytes = sum(path.stat().st_size for path in [*libraries.values(), *ours.values()])
        if unpacked_bytes > UNPACKED_BYTES_MAX:
            raise Refused(
                f"a function must have at most {UNPACKED_BYTES_MAX} bytes unpacked, {name} has {unpacked_bytes}",
                hint="drop a requirement, or make it a container image",
            )
        _zip(target, {**libraries, **ours})
    made = {
        "name": name, "zip_bytes": target.stat().st_size, "unpacked_bytes": unpacked_bytes,
        "python": python, "made_of": made_of, "sha256": _sha256(target),
    }  # fmt: skip
    record.write_text(json.dumps(made, indent=1) + "\n")
    return {**made, "path": target}


def _ours(name: str) -> Iterator[tuple[str, Path]]:
    repository = FOLDER.parent
    for top in ("functions/common", f"functions/{name}", "ironbook", "schemas"):
        for inside, path in _files(repository / top):
            whole = f"{top}/{inside}"
            if "__pycache__" not in whole and not whole.startswith(LEFT_OUT) and not whole.endswith((".md", ".txt")):
                yield whole, path
    yield "functions/__init__.py", FOLDER / "__init__.py"


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield path.relative_to(root).as_posix(), path


def _kept(inside: str) -> bool:
    parts = inside.split("/")
    return not (
        any(part in STRIPPED_PARTS for part in parts[:-1])
        or inside.endswith(STRIPPED_ENDS)
        or inside.startswith(STRIPPED_STARTS)
        or (parts[0].endswith(".dist-info") and parts[-1] != "METADATA")  # RECORD and INSTALLER tell of this machine
    )


def _install(root: Path, requirements: Sequence[Path], python: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--target", str(root), "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    for path in requirements:
        command += ["--requirement", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Refused(f"requirements must be installed within {PIP_TIMEOUT_S} s, were not") from None
    if done.returncode:
        raise Refused(
            "requirements must have wheels for Lambda's platform; pip said: " + done.stderr.strip()[-800:],
            detail=", ".join(path.relative_to(FOLDER.parent).as_posix() for path in requirements),
        )


def _zip(target: Path, files: dict[str, Path]) -> None:
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as made:
        for inside in sorted(files):
            entry = zipfile.ZipInfo(inside, FIRST_DAY)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            with files[inside].open("rb") as source, made.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    partial.replace(target)


def _digest(python: str, ours: dict[str, Path], requirements: Sequence[Path]) -> str:
    whole = hashlib.sha256(f"{python} {PLATFORMS} {STRIPPED_STARTS} {STRIPPED_PARTS} {STRIPPED_ENDS}".encode())
    for inside, path in [*ours.items(), *((path.name, path) for path in requirements)]:
        whole.update(f"\0{inside}\0{_sha256(path)}".encode())
    return whole.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
