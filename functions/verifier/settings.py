"""Settings of the verifier, from IRONBOOK_FUNCTION_<FIELD>."""

from __future__ import annotations

import dataclasses

from ironbook import environment as env

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a verifier must know."""

    archive_bucket: str = env.text("", "Bucket of the archive.")
    program: str = env.text("ironbook", "The program that replays; a path, or a name on PATH.")
    alerts_topic_arn: str = env.text("", "SNS topic that a difference is told to; empty: none.")
