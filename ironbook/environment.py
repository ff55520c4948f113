"""Settings of a process from its environment: a frozen dataclass, one variable a field, read once at the start.

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Settings:
        kafka: str = text("127.0.0.1:9092", "Brokers: host:port, several separated by commas.")
        web_port: int = integer(0, 0, 65_535, "Port of the pages; 0: any free one.")

    settings = read(Settings, "IRONBOOK_STREAMS_", {}, os.environ, SettingsInvalid)

Passwords come from the environment or from files of mode 0600, and are in no repr. What is wrong is raised as the
caller's own error, which is made of message, detail and hint.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar

FIRST_LINE_BYTES_MAX: Final = 4096
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Invalid(Protocol):
    """The caller's error."""

    def __call__(self, message: str, *, detail: str = ..., hint: str = ...) -> Exception: ...


Settings = TypeVar("Settings")


def text(default: str, about: str, choices: tuple[str, ...] = ()) -> Any:
    """A field of text; one of the choices, if there are any."""
    return dataclasses.field(default=default, metadata={"about": about, "choices": choices})


def secret(about: str, *, from_file: bool = True) -> Any:
    """A field of text that no repr shows. from_file: read from its neighbour `<name>_file`, where that is given."""
    return dataclasses.field(default="", repr=False, metadata={"about": about, "from_file": from_file})


def integer(default: int, least: int, most: int, about: str) -> Any:
    """A field of a whole number within bounds."""
    return dataclasses.field(default=default, metadata={"about": about, "least": least, "most": most})


def flag(default: bool, about: str) -> Any:
    """A field that is on or off."""
    return dataclasses.field(default=default, metadata={"about": about, "flag": True})


def read(
    kind: type[Settings], prefix: str, shared: Mapping[str, str], environment: Mapping[str, str], invalid: Invalid
) -> Settings:
    """Read them all.

    shared   variables with names of their own, to the fields they are for
    Raises what `invalid` makes, of the first variable that is wrong.
    """
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for variable, given in environment.items():
        if variable in shared:
            values.setdefault(shared[variable], given)
        elif variable.startswith(prefix):
            name = variable.removeprefix(prefix).lower()
            if name not in known:
                raise invalid(
                    f"a variable {prefix}... must name a setting, {name!r} is none",
                    detail=f"variable {variable}",
                    hint=f"known are {', '.join(sorted(known))}",
                )
            values[name] = _value(known[name], variable, given, invalid)
    for name, field in known.items():
        if field.metadata.get("from_file") and values.get(f"{name}_file"):
            values[name] = private_line(values[f"{name}_file"], f"{prefix}{name}_FILE".upper(), invalid)
    return kind(**values)


def private_line(path: str, variable: str, invalid: Invalid) -> str:
    """The first line of a file that only its owner may read. Raises what `invalid` makes."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            line = file.read(FIRST_LINE_BYTES_MAX).split(b"\n", 1)[0].decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise invalid(f"the file must be readable: {why}", detail=f"variable {variable}, {path}") from None
    if mode & 0o077:
        raise invalid(
            f"the file must be readable by its owner only, has mode {mode:04o}",
            detail=f"variable {variable}, {path}",
            hint=f"chmod 600 {path}",
        )
    return line


def _value(field: dataclasses.Field[Any], variable: str, given: str, invalid: Invalid) -> Any:
    about = field.metadata["about"]
    if "least" in field.metadata:
        least, most = field.metadata["least"], field.metadata["most"]
        if not (given.isascii() and given.isdigit() and len(given) < 20 and least <= int(given) <= most):
            must = f"{field.name} must be a whole number from {least} to {most}"
            raise invalid(f"{must}, was {given[:40]!r}", detail=f"variable {variable}", hint=about)
        return int(given)
    if "flag" in field.metadata:
        if given.lower() not in TRUE + FALSE:
            must = f"{field.name} must be one of {', '.join(TRUE + FALSE)}"
            raise invalid(f"{must}, was {given[:40]!r}", detail=f"variable {variable}", hint=about)
        return given.lower() in TRUE
    choices = field.metadata.get("choices")
    if choices and given not in choices:
        must = f"{field.name} must be one of {', '.join(choices)}"
        raise invalid(f"{must}, was {given[:40]!r}", detail=f"variable {variable}", hint=about)
    return given
