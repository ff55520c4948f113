"""Users of Kafka: at the brokers (SCRAM by Kafka's own admin calls), or on MSK, where each is a secret of its own.

MSK reads a user's password from a secret AmazonMSK_… that is associated with the cluster, and refuses Kafka's calls for
it; access rules are made by Kafka's calls in both. Passwords leave this process salted (librdkafka does that), or to
Secrets Manager.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from functions.common.aws import Clients, told
from functions.rotation.errors import KafkaRefused, NewSecretRefused
from functions.rotation.settings import Settings
from ironbook.topics import Resource, rules
from schemas.topics import load_topics

__all__ = ["BrokerUsers", "MskUsers"]

TIMEOUT_S: Final = 10.0
ITERATIONS: Final = 8192
PASSWORD_BYTES: Final = 32
_RESOURCES: Final = {
    Resource.TOPIC: ResourceType.TOPIC,
    Resource.GROUP: ResourceType.GROUP,
    Resource.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
}
_SILENT: Final = logging.getLogger("ironbook.rotation.kafka")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_ABSENT: Final = (KafkaError.RESOURCE_NOT_FOUND,)


class BrokerUsers:
    """Users that the brokers keep. login: the administrator's secret."""

    def __init__(self, settings: Settings, login: Callable[[], Mapping[str, Any]]) -> None:
        self._settings, self._login = settings, login
        self._made: AdminClient | None = None

    def let_in(self, user: str, password: str, mechanism: str, principal: str, like: str) -> None:
        """Password, then rights; both again are as good as once."""
        self._give_password(user, password, mechanism)
        self._give_rights(user, principal, like)

    def try_login(self, user: str, password: str, mechanism: str) -> None:
        """Raises NewSecretRefused."""
        client = AdminClient(self._options(user, password, mechanism))
        try:
            client.list_topics(timeout=TIMEOUT_S)
        except KafkaException as error:
            raise NewSecretRefused(
                f"the new user must be let in by Kafka, was not: {_name(error)}",
                detail=f"{self._settings.kafka_bootstrap}, user {user}",
                hint="the old one stays in use; brokers may need a moment, the step is tried again",
            ) from None

    def shut_out(self, user: str, mechanism: str) -> None:
        """The password goes; one that is gone already is as good."""
        deletion = UserScramCredentialDeletion(user, _mechanism(mechanism))
        self._alter(deletion, user, "lose its password", fine=_ABSENT)

    def _give_password(self, user: str, password: str, mechanism: str) -> None:
        info = ScramCredentialInfo(_mechanism(mechanism), ITERATIONS)
        salt = secrets.token_bytes(16)
        self._alter(UserScramCredentialUpsertion(user, info, password.encode(), salt), user, "get its new password")

    def _alter(self, alteration: Any, user: str, what: str, fine: tuple[int, ...] = ()) -> None:
        self._result(
            lambda: [*self._admin().alter_user_scram_credentials([alteration], request_timeout=TIMEOUT_S).values()],
            f"user {user} must {what}",
            fine,
        )

    def _give_rights(self, user: str, principal: str, like: str) -> None:
        """Those of the contract, and whatever else the other user was given by hand."""
        named = {principal: [user]}
        wanted = [
            AclBinding(
                _RESOURCES[rule.resource], rule.name, ResourcePatternType[rule.pattern.name], rule.user, "*",
                AclOperation[rule.operation.name], AclPermissionType.ALLOW,
            )
            for rule in rules(load_topics(), self._settings.topic_prefix, named)
            if rule.user == f"User:{user}"
        ]  # fmt: skip
        if not wanted:
            raise KafkaRefused(
                f"a principal must be one of {', '.join(load_topics().principals)}, was {principal}",
                detail=f"user {user}",
            )
        what, open_to_all = f"user {user} must get the rights of {principal}", (KafkaError.SECURITY_DISABLED,)
        whatever: Any = None  # the library's stubs know no filter for any name
        his = AclBindingFilter(
            ResourceType.ANY, whatever, ResourcePatternType.ANY, f"User:{like}", whatever, AclOperation.ANY,
            AclPermissionType.ANY,
        )  # fmt: skip
        for found in self._result(lambda: [self._admin().describe_acls(his)], what, open_to_all):
            wanted += [
                AclBinding(
                    one.restype, one.name, one.resource_pattern_type, f"User:{user}", one.host, one.operation,
                    one.permission_type,
                )
                for one in found
            ]  # fmt: skip
        asked = list(dict.fromkeys(wanted))
        self._result(lambda: [*self._admin().create_acls(asked, request_timeout=TIMEOUT_S).values()], what, open_to_all)

    def _result(self, ask: Callable[[], list[Any]], what: str, fine: tuple[int, ...]) -> list[Any]:
        found = []
        try:
            for future in ask():
                try:
                    found.append(future.result(timeout=2 * TIMEOUT_S))
                except KafkaException as error:
                    if error.args[0].code() not in fine:
                        raise
        except (KafkaException, TimeoutError) as error:
            raise KafkaRefused(
                f"{what}, Kafka refused: {_name(error)}",
                detail=self._settings.kafka_bootstrap,
                hint="the secret in use is untouched; the step is tried again",
            ) from None
        return found

    def _admin(self) -> AdminClient:
        if self._made is None:
            login = self._login()
            mechanism = str(login.get("mechanism", "SCRAM-SHA-512"))
            self._made = AdminClient(self._options(str(login["username"]), str(login["password"]), mechanism))
        return self._made

    def _options(self, user: str, password: str, mechanism: str) -> dict[str, Any]:
        tls = self._settings.kafka_tls
        authority = {"ssl.ca.location": self._settings.kafka_ca_file} if tls and self._settings.kafka_ca_file else {}
        return {
            "bootstrap.servers": self._settings.kafka_bootstrap,
            "security.protocol": "SASL_SSL" if tls else "SASL_PLAINTEXT",
            "sasl.mechanism": mechanism,
            "sasl.username": user,
            "sasl.password": password,
            "socket.timeout.ms": int(TIMEOUT_S * 1000),
            "logger": _SILENT,  # what librdkafka says on standard error is in the errors
            **authority,
        }


class MskUsers(BrokerUsers):
    """Users of MSK."""

    def __init__(self, settings: Settings, login: Callable[[], Mapping[str, Any]], clients: Clients) -> None:
        super().__init__(settings, login)
        self._clients = clients

    def _give_password(self, user: str, password: str, mechanism: str) -> None:
        # The token names the very value, so that putting it again changes nothing.
        self._put(user, password, hashlib.sha256(f"{user}\0{password}".encode()).hexdigest())

    def shut_out(self, user: str, mechanism: str) -> None:
        """A password that nobody has: MSK knows no user without one."""
        self._put(user, secrets.token_hex(PASSWORD_BYTES), secrets.token_hex(PASSWORD_BYTES))

    def _put(self, user: str, password: str, token: str) -> None:
        secret_id = self._settings.kafka_user_secret_prefix + user
        value = json.dumps({"username": user, "password": password})
        with told("a user's own secret must be writable", f"secret {secret_id}"):
            self._clients.get("secretsmanager").put_secret_value(
                SecretId=secret_id, ClientRequestToken=token, SecretString=value
            )


def _mechanism(name: str) -> ScramMechanism:
    return ScramMechanism.SCRAM_SHA_512 if name.endswith("512") else ScramMechanism.SCRAM_SHA_256


def _name(error: BaseException) -> str:
    return str(error.args[0].name()) if isinstance(error, KafkaException) else type(error).__name__
