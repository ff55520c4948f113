"""Who is told of a report: subscribers of an SNS topic, and addresses by SES."""

from __future__ import annotations

from typing import Any

from functions.common.aws import Clients, alert, told
from functions.reporting.settings import Settings

__all__ = ["link_to", "tell"]


def link_to(clients: Clients, settings: Settings, key: str) -> str:
    """A link that opens an object without a login, for so many hours."""
    with told("a link must be signed", f"s3://{settings.reports_bucket}/{key}"):
        link: str = clients.get("s3").generate_presigned_url(
            "get_object",
            Params={"Bucket": settings.reports_bucket, "Key": key},
            ExpiresIn=settings.link_hours * 3600,
        )
    return link


def tell(clients: Clients, settings: Settings, answer: dict[str, Any]) -> list[str]:
    """Tell everybody who is set; who was told. Raises CloudFailed."""
    subject = f"Ironbook {answer['day']}{' (in progress)' if answer['partial'] else ''}: {answer['headline']}"
    text = "\n".join(
        [
            answer["headline"],
            "",
            f"Page (for up to {settings.link_hours} h): {answer['link']}",
            f"Files: s3://{settings.reports_bucket}/{answer['folder']}/",
            f"Manifest: {answer['manifest']}, SHA-256 {answer['sha256']}",
        ]
    )
    done = []
    if settings.reports_topic_arn:
        alert(clients, settings.reports_topic_arn, subject, text)
        done.append("sns")
    addresses = [address.strip() for address in settings.mail_to.split(",") if address.strip()]
    if settings.mail_from and addresses:
        with told("mail must be sent", f"from {settings.mail_from}", "is the sender verified in SES?"):
            clients.get("sesv2").send_email(
                FromEmailAddress=settings.mail_from,
                Destination={"ToAddresses": addresses},
                Content={"Simple": {"Subject": {"Data": subject}, "Body": {"Text": {"Data": text}}}},
            )
        done.append("ses")
    return done
