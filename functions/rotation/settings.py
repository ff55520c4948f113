"""Settings of rotation: variables IRONBOOK_FUNCTION_<FIELD>."""

from __future__ import annotations

import dataclasses

from ironbook import environment as env

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One environment's settings. Secrets are named by ARN or name, never given."""

    environment: str = env.text("", "Tag ironbook:environment of the secrets that rotate here.")
    required_holders: str = env.text(
        "", "Who must hold secrets that have no tag ironbook:holders: api_key:engine=1,gateway=2;cookie:gateway=2"
    )
    holder_silent_s: int = env.integer(60, 10, 86_400, "A process not heard of for so long has not confirmed, in s.")
    newcomer_s: int = env.integer(
        60, 0, 3600, "A process that begins says what it holds within, in s: twice as long as followers look for files."
    )
    session_hours: int = env.integer(
        12, 0, 720, "A login lives for so long (IRONBOOK_GATEWAY_SESSION_HOURS): old keys and cookie keys stay for it."
    )
    settle_s: int = env.integer(
        900, 0, 86_400, "What was begun with an old login may go on for so long, in s: Lambda's longest run."
    )
    unfinished_alert_minutes: int = env.integer(60, 1, 100_000, "A rotation unfinished for longer raises an alert.")
    alerts_topic_arn: str = env.text("", "SNS topic of alerts. Empty: nobody is told.")

    database_host: str = env.text("", "PostgreSQL, where secret_holders and the database users are.")
    database_port: int = env.integer(5432, 1, 65_535, "Its port.")
    database_name: str = env.text("ironbook", "Its database.")
    database_admin_secret: str = env.text("", "Secret (username, password) of a user that may make and change users.")
    database_tls: str = env.text(
        "verify-full", "Is the server's certificate checked?", ("verify-full", "require", "disable")
    )
    database_ca_pem: str = env.text("", "PEM of who signed the server's certificate, as text. Empty: the system's.")

    kafka_bootstrap: str = env.text("", "Brokers: host:port, separated by commas. Empty: no Kafka users rotate.")
    kafka_admin_secret: str = env.text("", "Secret (username, password, mechanism) of a user that may change users.")
    kafka_user_secret_prefix: str = env.text(
        "", "On MSK a user's password is a secret of its own, <this><user>. Empty: users are changed at the brokers."
    )
    kafka_tls: bool = env.flag(True, "Are connections to the brokers encrypted?")
    kafka_ca_file: str = env.text("", "PEM of who signed the brokers' certificates. Empty: the system's.")
    topic_prefix: str = env.text("", "Before every name of a topic, as in access rules.")

    ca_secret: str = env.text("", "Secret (certificate, private_key) of the firm's authority. Empty: no TLS rotates.")
    engine_addresses: str = env.text("", "Ingress of engine and standby: host:port, separated by commas.")
    gateway_url: str = env.text("", "Where a signed request tries a new API key, such as https://gateway.internal")
