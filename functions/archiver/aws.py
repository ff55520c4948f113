"""AWS and Kafka for the archiver: the bucket, the login to the brokers."""

from __future__ import annotations

from functions.archiver.settings import Settings
from functions.archiver.topic import JournalTopic
from functions.common.aws import Clients, read_secret
from functions.common.errors import SecretInvalid
from ironbook._kafka import Security
from ironbook.archive.stores import S3Store

__all__ = ["bucket", "journal_topic"]


def bucket(clients: Clients, settings: Settings) -> S3Store:
    """The archive's store."""
    return S3Store(clients.get("s3"), settings.archive_bucket)


def journal_topic(clients: Clients, settings: Settings, shard: int) -> JournalTopic:
    """The topic, with the login of the secret as it is now. Raises SecretInvalid, CloudFailed."""
    login: dict[str, str] = {}
    if settings.kafka_secret_arn:
        secret = read_secret(clients, settings.kafka_secret_arn)
        missing = [name for name in ("username", "password", "mechanism") if not isinstance(secret.get(name), str)]
        if missing:
            raise SecretInvalid(
                f"a secret of kind kafka must have {', '.join(missing)}, has not", detail=settings.kafka_secret_arn
            )
        login = {name: secret[name] for name in ("username", "password", "mechanism")}
    security = Security(**login, tls=settings.kafka_tls, ca_file=settings.kafka_ca_file or None)
    return JournalTopic(settings.kafka, security, settings.topic_prefix, shard)
