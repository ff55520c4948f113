"""Where a new secret is tried: a signed logon at the engine, a signed request at the gateway, a TLS handshake.

At the engine it is a probe: a logon that is checked and answered like any other and begins no session. So a key can be
tried while its owner logs on and trades: nobody's session ends because of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from functions.rotation.errors import NewSecretRefused
from ironbook.held import fingerprint
from schemas.vocabulary import RESUME_PROBE, LogonAnswer, LogonRequest, MessageKind

__all__ = ["EngineDoor", "GatewayDoor", "TlsDoor"]

TIMEOUT_S: Final = 5.0
SIGNED_BYTES: Final = 64
HANDSHAKE_ROUNDS_MAX: Final = 10


class EngineDoor:
    """The ingress of the engine and its standby: whichever of them leads answers, the others do not listen."""

    def __init__(self, addresses: str, now_ns: Callable[[], int]) -> None:
        self._addresses = [address.strip() for address in addresses.split(",") if address.strip()]
        self._now_ns = now_ns

    def try_key(self, key_id: str, secret: bytes) -> str:
        """Send a probe, check the answer's signature. Raises NewSecretRefused."""
        silent = []
        for address in self._addresses:
            host, _, port = address.rpartition(":")
            try:
                with socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT_S) as line:
                    good = self._probe(line, key_id, secret)
            except (OSError, ValueError) as error:
                silent.append(f"{address}: {type(error).__name__}")
                continue
            if not good:
                raise NewSecretRefused(
                    "the engine must take the new secret, did not", detail=f"{address}, key {key_id}",
                    hint="the old one stays in use; is this key in the engine's key file, is the clock right?",
                )  # fmt: skip
            return f"logon at the engine {address}"
        raise NewSecretRefused(
            "an engine must answer to try the new secret, none does", detail="; ".join(silent),
            hint="the old one stays in use; the step is tried again",
        )  # fmt: skip

    def _probe(self, line: socket.socket, key_id: str, secret: bytes) -> bool:
        request = LogonRequest(
            magic=b"IRONBK01", key_id=key_id.encode().ljust(16, b"\0"), client_nonce=os.urandom(16),
            timestamp_ns=self._now_ns(), last_report_number=RESUME_PROBE,
        )  # fmt: skip
        head = request.pack()[:SIGNED_BYTES]
        line.sendall(head + hmac.digest(secret, head, "sha256"))
        answer = b""
        while len(answer) < LogonAnswer.BYTES:
            part = line.recv(LogonAnswer.BYTES - len(answer))
            if not part:
                return False
            answer += part
        said = hmac.digest(secret, head + answer[:SIGNED_BYTES], "sha256")
        return answer[0] == MessageKind.LOGON_ANSWER and hmac.compare_digest(LogonAnswer.unpack(answer).mac, said)


class GatewayDoor:
    """A gateway, or what stands before all of them. authority: PEM of who else than the system's may have signed its
    certificate: a load balancer shows a public one, a gateway itself the firm's."""

    def __init__(self, url: str, authority: Callable[[], str], now_ns: Callable[[], int]) -> None:
        self._url, self._authority, self._now_ns = url.rstrip("/"), authority, now_ns

    def try_key(self, key_id: str, secret: bytes) -> str:
        """Ask who we are. Raises NewSecretRefused."""
        parts = urlsplit(self._url)
        path, query = "/api/v1/session", f"timestamp={self._now_ns() // 10**6}&recvWindow=60000"
        signed = f"GET {path}?{query}".encode()
        signature = hmac.new(secret.hex().encode(), signed, hashlib.sha256).hexdigest()
        line: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            if authority := self._authority():
                context.load_verify_locations(cadata=authority)
            line = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=context)
        else:
            line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        with contextlib.closing(line):
            try:
                line.request("GET", f"{path}?{query}&signature={signature}", headers={"X-MBX-APIKEY": key_id})
                status = line.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                raise NewSecretRefused(
                    f"a gateway must answer to try the new secret, did not: {type(error).__name__}", detail=self._url,
                    hint="the old one stays in use; the step is tried again",
                ) from None  # fmt: skip
        if status != 200:
            raise NewSecretRefused(
                f"a gateway must take the new secret, answered {status}", detail=f"{self._url}, key {key_id}",
                hint="the old one stays in use; is this key in the gateway's key file?",
            )  # fmt: skip
        return f"signed request at the gateway {self._url}"


class TlsDoor:
    """Handshakes: with ourselves before a certificate is used, with the servers that show it afterwards."""

    def try_certificate(self, certificate: str, private_key: str, authority: str, names: list[str]) -> None:
        """As a server that has it and a client that trusts the authority would. Raises NewSecretRefused."""
        try:
            for name in names:
                with _in_memory(certificate) as chain, _in_memory(private_key) as key:
                    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    server.load_cert_chain(chain, key, password=lambda: b"")
                _shake(server, ssl.create_default_context(cadata=authority), name)
        except (ssl.SSLError, ValueError, OSError) as error:
            why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
            raise NewSecretRefused(
                f"a client must accept the new certificate, would not: {why}", detail=", ".join(names),
                hint="the old one stays in use; is ca_secret the authority that clients trust?",
            ) from None  # fmt: skip

    def shown(self, address: str) -> str:
        """Fingerprint of the certificate that a server shows; "" if it does not answer."""
        host, _, port = address.rpartition(":")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is compared, not trusted
        try:
            with (
                socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT_S) as line,
                context.wrap_socket(line, server_hostname=host) as secured,
            ):
                return fingerprint(secured.getpeercert(binary_form=True) or b"")
        except (OSError, ValueError):
            return ""


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A path under which OpenSSL reads a text that never touches a disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    left = list(ends)
    for _ in range(HANDSHAKE_ROUNDS_MAX):
        for end in list(left):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                left.remove(end)
        if not left:
            return
    raise ssl.SSLError("the handshake does not end")
