"""Settings of the canary, from IRONBOOK_FUNCTION_<FIELD>."""

from __future__ import annotations

import dataclasses

from ironbook import environment as env

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the canary must know."""

    gateway_url: str = env.text("", "What clients use: https://name, or http://host:port.")
    gateway_ca_file: str = env.text("", "PEM of the authority of its certificate; empty: the system's.")
    key_secret: str = env.text("", "Secret of its key: key_id, secret; it needs trade, cancel and read.")
    symbol: str = env.text("BTCUSD", "What it orders.")
    away_ppm: int = env.integer(100_000, 1, 999_999, "How far below the market its price is, in millionths of it.")
    request_timeout: int = env.integer(5_000, 100, 20_000, "An answer must come within, in milliseconds.")
    metrics_environment: str = env.text("", "Dimension Environment of its metrics; empty: no metrics.")
    alerts_topic_arn: str = env.text("", "SNS topic that failures are told to; empty: none.")
