"""What a follower follows: a TOML file. Everything wrong in it is told with the key that says it.

directory = "/var/lib/ironbook-secrets"
environment = "production"
held_files = ["/var/lib/ironbook/*.held.json"]
database_url_file = "follower.database-url"

[keys]
secrets = ["*"]

[[files]]
secret = "production/database/follower"
name = "follower"
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ironbook.keystore import KEY_FILE_NAME, KEY_NUMBER_MAX
from ironbook.secret_store.errors import SettingsInvalid

__all__ = ["FileWanted", "FollowSettings", "KeysWanted", "load"]

FILE_COUNT_MAX: Final = 64
PATTERN_COUNT_MAX: Final = 64
TEXT_CHARACTERS_MAX: Final = 1024
SETTINGS_BYTES_MAX: Final = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # no dot: what a secret writes is never another one's file


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeysWanted:
    """Table [keys]: the encrypted key file."""

    file: Path
    passphrase_file: Path
    secrets: tuple[str, ...] = ("*",)  # patterns of names of secrets of kind api_key
    number_max: int = 256  # greatest number of a key that the engine takes: its key_count_max less one
    revoke_deleted: bool = False  # a key whose secret is deleted, or to be deleted, is revoked here


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileWanted:
    """Table [[files]]: a secret that a process beside the follower shows itself."""

    secret: str  # its name or ARN
    name: str  # of its files, without what their kind adds
    options: str = ""  # database: what follows ? in the URL
    tls: bool = False  # kafka
    ca_file: str = ""  # kafka


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FollowSettings:
    """The whole file."""

    directory: Path
    environment: str  # value of the tag ironbook:environment
    region: str = ""  # "": as AWS_REGION says
    poll_interval_s: float = 30.0
    relay_interval_s: float = 5.0  # a rotation takes who is silent for a minute as not there
    held_files: tuple[str, ...] = ()  # patterns of paths
    database_url_file: Path | None = None
    keys: KeysWanted | None = None
    files: tuple[FileWanted, ...] = ()


def load(path: Path) -> FollowSettings:
    """Read the file. Raises SettingsInvalid."""
    try:
        with path.open("rb") as file:
            document = tomllib.loads(file.read(SETTINGS_BYTES_MAX).decode())
    except OSError as error:
        raise SettingsInvalid(f"the settings must be readable: {error.strerror}", detail=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"the settings must be TOML, are not: {error}", detail=str(path)) from None
    return _read(document, str(path))


def _read(document: dict[str, Any], where: str) -> FollowSettings:
    top = _Table(document, where, "")
    directory = Path(top.text("directory", required=True))
    if not directory.is_absolute():
        raise top.invalid("directory", "an absolute path", str(directory))
    database_url_file = top.text("database_url_file")
    keys = top.table("keys")
    made = FollowSettings(
        directory=directory,
        environment=top.text("environment", required=True),
        region=top.text("region"),
        poll_interval_s=top.number("poll_interval_s", 30.0, 1.0, 3600.0),
        relay_interval_s=top.number("relay_interval_s", 5.0, 0.1, 15.0),
        held_files=top.texts("held_files", ()),
        database_url_file=directory / database_url_file if database_url_file else None,
        keys=_keys(keys, directory) if keys is not None else None,
        files=tuple(_file(one) for one in top.tables("files")),
    )
    top.nothing_else()
    _check_files(made.files, where)
    return made


def _keys(table: _Table, directory: Path) -> KeysWanted:
    made = KeysWanted(
        file=directory / (table.text("file") or KEY_FILE_NAME),
        passphrase_file=directory / (table.text("passphrase_file") or "key-passphrase"),
        secrets=table.texts("secrets", ("*",)),
        number_max=int(table.number("number_max", 256, 1, KEY_NUMBER_MAX)),
        revoke_deleted=table.flag("revoke_deleted"),
    )
    table.nothing_else()
    return made


def _file(table: _Table) -> FileWanted:
    made = FileWanted(
        secret=table.text("secret", required=True),
        name=table.text("name", required=True),
        options=table.text("options"),
        tls=table.flag("tls"),
        ca_file=table.text("ca_file"),
    )
    if _NAME.fullmatch(made.name) is None:
        raise table.invalid("name", "1 to 64 of A-Z a-z 0-9 _ -", made.name)
    if made.ca_file and not made.tls:
        raise table.invalid("ca_file", "given together with tls = true", made.ca_file)
    table.nothing_else()
    return made


def _check_files(files: tuple[FileWanted, ...], where: str) -> None:
    for index, one in enumerate(files):
        if any((one.secret, one.name) == (other.secret, other.name) for other in files[:index]):
            raise SettingsInvalid(
                f"each of [[files]] must be told once, {one.name!r} of {one.secret} is told twice", detail=where
            )


class _Table:
    """A table of the file; each key is taken once, and what is left was not known."""

    def __init__(self, values: Mapping[str, Any], where: str, name: str) -> None:
        self._values, self._where, self._name = dict(values), where, name
        self._known: list[str] = []

    def invalid(self, key: str, must: str, found: object) -> SettingsInvalid:
        return SettingsInvalid(
            f"{self._name}{key} must be {must}, was {str(found)[:80]!r}",
            detail=self._where,
            hint="ops/secrets.example.toml shows every key",
        )

    def text(self, key: str, *, required: bool = False) -> str:
        value = self._take(key, "")
        if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX or not value.isprintable():
            raise self.invalid(key, f"a text of at most {TEXT_CHARACTERS_MAX} printable characters", value)
        if required and not value:
            raise self.invalid(key, "given", value)
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self._take(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one for one in value):
            raise self.invalid(key, "a list of texts", value)
        if len(value) > PATTERN_COUNT_MAX:
            raise self.invalid(key, f"at most {PATTERN_COUNT_MAX} texts", len(value))
        return tuple(value)

    def number(self, key: str, default: float, least: float, most: float) -> float:
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.invalid(key, f"a number from {least:g} to {most:g}", value)
        return value

    def flag(self, key: str) -> bool:
        value = self._take(key, False)
        if not isinstance(value, bool):
            raise self.invalid(key, "true or false", value)
        return value

    def table(self, key: str) -> _Table | None:
        value = self._take(key, None)
        if value is not None and not isinstance(value, dict):
            raise self.invalid(key, "a table", value)
        return None if value is None else _Table(value, self._where, f"{key}.")

    def tables(self, key: str) -> list[_Table]:
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.invalid(key, "tables: [[files]]", value)
        if len(value) > FILE_COUNT_MAX:
            raise self.invalid(key, f"at most {FILE_COUNT_MAX} tables", len(value))
        return [_Table(one, self._where, f"{key}[{index}].") for index, one in enumerate(value)]

    def nothing_else(self) -> None:
        """Raises SettingsInvalid for a key that nobody asked for."""
        for key in self._values:
            raise SettingsInvalid(
                f"every key must be a known one, {self._name}{key} is none",
                detail=self._where,
                hint=f"known are {', '.join(self._known)}",
            )

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        return self._values.pop(key, default)
