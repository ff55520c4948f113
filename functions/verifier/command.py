"""What to run, and what its answer means. Pure.

exit code 0   sound: one JSON object           5   not sound: {"error", "message", "detail", "hint"}
anything else: it could not be looked at
"""

from __future__ import annotations

import json
from typing import Any, Final

from functions.verifier.errors import ArchiveUnsound, VerifyFailed

__all__ = ["answer_of", "command"]

EXIT_UNSOUND: Final = 5
TOLD_CHARACTERS_MAX: Final = 2000


def command(program: str, bucket: str, shard: int, *, full: bool, limit_s: int) -> list[str]:
    """The program's arguments. full: from the first record, not from the newest checkpoint."""
    words = [program, "journal", "verify", "--archive", f"s3://{bucket}/", "--shard", str(shard)]
    words += ["--record", "--statements", "--limit-s", str(limit_s), "--json"]
    return words if full else [*words, "--resume"]


def answer_of(code: int, out: str, err: str, where: str) -> dict[str, Any]:
    """What it found. Raises ArchiveUnsound, VerifyFailed."""
    try:
        said = json.loads(out.strip().rpartition("\n")[2] or "null")
    except ValueError:
        said = None
    if code == 0 and isinstance(said, dict) and said.get("sound") is True:
        return said
    if code == EXIT_UNSOUND and isinstance(said, dict):
        raise ArchiveUnsound(
            str(said.get("message", "")), detail=str(said.get("detail", where)), hint=str(said.get("hint", ""))
        )
    told = said.get("message") if isinstance(said, dict) else (err or out).strip()[-TOLD_CHARACTERS_MAX:]
    raise VerifyFailed(
        f"the archive must be verified, was not: {told}",
        detail=f"{where}, exit code {code}" + (f"; {said.get('detail', '')}" if isinstance(said, dict) else ""),
        hint="nothing is known about the archive by this; look at the cause and let it run again",
    )
