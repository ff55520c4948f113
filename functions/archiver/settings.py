"""Settings of the archiver, from IRONBOOK_FUNCTION_<FIELD>."""

from __future__ import annotations

import dataclasses

from ironbook import environment as env

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an archiver must know."""

    archive_bucket: str = env.text("", "Bucket of the archive.")
    kafka: str = env.text("", "Brokers: host:port, several separated by commas.")
    kafka_secret_arn: str = env.text("", "Secret with username, password and mechanism; empty: brokers ask for none.")
    kafka_tls: bool = env.flag(False, "Do the brokers speak TLS?")
    kafka_ca_file: str = env.text("", "PEM of the authority of their certificates; empty: the system's.")
    topic_prefix: str = env.text("", "What every topic of this installation begins with.")
    object_records: int = env.integer(262_144, 4_096, 1 << 21, "With the message that reaches so many an object ends.")
    object_age_s: int = env.integer(300, 0, 86_400, "A smaller object is written once its first record is so old.")
    call_records_max: int = env.integer(8_388_608, 4_096, 1 << 28, "Records archived in one call, at most.")
    call_s_max: int = env.integer(240, 5, 840, "One call takes no new object after so many seconds.")
    keep_records: int = env.integer(1_000_000, 0, 1 << 40, "So many archived records stay in the topic.")
    keep_snapshots: int = env.integer(2, 1, 100, "The topic goes on from each of so many newest published snapshots.")
    trim: bool = env.flag(True, "Delete records from the topic that are archived and not needed there?")
    metrics_environment: str = env.text("", "Dimension Environment of the metric ArchiveLagSeconds; empty: no metric.")
    alerts_topic_arn: str = env.text("", "SNS topic that failures are told to; empty: none.")
