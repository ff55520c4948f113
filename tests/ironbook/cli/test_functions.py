"""`ironbook functions`: what is said where a package is missing, and what stands on standard output."""

from __future__ import annotations

import json
import subprocess
import sys

from ironbook.cli._app import EXIT_FAILED, run
from tests.support.node import ROOT

HIDDEN = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
from ironbook.cli._app import run
sys.exit(run(sys.argv[2:]))
"""


def without(module: str, *words: str) -> tuple[int, str, str]:
    """A command line where this module is not to be found: exit code, standard output, standard error."""
    command = [sys.executable, "-c", HIDDEN, module, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_package_that_a_function_needs_and_is_not_there_is_named() -> None:
    for name, missing in (("reporting", "boto3"), ("canary", "aws_lambda_powertools")):
        code, out, _ = without(missing, "functions", "invoke", name, "--json")
        assert code == EXIT_FAILED
        said = json.loads(out)
        assert said["error"] == "dependency_missing", said
        assert said["message"].startswith(f"{missing} must be installed")
        assert "ironbook[functions]" in said["hint"]


def test_a_core_that_is_not_built_is_said_so_and_how_to_build_it() -> None:
    code, out, _ = without("engine_node._engine", "journal", "verify", "--json")
    assert code == EXIT_FAILED
    said = json.loads(out)
    assert said["message"] == "the engine's core must be built, is not"
    assert "make build" in said["hint"]


def test_logs_of_a_function_are_not_on_standard_output() -> None:
    code, out, err = without("none", "functions", "invoke", "archiver", "--json")
    assert code == EXIT_FAILED
    assert json.loads(out)["error"] == "settings"
    assert json.loads(err)["message"] == "failed"


def test_a_dry_run_is_asked_for_by_an_option_where_there_is_one(tmp_path, monkeypatch) -> None:
    event, asked = tmp_path / "rotate.json", []
    event.write_text('{"action": "rotate", "secret_id": "cookie"}')
    monkeypatch.setattr("functions.rotation.handler.handle", lambda event, context: asked.append(event) or {})
    assert run(["functions", "invoke", "rotation", "--event", str(event), "--dry-run", "--json"]) == 0
    assert asked == [{"action": "rotate", "secret_id": "cookie", "dry_run": True}]
    for name in ("archiver", "canary", "reporting", "verifier"):
        monkeypatch.setattr(f"functions.{name}.handler.handle", lambda event, context: asked.append(event) or {})
        assert run(["functions", "invoke", name, "--dry-run", "--json"]) == EXIT_FAILED
    assert len(asked) == 1, "nothing else was called"


def test_a_file_that_is_no_event_is_said_without_an_error_of_the_system(tmp_path) -> None:
    code, out, _ = without("none", "functions", "invoke", "canary", "--event", str(tmp_path / "none.json"), "--json")
    assert code == EXIT_FAILED
    said = json.loads(out)
    assert said["message"] == "an event must be a JSON object in a file: No such file or directory"
    assert said["detail"] == str(tmp_path / "none.json")
    assert "event.example.json" in said["hint"]
