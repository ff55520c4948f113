"""The container images: what goes into them is what the wheel is made of, and who cannot build them is told why."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.services import ROOT

IMAGES = sorted(path.parent.name for path in ROOT.glob("ops/images/*/Dockerfile"))
CONTEXT = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def make(*names: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    command = ["/bin/bash", str(ROOT / "ops/make-images"), *names]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, timeout=30, check=False)


def programs(directory: Path, builder: str | None) -> str:
    """A PATH with what the script itself needs, and a builder that says how it was called."""
    for name in ("dirname", "sed", "head"):
        (directory / name).symlink_to(f"/usr/bin/{name}" if Path(f"/usr/bin/{name}").exists() else f"/bin/{name}")
    if builder is not None:
        (directory / builder).write_text('#!/bin/sh\necho "built: $0 $*"\n')
        (directory / builder).chmod(0o755)
    return str(directory)


def test_the_context_is_a_list_of_what_goes_in() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert all((ROOT / name).exists() for name in CONTEXT)
    assert not {".git", ".venv", ".ironbook", "build", "terraform", "tests"} & {name.split("/")[0] for name in CONTEXT}


def test_the_context_has_all_of_the_wheel() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]["wheel"]
    installed = re.findall(r"install\(FILES (\S+) ", (ROOT / "CMakeLists.txt").read_text())
    assert installed
    assert {*wheel["packages"], *installed, "pyproject.toml", "README.md", "CMakeLists.txt", "cmake"} <= set(CONTEXT)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_copies_what_the_context_has_and_runs_as_a_user_of_its_own(image: str) -> None:
    text = (ROOT / "ops/images" / image / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (?!--from)(?:--\S+ )*(\S+) ", text, re.MULTILINE):
        assert source == "." or any(source == name or source.startswith(f"{name}/") for name in CONTEXT)
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"useradd --system --uid 10001 .*ironbook", last)
    user, load = last.index("\nUSER ironbook\n"), last.index("\nRUN python -")
    assert user < load  # what is loaded at the build's end is loaded as that user


def test_all_images_are_built_by_the_program_that_is_there(tmp_path: Path) -> None:
    done = make(path=programs(tmp_path, "podman"))
    assert done.returncode == 0, done.stderr
    for image in ("gateway", "streams", "verifier"):
        assert f"podman build -f ops/images/{image}/Dockerfile -t ironbook/{image}:" in done.stdout


def test_who_has_no_builder_is_told(tmp_path: Path) -> None:
    done = make(path=programs(tmp_path, None))
    assert done.returncode == 1
    assert "docker, podman or buildah must be there, none is" in done.stderr


def test_a_name_that_is_no_image_is_refused(tmp_path: Path) -> None:
    done = make("ledger", path=programs(tmp_path, "docker"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "ledger is none of gateway, streams, verifier" in done.stderr
