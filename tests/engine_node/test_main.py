"""python -m engine_node: arguments, output, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine_node import errors, settings
from engine_node.__main__ import main
from tests.support.node import ROOT


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IRONBOOK_")}
    return subprocess.run(
        [sys.executable, "-m", "engine_node", *arguments],
        cwd=ROOT, env=kept | variables, capture_output=True, check=False, timeout=60, text=True,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("IRONBOOK_"):
            monkeypatch.delenv(name)


def test_the_example_and_the_reference_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--example"]) == 0
    assert capsys.readouterr().out == settings.example()
    assert main(["settings", "--reference"]) == 0
    assert capsys.readouterr().out == settings.reference()


def test_good_settings_are_said_to_be_good_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.toml"
    file.write_text("idle_ms = 1234\n")
    assert main(["settings", "--check", "--settings", str(file)]) == 0
    assert "good" in capsys.readouterr().out
    assert main(["settings", "--show", "--settings", str(file)]) == 0
    assert "\nidle_ms = 1234\n" in capsys.readouterr().out


def test_bad_settings_are_told_with_line_and_mend_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.toml"
    file.write_text("\nidle_ms = 1\n")
    for command in ("settings", "run", "doctor", "snapshotter"):
        assert main([command, "--settings", str(file)]) == 1
        said = capsys.readouterr().err
        assert said.startswith("settings: idle_ms must be 100 to 86400000 (ms), was 1")
        assert f"detail: {file}, line 2" in said
        assert "hint: default: 30000" in said


def test_unknown_arguments_exit_2() -> None:
    assert run("settings", "--nonsense").returncode == 2
    assert run("dance").returncode == 2


def test_the_doctor_prints_a_table() -> None:
    ran = run("doctor")
    assert "clock_source" in ran.stdout
    assert ran.returncode in (0, 1)


def test_a_snapshotter_without_a_journal_says_what_is_missing(tmp_path: Path) -> None:
    ran = run("snapshotter", IRONBOOK_ENGINE_DATA_DIRECTORY=str(tmp_path))
    assert ran.returncode == 1
    assert "a journal must be there" in ran.stderr


def test_every_error_class_has_a_code_of_its_own_and_stands_in_the_tree() -> None:
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.EngineNodeError)
    ]
    assert len({one.code for one in classes}) == len(classes)
    for one in classes:
        assert one.__name__ in (errors.__doc__ or "")
        assert one.code in (errors.__doc__ or "")
        assert one.__name__ in errors.__all__


def test_any_error_can_be_told_in_parts() -> None:
    full = errors.SettingsError("x must be 1, was 2", detail="line 3", hint="set it")
    assert errors.parts_of(full) == {
        "error": "settings",
        "message": "x must be 1, was 2",
        "detail": "line 3",
        "hint": "set it",
    }
    assert errors.parts_of(KeyError("k")) == {"error": "KeyError", "message": "k"}
    assert str(full) == "x must be 1, was 2; line 3; set it"


def test_what_speaks_to_kafka_must_be_told_where_it_is(tmp_path: Path) -> None:
    for command in ("publisher", "restore"):
        done = run(command, IRONBOOK_ENGINE_DATA_DIRECTORY=str(tmp_path))
        assert done.returncode == 1
        assert "kafka_bootstrap must be set" in done.stderr
