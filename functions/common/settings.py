"""Settings of a function: variables IRONBOOK_FUNCTION_<FIELD>, read once at a cold start into one frozen dataclass.

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Settings:
        reports_bucket: str = env.text("", "Where reports go.")

    SETTINGS = load(Settings, os.environ)

Secrets are never in variables: a setting names a secret's ARN, and functions.common.aws.read_secret fetches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from functions.common.errors import EventInvalid, SettingsInvalid
from ironbook import environment as env

__all__ = ["PREFIX", "load", "need", "need_object"]

PREFIX: Final = "IRONBOOK_FUNCTION_"
Settings = TypeVar("Settings")


def load(kind: type[Settings], environment: Mapping[str, str]) -> Settings:
    """Raises SettingsInvalid, which names the first variable that is wrong."""
    return env.read(kind, PREFIX, {}, environment, SettingsInvalid)


def need(settings: object, *names: str) -> None:
    """Raises SettingsInvalid for the first of these settings that is empty."""
    for name in names:
        if not getattr(settings, name):
            raise SettingsInvalid(
                f"{name} must be set, is empty",
                detail=f"variable {PREFIX}{name.upper()}",
                hint="terraform/modules/functions sets it; locally, export it before ironbook functions invoke",
            )


def need_object(event: object) -> dict[str, Any]:
    """What a function was invoked with, which may be any JSON. Raises EventInvalid."""
    if not isinstance(event, dict):
        raise EventInvalid(
            f"an event must be a JSON object, was a {type(event).__name__}", hint="see event.example.json"
        )
    return event
