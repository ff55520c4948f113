"""Files of secrets are whole whenever the follower is killed: at every single call to the system, one after another."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ironbook.keystore import KeyFile, read_passphrase_file
from ironbook.secret_store.aws import SecretsManager
from ironbook.secret_store.errors import FilesUnwritable, FollowerRunning
from ironbook.secret_store.files import Directory
from tests.ironbook.secret_store.installation import (
    ENVIRONMENT,
    SECRETS,
    Secrets,
    api_key,
    database,
    follower,
    settings,
    tls,
    wanted_keys,
)
from tests.support.aws import REGION, Aws

CALLS = ("open", "rename", "fsync", "fchmod", "mkdir", "symlink", "unlink", "rmdir", "close")


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def killed_at(call: int, action: Callable[[], object]) -> bool:
    """Run it in a process that is killed at its n-th call to the system that matters; whether it was killed."""
    pid = os.fork()
    if pid == 0:
        left = call

        def counted(real: Any) -> Any:
            def call_it(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **named)

            return call_it

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        try:
            action()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_pair_is_the_old_one_or_the_new_one_wherever_the_writer_is_killed(directory: Directory) -> None:
    def content(number: int) -> dict[str, bytes]:
        return {"web.crt": b"certificate %d" % number, "web.pem": b"key %d" % number}

    directory.write_together("web", content(0))
    kills = 0
    for call in range(1, 100):
        was = killed_at(call, lambda: directory.write_together("web", content(1)))
        kills += was
        found = {name: directory.read(name) for name in content(0)}
        assert found in (content(0), content(1)), f"killed at call {call}"
        if not was:
            break
        directory.write_together("web", content(0))
    assert kills > 10
    assert found == content(1)
    left = {path.name for path in directory.path.iterdir()}
    assert left - {"web.crt", "web.pem", ".tls-web"} == {os.readlink(directory.path / ".tls-web")}, "nothing piles up"


def test_a_first_pair_is_not_there_or_whole_and_comes_with_the_next_look(tmp_path: Path) -> None:
    content = {"web.crt": b"certificate", "web.pem": b"key"}
    for call in range(1, 100):
        directory = Directory(tmp_path / str(call))
        directory.path.mkdir()
        was = killed_at(call, functools.partial(directory.write_together, "web", content))
        assert {name: directory.read(name) or content[name] for name in content} == content
        directory.write_together("web", content)
        assert {name: directory.read(name) for name in content} == content
        if not was:
            break
    assert call > 10


def test_wherever_a_follower_is_killed_each_file_is_whole_and_the_next_life_goes_on(aws: Aws, tmp_path: Path) -> None:
    secrets = Secrets(aws.client("secretsmanager"))
    for name, kind, value in (
        ("api_key/desk-1", "api_key", api_key()),
        ("database/gateway", "database", database()),
        ("tls/web", "tls", tls()),
        ("cookie", "cookie", {"secret": SECRETS[0]}),
    ):
        secrets.make(name, kind, value)
    files = {"signer": "api_key/desk-1", "gateway": "database/gateway", "web": "tls/web", "cookie": "cookie"}
    names = ("signer.key", "gateway.database-url", "web.crt", "web.pem", "cookie-secret")
    wanted = settings(tmp_path, files, keys=wanted_keys(tmp_path))

    class Recorded(SecretsManager):
        """Asks the store for each thing once: what is killed here is the writing."""

        def __init__(self, region: str) -> None:
            super().__init__(region)
            self.known: dict[object, Any] = {}

        def list(self, environment: str) -> Any:
            return self.once(("list", environment), lambda: super(Recorded, self).list(environment))

        def describe(self, arn: str) -> Any:
            return self.once(arn, lambda: super(Recorded, self).describe(arn))

        def value(self, arn: str, version_id: str) -> Any:
            return self.once((arn, version_id), lambda: super(Recorded, self).value(arn, version_id))

        def once(self, what: object, ask: Callable[[], Any]) -> Any:
            if what not in self.known:
                self.known[what] = ask()
            return self.known[what]

    one = follower(Recorded(REGION), wanted)
    assert one.look().complete
    old = {name: (tmp_path / name).read_bytes() for name in names}
    key_file = KeyFile(tmp_path / "keys.ironbook", read_passphrase_file(tmp_path / "key-passphrase"))
    old_keys = key_file.path.read_bytes()
    secrets.put("api_key/desk-1", api_key(secret=SECRETS[1]))
    secrets.put("database/gateway", database("gateway_b"))
    secrets.put("tls/web", tls("other"))
    secrets.put("cookie", {"secret": SECRETS[1]})
    store = Recorded(REGION)
    for listed in store.list(ENVIRONMENT):
        found = store.describe(listed.arn)
        for version in found.stages:
            store.value(listed.arn, version)
    one._store = store  # a follower that has derived the key file's key: to do so for each kill would be slow
    seen: set[tuple[str, bytes]] = set()
    for call in range(1, 400):
        was = killed_at(call, one.look)
        found = {name: (tmp_path / name).read_bytes() for name in names}
        assert [secret.value.hex() for secret in key_file.load().find("desk-1").secrets] in (SECRETS[:1], SECRETS[:2])
        seen |= set(found.items())
        if not was:
            break
        assert (found["web.crt"] == old["web.crt"]) == (found["web.pem"] == old["web.pem"])
        put_back(tmp_path, old, old_keys)
    assert call > 40
    assert all(found[name] != old[name] for name in names)
    assert seen == {*old.items(), *found.items()}, "each file was the old one or the new one, never anything else"
    assert found["web.pem"].decode() == tls("other")["private_key"]
    assert follower(SecretsManager(REGION), wanted).look().changed == [], "the next life has nothing left to do"


def put_back(path: Path, files: dict[str, bytes], keys: bytes) -> None:
    """As it was before the kill, but for what the killed one left lying about."""
    directory = Directory(path)
    for name, data in files.items():
        if not name.startswith("web."):
            directory.write(name, data)
    directory.write_together("web", {name: data for name, data in files.items() if name.startswith("web.")})
    directory.write("keys.ironbook", keys)


def test_a_file_with_the_same_bytes_is_not_touched_and_one_with_other_rights_is_mended(directory: Directory) -> None:
    assert directory.write("x", b"1")
    status = (directory.path / "x").stat()
    assert not directory.write("x", b"1")
    assert (directory.path / "x").stat() == status
    (directory.path / "x").chmod(0o644)
    assert directory.write("x", b"1")
    assert (directory.path / "x").stat().st_mode & 0o777 == 0o600


def test_a_directory_has_one_follower_and_the_next_one_after_it(directory: Directory) -> None:
    directory.take()
    other = Directory(directory.path)
    with pytest.raises(FollowerRunning, match="already"):
        other.take()
    directory.release()
    other.take()
    other.release()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (Directory(tmp_path / "file"), Directory(tmp_path / "none")):
        with pytest.raises(FilesUnwritable, match="writable"):
            directory.write("x", b"1")
        with pytest.raises(FilesUnwritable, match="writable"):
            directory.write_together("x", {"x.crt": b"1"})
    with pytest.raises(FilesUnwritable, match="writable"):
        Directory(tmp_path / "file").take()


def test_a_place_where_everybody_may_write_gets_no_secrets(tmp_path: Path) -> None:
    for mode in (0o777, 0o1777, 0o702):
        tmp_path.chmod(mode)
        with pytest.raises(FilesUnwritable, match="must not be writable by everybody"):
            Directory(tmp_path).take()
        assert not list(tmp_path.iterdir())
    tmp_path.chmod(0o770)
    directory = Directory(tmp_path)
    directory.take()
    directory.release()
