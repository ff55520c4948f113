"""The follower as a process, beside a real engine whose clients trade on while versions move, and a real database."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ironbook.cli._app import run as ironbook
from ironbook.held import fingerprint, process_name
from ironbook.secret_store.relay import holders
from ironbook.secret_store.run import next_wait_s
from schemas import migrations
from schemas import vocabulary as v
from tests.ironbook.secret_store.installation import ENVIRONMENT, SECRETS, Secrets, api_key, database
from tests.support.aws import Aws
from tests.support.node import ALL_PERMISSIONS, ROOT, Client, LogonRefused, Node, wait_until
from tests.support.secret_follower import SecretFollower, Trader
from tests.support.services import create_database, drop_database

OLD, NEW = (fingerprint(bytes.fromhex(secret)) for secret in SECRETS[:2])
ENGINE = process_name("engine-0")


@pytest.fixture(scope="module")
def database_url(postgres_server: str) -> Iterator[str]:
    """A migrated database."""
    url = create_database(postgres_server)
    migrations.migrate(url)
    yield url
    drop_database(url, postgres_server)


def followed_settings(directory: Path, node: Node, *more: str) -> str:
    """The settings of a follower beside that node."""
    return "\n".join(
        (
            f'directory = "{directory}"',
            f'environment = "{ENVIRONMENT}"',
            "poll_interval_s = 1",
            "relay_interval_s = 0.2",
            f'held_files = ["{node.directory}/*.held.json"]',
            'database_url_file = "follower.database-url"',
            "[keys]",
            f'file = "{node.directory}/keys.ironbook"',
            f'passphrase_file = "{node.directory}/passphrase"',
            "[[files]]",
            f'secret = "{ENVIRONMENT}/database/follower"',
            'name = "follower"',
            *more,
        )
    )


def database_secret(url: str) -> dict[str, object]:
    """The value of the secret that leads to that database."""
    parts = urlsplit(url)
    return database(
        unquote(parts.username or ""), unquote(parts.password or "none"),
        host=parts.hostname, port=parts.port or 5432, dbname=parts.path[1:],
    )  # fmt: skip


def said(url: str) -> dict[str, tuple[str, ...]]:
    """Which versions of which key the table says that the engine accepts."""
    return {row.secret: row.accepts for row in asyncio.run(holders(url)) if row.process == ENGINE}


def test_a_client_trades_through_a_whole_rotation_without_one_refusal(
    aws: Aws, database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = Secrets(aws.client("secretsmanager"))
    permissions = [bit.name.lower() for bit in v.Permission if bit.name and ALL_PERMISSIONS & bit]
    secrets.make("api_key/trader", "api_key", api_key("trader", permissions=permissions))
    secrets.make("database/follower", "database", database_secret(database_url))
    node = Node(tmp_path / "node")
    admin = node.make_key("admin")
    directory = tmp_path / "secrets"
    signer = ("[[files]]", f'secret = "{ENVIRONMENT}/api_key/trader"', 'name = "trader"')
    follower = SecretFollower(tmp_path, followed_settings(directory, node, *signer), aws)
    trader = None
    try:
        follower.start().wait_ready()
        assert (directory / "ready").exists()
        node.start()
        Client.connect(node.address(), "admin", admin).define_market()
        trader = Trader(node.address(), directory / "trader.key")
        trader.start()

        def wait_said(*accepts: str) -> None:
            wait_until(lambda: said(database_url).get("api_key/trader") == accepts, 30, f"{said(database_url)}")

        wait_said(OLD)
        version = secrets.put("api_key/trader", api_key("trader", SECRETS[1], permissions=permissions), ["AWSPENDING"])
        wait_said(OLD, NEW)
        assert trader.secret == SECRETS[0], "nobody signs with the new one before it is current"
        secrets.move("api_key/trader", "AWSCURRENT", version)
        wait_until(lambda: trader.secret == SECRETS[1], 30)
        follower.end(signal.SIGKILL)
        follower.start().wait_ready()
        secrets.move("api_key/trader", "AWSPREVIOUS", None)
        wait_said(NEW)
        with pytest.raises(LogonRefused):
            Client.connect(node.address(), "trader", bytes.fromhex(SECRETS[0]))
        count = trader.accepted_count
        wait_until(lambda: trader.accepted_count > count + 100, 30)
        assert trader.refusals == []
        assert "api_key/admin" in said(database_url), "keys made by hand are said and stay"
        trader.end()
        assert node.stop() == 0
        wait_until(lambda: said(database_url) == {}, 30, "a clean stop takes the rows away")
        node.start()
        wait_said(NEW)
        node.stop(signal.SIGKILL)
        wait_until(lambda: follower.events("held_problem"), 30)
        assert said(database_url)["api_key/trader"] == (NEW,), "a crash leaves them"
        assert ironbook(["secrets", "holders", "--url", database_url, "--secret", "api_key/trader", "--json"]) == 0
        assert [row["process"] for row in json.loads(capfd.readouterr().out)["holders"]] == [ENGINE]
        assert ironbook(["secrets", "forget", ENGINE, "--url", database_url, "--yes", "--json"]) == 0
        assert said(database_url) == {}
        assert follower.end() == 0
        assert asyncio.run(holders(database_url)) == [], "the follower's own rows go with it"
        log = follower.log_path.read_text()
        assert not [secret for secret in SECRETS[:2] if secret in log]
    finally:
        if trader is not None:
            trader.end()
        node.end()
        follower.close()


def test_it_is_not_ready_before_everything_is_there_and_goes_on_through_trouble(
    aws: Aws, database_url: str, tmp_path: Path
) -> None:
    secrets = Secrets(aws.client("secretsmanager"))
    secrets.make("api_key/desk-1", "api_key", api_key())
    node = Node(tmp_path / "node")
    directory = tmp_path / "secrets"
    follower = SecretFollower(tmp_path, followed_settings(directory, node), aws)
    try:
        follower.start()
        wait_until(lambda: follower.events("secret_problem"), 60)
        assert not follower.told_ready()
        assert not (directory / "ready").exists()
        assert node.keys().load().find("desk-1").number == 100, "what is there was brought all the same"
        secrets.make("database/follower", "database", {**database_secret(database_url), "dbname": "none"})
        follower.wait_ready()
        assert (directory / "ready").exists()
        wait_until(lambda: follower.events("holders_problem"), 30)
        secrets.put("database/follower", database_secret(database_url))
        assert follower.process is not None
        follower.process.send_signal(signal.SIGHUP)
        wait_until(lambda: follower.events("holders_mended"), 60)
        own = process_name("follower-secrets")
        wait_until(lambda: own in [row.process for row in asyncio.run(holders(database_url))], 30)
        assert len(follower.events("secret_problem")) == 1, "a problem is told once, not at every look"
        again = subprocess.run(
            [sys.executable, "-m", "ironbook", "secrets", "follow", "--settings", str(follower.path)],
            cwd=ROOT, env=follower.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert again.returncode == 1
        assert "another one does already" in again.stderr
    finally:
        follower.close()


def test_waits_double_while_nobody_answers_and_differ_between_followers() -> None:
    waits = [next_wait_s(30, failures, 300, 0.5) for failures in (0, 1, 2, 3, 4, 100)]
    assert waits == [30, 60, 120, 240, 300, 300]
    assert next_wait_s(3600, 3, 300, 0.5) == 3600, "a long interval never becomes a short one"
    assert (next_wait_s(30, 0, 300, 0.0), next_wait_s(30, 0, 300, 1.0)) == pytest.approx((24, 36))


def test_one_look_says_by_its_exit_code_whether_everything_is_there(
    aws: Aws, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = Secrets(aws.client("secretsmanager"))
    path = tmp_path / "secrets.toml"
    path.write_text(
        f'directory = "{tmp_path}/secrets"\nenvironment = "{ENVIRONMENT}"\n'
        f'[[files]]\nsecret = "{ENVIRONMENT}/cookie"\nname = "cookie"\n'
    )
    once = ["secrets", "follow", "--settings", str(path), "--once", "--json"]
    assert ironbook(once) == 1
    told = json.loads(capfd.readouterr().out)
    assert told["error"] == "secrets_incomplete"
    assert "is not listed" in told["detail"]
    secrets.make("cookie", "cookie", {"secret": SECRETS[0]})
    assert ironbook(once) == 0
    assert json.loads(capfd.readouterr().out) == {"changed": ["cookie-secret"]}
    assert ironbook(once) == 0
    assert json.loads(capfd.readouterr().out) == {"changed": []}


def test_a_database_without_the_table_and_settings_without_sense_are_told(
    postgres_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ironbook(["secrets", "holders", "--url", postgres_url, "--json"]) == 1
    assert json.loads(capfd.readouterr().out)["error"] == "secret_holders_unavailable"
    assert ironbook(["secrets", "follow", "--settings", str(tmp_path / "none.toml"), "--json"]) == 1
    assert json.loads(capfd.readouterr().out)["error"] == "secrets_settings_invalid"
