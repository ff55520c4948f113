"""What to run, and what its answer means. Pure.

exit code 0   sound: one JSON object           5   not sound: {"error", "message", "detail", "hint"}
anything else: it could not be looked at
"""

from __future__ import annotations

import json
from typing import Any, Final

from functions.verifier.errors import ArchiveUnsound, VerifyFailed

__all__ = ["PASS_RUNS_MAX", "answer_of", "check_pass", "command"]

EXIT_UNSOUND: Final = 5
TOLD_CHARACTERS_MAX: Final = 2000
PASS_RUNS_MAX: Final = 30  # calls of a full pass, one a day


def command(program: str, bucket: str, shard: int, *, full: bool, limit_s: int) -> list[str]:
    """The program's arguments. full: the next part of a pass over all records, not what is new since the checkpoint."""
    words = [program, "journal", "verify", "--archive", f"s3://{bucket}/", "--shard", str(shard)]
    words += ["--record", "--statements", "--limit-s", str(limit_s), "--json"]
    return [*words, "--full-pass" if full else "--resume"]


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


def check_pass(answer: dict[str, Any], where: str) -> None:
    """A pass over all of an archive must come to its end, or nobody reads what lies there. Raises VerifyFailed."""
    if answer["complete"] or answer["full_pass_runs"] % PASS_RUNS_MAX:
        return
    raise VerifyFailed(
        f"a full pass over the archive must end within {PASS_RUNS_MAX} runs, is at sequence "
        f"{answer['last_sequence']} of {answer['archive_last_sequence']} after {answer['full_pass_runs']}",
        detail=where,
        hint="what was read is sound and it goes on, but an altered object behind that is found late or never: run "
        "`ironbook journal verify --archive` on a machine without a time limit, or call the verifier more often",
    )
