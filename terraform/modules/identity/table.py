"""The table of permissions in README.md, made of permissions.json.

python terraform/modules/identity/table.py           writes it
python terraform/modules/identity/table.py --check   says whether it is what the data says; status 1 if not
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BEGIN, END = "<!-- BEGIN_PERMISSIONS -->\n", "<!-- END_PERMISSIONS -->\n"


def rows(who: str, lines: list[dict[str, Any]]) -> list[str]:
    """One row for each line; who stands in each, so that a row can be found by searching."""
    return [
        f"| {who} | {', '.join(f'`{one}`' for one in line['actions'])} | "
        f"{', '.join(f'`{one}`' for one in line['resources'])} | {line['why']} |"
        for line in lines
    ]


def table(permissions: dict[str, Any]) -> str:
    """The whole table, by who."""
    made = ["| who | actions | resources | why |", "|---|---|---|---|"]
    made += rows("engine node", permissions["engine"]) + rows("ECS itself", permissions["execution"])
    for kind, group in (("task", permissions["tasks"]), ("function", permissions["functions"])):
        for name in sorted(group):
            made += rows(f"{kind} {name}", group[name])
    return "\n".join(made) + "\n"


def main(check: bool) -> int:
    """Write README.md, or compare it."""
    readme = HERE / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = before + BEGIN + table(json.loads((HERE / "permissions.json").read_text())) + END + after
    if wanted == text:
        return 0
    if check:
        print("terraform/modules/identity/README.md must be what permissions.json says; run: make terraform-docs")
        return 1
    readme.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
