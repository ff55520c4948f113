"""python -m gateway: run the gateway, or look at what it is made of.

    run        serve until SIGTERM
    settings   the variables it reads, with their defaults
    openapi    the OpenAPI document of everything it serves

Exit codes: 0 done, 1 could not start, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence

import orjson

from engine_node.errors import SettingsError
from gateway.settings import ENVIRONMENT_PREFIX, GatewaySettings, SettingsInvalid, load
from ironbook import IronbookError
from ironbook.keystore import KeyStoreError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "settings", "openapi"))
    chosen = parser.parse_args(arguments)
    if chosen.command == "settings":
        _show_settings()
        return 0
    if chosen.command == "openapi":
        from gateway.server import document

        print(orjson.dumps(document(), option=orjson.OPT_INDENT_2).decode())
        return 0
    try:
        settings = load()
        from gateway.server import run

        return run(settings)
    except (SettingsInvalid, SettingsError, IronbookError, KeyStoreError, OSError) as error:
        print(f"the gateway could not start: {error}", file=sys.stderr)
        return 1


def _show_settings() -> None:
    for field in dataclasses.fields(GatewaySettings):
        default = "" if field.default is dataclasses.MISSING else field.default
        print(f"{ENVIRONMENT_PREFIX}{field.name.upper()}={default}  # {field.metadata['about']}")


if __name__ == "__main__":
    sys.exit(main())
