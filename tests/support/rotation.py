"""What tests of rotation share: secrets, holders that answer as processes would, the whole state to compare.

    world = World(aws, url)
    arn = world.database_secret("gateway")
    world.hold(arn)                      # every process took in what the labels say
    world.handle({"action": "drive"})

Secrets Manager is moto's server, PostgreSQL and Kafka are real. `hold` writes rows of secret_holders as the follower
does for processes that took in the versions they are given.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import secrets
import time
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from functions.common.invoke import Context
from functions.rotation import handler
from ironbook.held import alternating, certificate_value, fingerprint, login_value
from tests.support.aws import Aws

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
VERIFIED = ("api_key", "cookie")
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class World:
    """One environment's secrets and database."""

    def __init__(self, aws: Aws, url: str, monkeypatch: Any, **settings: object) -> None:
        self.aws, self.url, self.monkeypatch = aws, url, monkeypatch
        self._function = ""
        self.mark = f"r{secrets.token_hex(4)}"
        self.sql("TRUNCATE secret_holders")
        parts = urlsplit(url)
        self.host, self.port, self.dbname = parts.hostname or "", parts.port or 5432, parts.path.removeprefix("/")
        self.api = aws.client("secretsmanager")
        admin = self.api.create_secret(
            Name="admin", SecretString=json.dumps({"username": parts.username, "password": parts.password})
        )
        self._topic = aws.topic()
        self._alerts: list[str] = []
        self.settings(
            environment="test", database_host=self.host, database_port=self.port, database_name=self.dbname,
            database_admin_secret=admin["ARN"], database_tls="disable", session_hours=0, settle_s=0,
            newcomer_s=0, alerts_topic_arn=self._topic.arn, **settings,
        )  # fmt: skip

    def settings(self, **settings: object) -> None:
        """Variables of the function."""
        for name, value in settings.items():
            said = str(value).lower() if isinstance(value, bool) else str(value)
            self.monkeypatch.setenv(f"IRONBOOK_FUNCTION_{name.upper()}", said)

    def close(self) -> None:
        """Users belong to the whole server."""
        rows = self.sql("SELECT rolname FROM pg_roles WHERE starts_with(rolname, $1)", self.mark)
        for (name,) in rows:
            self.sql(f'DROP ROLE "{name}"')

    # ---- Secrets ----------------------------------------------------------------------------------------------------

    def secret(self, name: str, kind: str, value: Mapping[str, Any], holders: str | None = "", **tags: str) -> str:
        """A secret with its first value; its ARN."""
        said = {"kind": kind, "environment": "test"} | ({} if holders is None else {"holders": holders}) | tags
        answer = self.api.create_secret(
            Name=name, SecretString=json.dumps(value),
            Tags=[{"Key": f"ironbook:{key}", "Value": value} for key, value in said.items()],
        )  # fmt: skip
        return str(answer["ARN"])

    def api_key(
        self, key_id: str = "desk-1", *, holders: str = "engine=1 gateway=2", users: str = "", number: int = 7,
        permissions: list[str] | None = None, account: int = 1,
    ) -> str:  # fmt: skip
        """An API key that an engine and two gateways check."""
        value = {"key_id": key_id, "secret": secrets.token_hex(32), "number": number,
                 "permissions": permissions or ["trade", "read"], "account": account, "networks": []}  # fmt: skip
        return self.secret(f"api_key/{key_id}", "api_key", value, holders, **({"users": users} if users else {}))

    def cookie(self, holders: str = "gateway=2") -> str:
        """The key of session cookies."""
        return self.secret("cookie", "cookie", {"secret": secrets.token_hex(32)}, holders)

    def database(self, name: str = "gateway", *, make: bool = True, holders: str = "gateway=1", **more: Any) -> str:
        """A login of two users, the first of which exists and is in use."""
        users = [f"{self.mark}{name}_a", f"{self.mark}{name}_b"]
        value = {"host": self.host, "port": self.port, "dbname": self.dbname, "username": users[0],
                 "password": secrets.token_hex(16), "users": users, "role": "ironbook_reader"}  # fmt: skip
        if make:
            self.sql(f"CREATE ROLE \"{users[0]}\" LOGIN PASSWORD '{value['password']}'")
            self.sql(f'GRANT ironbook_reader TO "{users[0]}"')
        return self.secret(f"database/{name}", "database", value | more, holders)

    def kafka(self, **more: Any) -> str:
        """A Kafka login of two users that may do what analytics may. They do not exist yet."""
        users = [f"{self.mark}_a", f"{self.mark}_b"]
        value = {"username": users[0], "password": secrets.token_hex(32), "mechanism": "SCRAM-SHA-512", "users": users,
                 "principal": "analytics"}  # fmt: skip
        return self.secret("kafka/analytics", "kafka", value | more, "analytics=1")

    def value(self, secret: str, stage: str = CURRENT) -> dict[str, Any]:
        """A version's value."""
        stored = self.api.get_secret_value(SecretId=secret, VersionStage=stage)["SecretString"]
        found: dict[str, Any] = json.loads(stored)
        return found

    def stored(self, secret: str, version: str) -> str | None:
        """A version's value as it is stored; None if it has none."""
        try:
            return str(self.api.get_secret_value(SecretId=secret, VersionId=version)["SecretString"])
        except self.api.exceptions.ResourceNotFoundException:
            return None

    def labels(self, secret: str) -> dict[str, str]:
        """Label to version, of those that have one."""
        versions = self.api.describe_secret(SecretId=secret)["VersionIdsToStages"]
        return {label: version for version, labels in versions.items() for label in labels}

    def begin(self, secret: str) -> str:
        """RotateSecret as AWS does it: a version that is pending and has no value yet; its id.

        The function that it names is there and does nothing: the tests call ours.
        """
        if not self._function:
            asked = urllib.request.Request(
                f"{self.aws.url}/moto-api/config", data=b'{"lambda": {"use_docker": false}}', method="POST",
                headers={"Content-Type": "application/json"},
            )  # fmt: skip
            urllib.request.urlopen(asked, timeout=10).close()
            role = self.aws.client("iam").create_role(RoleName="rotation", AssumeRolePolicyDocument="{}")["Role"]
            self._function = self.aws.client("lambda").create_function(
                FunctionName="rotation", Runtime="python3.12", Role=role["Arn"], Handler="none.none",
                Code={"ZipFile": b"PK"},
            )["FunctionArn"]  # fmt: skip
        token = str(uuid.uuid4())
        self.api.rotate_secret(SecretId=secret, ClientRequestToken=token, RotationLambdaARN=self._function)
        return token

    # ---- Holders ----------------------------------------------------------------------------------------------------

    def hold(self, secret: str, *processes: str, stages: tuple[str, ...] = (CURRENT, PENDING, PREVIOUS)) -> None:
        """The processes took in what the labels say: "engine-0", "gateway-1" …; those of the tag, if none is named."""
        described = self.api.describe_secret(SecretId=secret)
        tags = {tag["Key"].removeprefix("ironbook:"): tag["Value"] for tag in described["Tags"]}
        names = processes or tuple(
            f"{kind}-{number}"
            for part in tags.get("holders", "").split()
            for kind, _, count in [part.partition("=")]
            for number in range(int(count))
        )
        labels = self.labels(secret)
        stored = [self.stored(secret, labels[stage]) for stage in stages if stage in labels]
        values = [json.loads(one) for one in stored if one is not None]
        marks = [mark(tags["kind"], value) for value in values]
        verified = tags["kind"] in VERIFIED
        for name in names:
            self.row(
                name, holder_name(tags["kind"], self.value(secret)), marks if verified else [],
                None if tags["kind"] == "api_key" else marks[0],
            )  # fmt: skip

    def row(self, process: str, secret: str, accepts: list[str], uses: str | None, seen_ns: int | None = None) -> None:
        """One row of secret_holders."""
        now_ns = time.time_ns()
        self.sql(
            "INSERT INTO secret_holders VALUES ($1, $2, $3, $4, $5, 'here', $6, $7) ON CONFLICT (process, secret)"
            " DO UPDATE SET accepts = excluded.accepts, uses = excluded.uses, seen_ns = excluded.seen_ns",
            process, process.rpartition("-")[0], secret, accepts, uses, now_ns, now_ns if seen_ns is None else seen_ns,
        )  # fmt: skip

    # ---- PostgreSQL -------------------------------------------------------------------------------------------------

    def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """As the administrator."""
        return asyncio.run(_sql(self.url, statement, arguments))

    def may_log_on(self, value: Mapping[str, Any]) -> bool:
        """Would PostgreSQL take this login?"""
        return asyncio.run(_may_log_on(value))

    # ---- The function -----------------------------------------------------------------------------------------------

    def handle(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke it."""
        return handler.handle(event, Context("ironbook-rotation"))

    def step(self, step: str, secret: str, version: str) -> dict[str, Any]:
        """As Secrets Manager calls."""
        return self.handle({"Step": step, "SecretId": secret, "ClientRequestToken": version})

    def drive(self, secret: str) -> dict[str, Any]:
        """What drive says of one secret."""
        name = self.api.describe_secret(SecretId=secret)["Name"]
        answers = self.handle({"action": "drive"})["secrets"]
        found: dict[str, Any] = next(answer for answer in answers if answer["secret"] == name)
        return found

    def rotate(self, secret: str, **more: Any) -> dict[str, Any]:
        """On demand."""
        return self.handle({"action": "rotate", "secret_id": secret} | more)

    def alerts(self) -> list[str]:
        """What people were told until now, oldest first: subject, then text."""
        self._alerts += [f"{said['Subject']}\n{said['Message']}" for said in self._topic.told()]
        return self._alerts

    def everything(self) -> dict[str, Any]:
        """The whole state of Secrets Manager and PostgreSQL, to compare."""
        stored = {}
        for secret in self.api.list_secrets()["SecretList"]:
            described = self.api.describe_secret(SecretId=secret["ARN"])
            versions = described["VersionIdsToStages"]
            values = {
                version: (sorted(labels), self.stored(secret["ARN"], version)) for version, labels in versions.items()
            }
            stored[secret["Name"]] = (values, described.get("Tags"), described["LastChangedDate"])
        roles = "SELECT rolname, rolcanlogin, rolpassword, rolsuper FROM pg_authid ORDER BY 1"
        members = "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members ORDER BY 1, 2"
        rows = [[tuple(row) for row in self.sql(text)] for text in (roles, members, "TABLE secret_holders")]
        return {"secrets": stored, "postgres": rows}


def authority(days: int = 3650, name: str = "Firm") -> dict[str, str]:
    """A firm's own authority."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"certificate": made.public_bytes(serialization.Encoding.PEM).decode(), "private_key": private.decode()}


def mark(kind: str, value: Mapping[str, Any]) -> str:
    """What a process says that it has."""
    if kind in VERIFIED:
        return fingerprint(bytes.fromhex(value["secret"]))
    if kind == "tls":
        return fingerprint(certificate_value(value["certificate"]))
    return fingerprint(login_value(value["username"], value["password"]))


def holder_name(kind: str, value: Mapping[str, Any]) -> str:
    """A secret's name in secret_holders."""
    if kind == "cookie":
        return kind
    if kind == "tls":
        return f"tls/{value['names'][0]}"
    return f"{kind}/{value['key_id'] if kind == 'api_key' else alternating(value['username'])}"


async def _sql(url: str, statement: str, arguments: tuple[Any, ...]) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        found: list[Any] = await connection.fetch(statement, *arguments)
        return found
    finally:
        await connection.close()


async def _may_log_on(value: Mapping[str, Any]) -> bool:
    try:
        connection = await asyncpg.connect(
            host=value["host"], port=value["port"], user=value["username"], password=value["password"],
            database=value["dbname"],
        )  # fmt: skip
    except asyncpg.PostgresError:
        return False
    await connection.close()
    return True


def kafka_may_log_on(bootstrap: str, value: Mapping[str, Any]) -> bool:
    """Would the brokers take this login?"""

    async def ask() -> bool:
        client = AIOKafkaClient(
            bootstrap_servers=bootstrap, security_protocol="SASL_PLAINTEXT", sasl_mechanism=value["mechanism"],
            sasl_plain_username=value["username"], sasl_plain_password=value["password"],
        )  # fmt: skip
        try:
            await client.bootstrap()
        except KafkaError:
            return False
        finally:
            await client.close()
        return True

    return asyncio.run(ask())
