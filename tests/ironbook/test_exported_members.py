"""The package root is the whole public face: what it exports is what it names, and errors form one tree."""

from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys

import pytest

import ironbook
from ironbook import IronbookError, _errors
from schemas.vocabulary import CODE_TEXT

PUBLIC_MODULES = {
    "archive",
    "average_cost",
    "calendar",
    "cli",
    "dead_letters",
    "embedded",
    "envelope",
    "environment",
    "held",
    "keystore",
    "margin",
    "renewal",
    "secret_store",
    "services",
    "subscribe",
    "tape",
    "topics",
}


def test_all_names_exactly_what_the_root_has() -> None:
    public = {
        name
        for name, value in vars(ironbook).items()
        if (not name.startswith("_") or name == "__version__") and not inspect.ismodule(value)
    }
    assert public == set(ironbook.__all__)
    assert len(ironbook.__all__) == len(set(ironbook.__all__))


def test_implementation_modules_are_underscored() -> None:
    modules = {module.name for module in pkgutil.iter_modules(ironbook.__path__)}
    assert {name for name in modules if not name.startswith("_")} == PUBLIC_MODULES


def test_everything_public_has_a_docstring() -> None:
    for name in ironbook.__all__:
        value = getattr(ironbook, name)
        if inspect.isclass(value) and value.__module__.startswith("ironbook"):
            assert value.__doc__, name
            for member, body in vars(value).items():
                if not member.startswith("_") and inspect.isfunction(body):
                    inherited = any(getattr(base, member, None) for base in value.__mro__[1:])
                    assert body.__doc__ or inherited, f"{name}.{member}"


def errors() -> list[type[IronbookError]]:
    return [e for e in vars(_errors).values() if inspect.isclass(e) and issubclass(e, IronbookError)]


def test_every_error_is_exported_has_its_own_code_and_stands_in_the_tree() -> None:
    codes = [error.code for error in errors()]
    assert len(set(codes)) == len(codes)
    for error in errors():
        assert error.__name__ in ironbook.__all__ or error.__name__ == "EngineCodeError"
        assert error.__name__ in (_errors.__doc__ or ""), f"{error.__name__} is missing from the drawing"


@pytest.mark.parametrize("code", sorted(CODE_TEXT))
def test_every_code_of_the_engine_becomes_an_error_that_says_what_to_do(code: int) -> None:
    error = ironbook.Rejected(code, detail="somewhere")
    said = error.to_json()
    assert said["engine_code"] == code
    assert said["message"] == CODE_TEXT[code][1]
    assert said["hint"] == CODE_TEXT[code][2]
    assert str(error) == f"{said['message']}; somewhere; {said['hint']}"


def test_an_unknown_code_is_told_as_such() -> None:
    assert "999" in str(ironbook.SessionEnded(999))


def test_importing_the_client_brings_no_engine_no_cli_and_no_key_store() -> None:
    program = (
        "import sys, ironbook; "
        "heavy = ('engine_node', 'typer', 'rich', 'cryptography', 'pyarrow', 'uvloop', 'aiokafka', 'ironbook.tape'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
