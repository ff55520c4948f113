"""Running a function here, and the zips that run there."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from functions.common import package as packing
from functions.common.errors import EventInvalid
from functions.common.invoke import Context, about, example, invoke, names, read_event

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_every_function_says_what_it_does_and_what_it_may(request: pytest.FixtureRequest) -> None:
    root = request.config.rootpath / "functions"
    assert names() == sorted(path.name for path in root.iterdir() if (path / "handler.py").exists())
    for name in names():
        assert about(name), name
        assert isinstance(read_event(example(name)), dict), name
        assert "| action | resource | why |" in (root / name / "iam.md").read_text(), name
        assert callable(importlib.import_module(f"functions.{name}.handler").handle), name


def test_an_event_is_a_bounded_object_and_a_name_is_a_function(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    for wrong in ("[]", "{", "", "[" * 200_000):
        file.write_text(wrong)
        with pytest.raises(EventInvalid, match="an event must be a JSON object"):
            read_event(file)
    with pytest.raises(EventInvalid, match="a function must be one of"):
        invoke("../common", {})


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("event", [[], "text", None, 5, [{"Step": "createSecret"}]])
def test_what_is_no_object_is_refused_by_every_function(name: str, event: Any) -> None:
    with pytest.raises(EventInvalid, match="an event must be a JSON object, was a"):
        invoke(name, event)


def test_a_context_counts_down() -> None:
    context = Context("x")
    first = context.get_remaining_time_in_millis()
    assert 0 < first <= 900_000
    assert context.invoked_function_arn.endswith(":x")


def test_the_same_files_give_the_same_bytes_whenever_and_in_whatever_order(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("b", "a", "c")}
    for name, path in files.items():
        path.write_text(name * 1000)
    packing._zip(tmp_path / "one.zip", files)
    os.utime(files["a"], (0, 1_000_000_000))
    files["b"].chmod(0o700)
    packing._zip(tmp_path / "two.zip", dict(reversed(files.items())))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "unpacked_bytes_max", "zip_bytes_max"),
    [
        ("archiver", 80_000_000, 25_000_000),
        ("canary", 60_000_000, 20_000_000),
        ("reporting", 200_000_000, 60_000_000),
        ("rotation", 80_000_000, 25_000_000),
    ],
)
def test_a_zip_runs_alone_and_is_made_once(
    name: str, unpacked_bytes_max: int, zip_bytes_max: int, tmp_path: Path
) -> None:
    """Made for this interpreter, so that it can be tried: unpacked, with nothing else but what Lambda has."""
    made = packing.package_all([name], tmp_path, HERE)
    written_ns = made[0]["path"].stat().st_mtime_ns
    assert packing.package_all([name], tmp_path, HERE) == made
    assert made[0]["path"].stat().st_mtime_ns == written_ns, "what it is made of is as it was"
    assert made[0]["unpacked_bytes"] < unpacked_bytes_max
    assert made[0]["zip_bytes"] < zip_bytes_max
    unpacked = tmp_path / "var" / "task"
    with zipfile.ZipFile(made[0]["path"]) as archive:
        archive.extractall(unpacked)
    runtime = tmp_path / "runtime"  # boto3 is Lambda's own
    runtime.mkdir()
    for part in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"):
        place = Path(importlib.util.find_spec(part.removesuffix(".py")).origin)
        (runtime / part).symlink_to(place if part.endswith(".py") else place.parent)
    program = (
        f"import sys; sys.path[:0] = [{str(unpacked)!r}, {str(runtime)!r}]; import functions.{name}.handler as one; "
        "import json, ironbook; print(json.dumps([one.__file__, ironbook.__file__]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert all(path.startswith(str(unpacked)) for path in json.loads(done.stdout))


def test_only_what_is_a_function_can_be_packed(tmp_path: Path) -> None:
    for name in ("verifier", "common", "../reporting"):
        with pytest.raises(EventInvalid, match="a function with a zip must be one of"):
            packing.package_all([name], tmp_path, HERE)
