"""python -m gateway: run the gateway, or look at what it is made of.

    run        serve until SIGTERM
    settings   the page of the variables it reads
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
        print(reference(), end="")
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


def reference() -> str:
    """The page of all settings: docs/reference/gateway-settings.md."""
    lines = [
        "# Settings of the gateway",
        "",
        "<!-- generated: python -m gateway settings -->",
        "",
        "Variables of the environment, read once at the start. Times in milliseconds, sizes in bytes, unless the name",
        "says otherwise. One that is unknown or out of range stops the start and is named. The passphrase of the",
        "key file and the prefix of topics have names that other parts share: `IRONBOOK_KEY_PASSPHRASE`,",
        "`IRONBOOK_KEY_PASSPHRASE_FILE`, `IRONBOOK_TOPIC_PREFIX`.",
        "",
        "| variable | default | range | what |",
        "|---|---|---|---|",
    ]
    for field in dataclasses.fields(GatewaySettings):
        rule = field.metadata
        span = f"{rule['least']} to {rule['most']}" if "least" in rule else ", ".join(rule.get("choices", ()))
        span = "true, false" if "flag" in rule else span or "text"
        default = f"`{str(field.default).lower()}`" if field.default != "" else ""
        lines.append(f"| `{ENVIRONMENT_PREFIX}{field.name.upper()}` | {default} | {span} | {rule['about']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
