"""Signed requests to the gateway, in the Binance Spot dialect, each bounded in time and size."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

import urllib3

from functions.canary.errors import AnswerWrong, GatewayRefused, GatewaySilent
from functions.common.errors import SecretInvalid

__all__ = ["Gateway"]

ANSWER_BYTES_MAX: Final = 16 << 20
SIGNATURE_REFUSED: Final = (-1022, -2014, -2015)


class Gateway:
    """One line to the gateway.

    read_key  the key's secret as it stands now; it is read again when it is refused, because it may just have changed
    """

    def __init__(
        self, url: str, ca_file: str, timeout_ms: int, read_key: Callable[[], dict[str, Any]], now_ns: Callable[[], int]
    ) -> None:
        self._url, self._read_key, self._now_ns = url.rstrip("/"), read_key, now_ns
        self._key = _checked(read_key())
        timeout = urllib3.Timeout(total=timeout_ms / 1000)
        self._pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=timeout, ca_certs=ca_file or None)

    def get(self, path: str, **parameters: str) -> Any:
        """A request that nobody signs. Raises as `signed`."""
        return self._ask("GET", path, urlencode(parameters), {})

    def signed(self, method: str, path: str, **parameters: str) -> Any:
        """Raises GatewaySilent, GatewayRefused, AnswerWrong."""
        try:
            return self._sign(method, path, parameters)
        except GatewayRefused as refused:
            if refused.gateway_code not in SIGNATURE_REFUSED:
                raise
            key = _checked(self._read_key())
            if key == self._key:
                raise
            self._key = key
            return self._sign(method, path, parameters)

    def _sign(self, method: str, path: str, parameters: dict[str, str]) -> Any:
        key_id, secret = self._key
        query = urlencode(parameters | {"timestamp": str(self._now_ns() // 10**6)})
        signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        return self._ask(method, path, f"{query}&signature={signature}", {"X-MBX-APIKEY": key_id})

    def _ask(self, method: str, path: str, query: str, headers: dict[str, str]) -> Any:
        where = f"{method} {self._url}{path}"
        try:
            answer = self._pool.request(
                method, f"{self._url}{path}?{query}", headers=headers, preload_content=False, redirect=False
            )
            with answer:
                data = answer.read(ANSWER_BYTES_MAX + 1)
        except urllib3.exceptions.HTTPError as error:
            raise GatewaySilent(
                f"the gateway must answer within the time, did not: {type(error).__name__}",
                detail=where, hint="is it up, is its certificate good, does the way to it lead through this network?",
            ) from None  # fmt: skip
        try:
            if len(data) > ANSWER_BYTES_MAX:
                raise ValueError
            said = json.loads(data)
        except ValueError:
            raise AnswerWrong(
                f"an answer must be JSON of at most {ANSWER_BYTES_MAX} bytes, was not; status {answer.status}",
                detail=where,
            ) from None
        if answer.status != 200:
            code = said.get("code", 0) if isinstance(said, dict) else 0
            text = str(said.get("msg", ""))[:200] if isinstance(said, dict) else ""
            raise GatewayRefused(
                f"the gateway must take the request, answered {answer.status}, code {code}: {text}",
                status=answer.status, gateway_code=code, detail=where,
                hint="docs/reference/binance.md has every code",
            )  # fmt: skip
        return said


def _checked(value: dict[str, Any]) -> tuple[str, str]:
    key_id, secret = value.get("key_id"), value.get("secret")
    if not isinstance(key_id, str) or not isinstance(secret, str) or not key_id or len(secret) != 64:
        raise SecretInvalid("the canary's secret must have key_id and secret, 64 hexadecimal digits; it has not")
    return key_id, secret
