"""Settings of reporting: variables IRONBOOK_FUNCTION_<FIELD>."""

from __future__ import annotations

import dataclasses

from ironbook import environment as env

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of them; terraform/modules/functions sets them."""

    database_secret: str = env.text("", "ARN of the database's secret: host, port, dbname, username, password.")
    database_url: str = env.secret("A PostgreSQL URL instead of the secret, for a run on a laptop.", from_file=False)
    database_tls: str = env.text("prefer", "TLS to the database.", ("disable", "prefer", "require", "verify-full"))
    database_ca_pem: str = env.text("", "PEM of who signed the database's certificate, as text; empty: the system's.")
    archive_bucket: str = env.text("", "Bucket of the archive with the ledger's statements; empty: none.")
    reports_bucket: str = env.text("", "Bucket that reports go to.")
    reports_prefix: str = env.text("reports", "What their keys begin with.")
    reports_topic_arn: str = env.text("", "SNS topic that is told of each report; empty: nobody.")
    alerts_topic_arn: str = env.text("", "SNS topic that is told of each failure; empty: nobody.")
    mail_from: str = env.text("", "Verified sender of SES; empty: no mail.")
    mail_to: str = env.text("", "Who is mailed each report: addresses, several separated by commas.")
    link_hours: int = env.integer(12, 1, 168, "How long a link is good; never longer than the token of the role.")
