"""The gateway and its dashboard as `ironbook up` starts them: `python -m gateway run`, with keys of its own.

<data>/gateway.json            the running gateway: pid and addresses
<data>/client-keys/gateway.json, gateway-admin.json   what it does on the engine, it does with these
<data>/streams/gateway.log
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from ironbook import DependencyMissing, EngineFailed, Key
from ironbook.cli._children import Child, Children
from ironbook.cli._kafka import Cluster
from ironbook.cli._pipeline import URL_FILE, last_line
from ironbook.cli._place import client_key_path, passphrase_from_environment
from ironbook.keystore import PASSPHRASE_FILE_VARIABLE, KeyFile
from schemas.vocabulary import Permission

LISTEN = "127.0.0.1:7480"
GATEWAY_KEY, GATEWAY_ADMIN_KEY = "gateway", "gateway-admin"
KEYS = {
    GATEWAY_KEY: Permission.DELEGATE | Permission.TRADE | Permission.CANCEL | Permission.READ,
    GATEWAY_ADMIN_KEY: Permission.ADMIN | Permission.READ,
}
PACKAGES = ("gateway", "httptools", "msgspec", "websockets", "asyncpg")
STATE_FILE = "gateway.json"
STOP_TIMEOUT_S = 15.0
READY_TIMEOUT_S = 60.0
POLL_S = 0.05
Told = Callable[[str], None]


class Gateway:
    """The gateway as a helper process: if it fails, it is started again, and trading goes on meanwhile."""

    def __init__(self, data: Path, listen: str, told: Told) -> None:
        self.data, self.listen = data, listen
        self.children = Children(told)
        self.log = data / "streams" / "gateway.log"

    def prepare(self, keys: KeyFile) -> None:
        """Before the engine starts: keys. Raises DependencyMissing."""
        missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise DependencyMissing(
                f"{', '.join(missing)} must be installed for the gateway, is not",
                hint="pip install 'ironbook[gateway]', or start without it: --no-gateway",
            )
        known = {key.key_id for key in keys.load().keys}
        for key_id, permissions in KEYS.items():
            if key_id not in known:
                new = keys.create_key(key_id, permissions=int(permissions), account=0, note="made by ironbook up")
                Key(key_id=key_id, secret=new.secret).write(client_key_path(self.data, key_id))

    def variables(self, address: str, database: bool, cluster: Cluster | None, login: Path | None) -> dict[str, str]:
        """The environment of the process; settings that the user gave as variables stay."""
        said = {
            "LISTEN": self.listen,
            "DATA": str(self.data),
            "ENGINE": address,
            "ENGINE_KEY": str(client_key_path(self.data, GATEWAY_KEY)),
            "ADMIN_KEY": str(client_key_path(self.data, GATEWAY_ADMIN_KEY)),
            "MANAGE_KEYS": "true",
            "WORKERS": str(self.data / "streams"),
        }
        if database:  # the file may be of an earlier start, which had one
            said["DATABASE_URL_FILE"] = str(self.data / URL_FILE)
        if cluster is not None:
            said["KAFKA"] = cluster.servers
            said["KAFKA_LOGIN"] = str(login) if login is not None else ""
        variables = {f"IRONBOOK_GATEWAY_{name}": value for name, value in said.items()} | dict(os.environ)
        if cluster is not None:
            variables["IRONBOOK_TOPIC_PREFIX"] = cluster.prefix
        if not passphrase_from_environment():
            variables[PASSPHRASE_FILE_VARIABLE] = str(self.data / "passphrase")
        return variables

    def start(
        self, address: str, *, database: bool = False, cluster: Cluster | None = None, login: Path | None = None
    ) -> dict[str, Any]:
        """Start it and wait until it listens; where. Raises EngineFailed with what it said last.

        database   the file that names it is there
        """
        (self.data / STATE_FILE).unlink(missing_ok=True)
        variables = self.variables(address, database, cluster, login)
        self.children.add(Child("gateway", "gateway", ["run"], variables, self.log))
        self.children.start()
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while (state := self._state()) is None:
            if self.children.children[0].restart_count:
                raise EngineFailed(
                    last_line(self.log),
                    detail=f"the whole log: {self.log}",
                    hint="name another address with --http (port 0: any free one), or start without it: --no-gateway",
                )
            if time.monotonic() > deadline_s:
                raise EngineFailed(
                    f"the gateway must be ready within {READY_TIMEOUT_S:.0f} s, is not",
                    detail=last_line(self.log),
                    hint=f"the whole log: {self.log}; or start without it: --no-gateway",
                )
            time.sleep(POLL_S)
        return {"gateway": state["url"], "dashboard": state["dashboard"]}

    def _state(self) -> dict[str, Any] | None:
        try:
            state = orjson.loads((self.data / STATE_FILE).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        return state if isinstance(state, dict) and state.get("ready") else None

    def stop(self) -> None:
        """End it."""
        self.children.stop(STOP_TIMEOUT_S)


def running_url(data: Path) -> str:
    """Where the dashboard of a running `ironbook up` is; empty if there is none."""
    try:
        return str(orjson.loads((data / STATE_FILE).read_bytes())["dashboard"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def ccxt_snippet(url: str, data: Path, key_id: str) -> list[str]:
    """Lines of Python with which ccxt trades here."""
    return [
        "import ccxt, json",
        f'key = json.load(open("{client_key_path(data, key_id)}"))',
        'exchange = ccxt.binance({"apiKey": key["key_id"], "secret": key["secret"]})',
        f'exchange.urls["api"] = {{name: "{url}/api/v3" for name in ("public", "private")}}',
        'exchange.options |= {"fetchCurrencies": False, "fetchMargins": False, "fetchMarkets": {"types": ["spot"]}}',
        'print(exchange.create_order("BTC/USD", "limit", "buy", 0.05, 59990))',
    ]
