"""Writes the reference page of the command line from the commands themselves.

python -m ironbook.cli._reference > docs/reference/cli.md
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from typer.models import ArgumentInfo, OptionInfo

from ironbook.cli._app import EPILOG, LAZY, ORDER, app

HEAD = """# The command line

<!-- generated: python -m ironbook.cli._reference -->

`ironbook COMMAND --help` says the same. Every command has `--json`: it prints one JSON object, or one object a line
where it goes on, and nothing else on standard output. Errors say what must hold and what was found, where, and what to
do: on standard error, or with `--json` as an object with `error`, `message`, `detail` and `hint` on standard output.

{epilog}

`IRONBOOK_TRACEBACK=1` lets an error show where in the program it came from.
"""


def page() -> str:
    """The whole page."""
    found = dict(_walk("ironbook", app))
    found |= {f"ironbook {name}": getattr(importlib.import_module(module), name) for name, module in LAZY.items()}
    first = {f"ironbook {name}": place for place, name in enumerate(ORDER)}

    def order(path: str) -> tuple[int, str]:
        return first.get(" ".join(path.split()[:2]), len(first)), path if path.count(" ") == 1 else ""

    paths = sorted(found, key=order)
    parts = [HEAD.format(epilog=EPILOG), *(_command(path, found[path]) for path in paths)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _walk(path: str, group: typer.Typer) -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in group.registered_commands:
        if command.callback is not None and not command.hidden:
            yield f"{path} {command.name or command.callback.__name__}", command.callback
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from _walk(f"{path} {inner.name}", inner.typer_instance)


def _command(path: str, body: Callable[..., Any]) -> str:
    hints = typing.get_type_hints(body, include_extras=True)
    arguments: list[tuple[str, Any, Any, Any]] = []
    options: list[tuple[str, Any, Any, Any]] = []
    for name, parameter in inspect.signature(body).parameters.items():
        kind, info = _parts(hints[name])
        if info is None or getattr(info, "hidden", False):
            continue
        (arguments if isinstance(info, ArgumentInfo) else options).append((name, kind, info, parameter.default))
    usage = " ".join([path, *(_argument(*a) for a in arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"## {path}", "", f"`{usage}`", "", _text(inspect.getdoc(body) or ""), ""]
    if arguments or options:
        lines += ["| argument or option | default | |", "|---|---|---|"]
        lines += [f"| `{_argument(*a)}` | {_default(a[3])} | {_cell(a[2])} |" for a in arguments]
        lines += [f"| {_names(*o)} | {_default(o[3])} | {_cell(o[2])} |" for o in options]
        lines.append("")
    return "\n".join(lines)


def _parts(hint: Any) -> tuple[Any, Any]:
    """The type and what Typer was told of it; (type, None) if it was told nothing."""
    if typing.get_origin(hint) is not Annotated:
        return hint, None
    kind, *notes = typing.get_args(hint)
    return kind, next((note for note in notes if isinstance(note, ArgumentInfo | OptionInfo)), None)


def _argument(name: str, kind: Any, info: Any, default: Any) -> str:
    shown = (info.metavar or name.strip("_")).upper().strip("[]")
    shown += "..." if "list" in str(kind) else ""
    return shown if default is inspect.Parameter.empty else f"[{shown}]"


def _names(name: str, kind: Any, info: Any, default: Any) -> str:
    own = f"--{name.strip('_').replace('_', '-')}"
    given = [n for n in (info.default, *(info.param_decls or ())) if isinstance(n, str) and n.startswith("-")]
    names = given or [own]
    if kind is bool:
        if not given:
            names.append(own.replace("--", "--no-", 1))
        return ", ".join(f"`{n}`" for n in names)
    return ", ".join(f"`{n} {_value(kind)}`" for n in names)


def _value(kind: Any) -> str:
    kinds = [k for k in (typing.get_args(kind) or (kind,)) if k is not type(None)]
    inner = kinds[0]
    while typing.get_args(inner):
        inner = typing.get_args(inner)[0]
    if inspect.isclass(inner) and issubclass(inner, enum.Enum):
        return "\\|".join(str(member.value) for member in inner)
    return {"str": "TEXT", "int": "INTEGER", "float": "NUMBER", "Path": "PATH"}.get(inner.__name__, "VALUE")


def _default(default: Any) -> str:
    if default in (None, False, "", 0) or default is inspect.Parameter.empty:
        return ""
    return "on" if default is True else f"`{getattr(default, 'value', default)}`"


def _cell(info: Any) -> str:
    text = (info.help or "").replace("|", "\\|").strip()
    if info.envvar:
        text += f" Also `{info.envvar if isinstance(info.envvar, str) else info.envvar[0]}`."
    return re.sub(r"\s+", " ", text)


def _text(help_text: str) -> str:
    """Help as Markdown: blocks of examples become code."""
    lines = []
    for line in inspect.cleandoc(help_text).replace("\b", "").splitlines():
        stripped = line.strip()
        if line.startswith("  ") and stripped:
            lines.append(f"    {stripped}")
        elif stripped.startswith("Example:"):
            lines += ["Example:", "", f"    {stripped.removeprefix('Example:').strip()}"]
        else:
            lines.append(stripped)
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
