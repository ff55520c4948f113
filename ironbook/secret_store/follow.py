"""One look after another at Secrets Manager: lists, fetches the versions that are new, writes the files that change.

    look()  list ─▶ wanted ─▶ describe those whose labels moved ─▶ fetch unseen versions ─▶ plan ─▶ files, key file
                       │                                                                  │
                       └─ gone: really deleted, and the settings say so ─▶ revoke         └─ problems, by secret

A problem with one secret leaves its files as they are and touches no other secret. Values are kept in memory as long as
their labels stand, so that nothing is fetched twice. What a follower must know after a restart stands in follow.json:
which keys it brought here, from which secrets.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ironbook.keystore import KeyExists, KeyFile, KeyStoreError, make_passphrase_file, read_passphrase_file
from ironbook.secret_store.aws import Listed, Store
from ironbook.secret_store.errors import (
    FilesUnwritable,
    SecretMalformed,
    SecretMissing,
    SecretStoreError,
    StoreUnreachable,
)
from ironbook.secret_store.files import Directory
from ironbook.secret_store.plan import (
    FollowedKey,
    SecretFiles,
    Version,
    choose,
    crowded,
    followed_key,
    secret_files,
)
from ironbook.secret_store.settings import FileWanted, FollowSettings, KeysWanted

__all__ = ["Follower", "Look"]

STATE_FILE: Final = "follow.json"
READY_FILE: Final = "ready"
DELETED: Final = "deleted"
SECRET_COUNT_MAX: Final = 1024  # followed at once
Problem = SecretStoreError | KeyStoreError


@dataclasses.dataclass(slots=True, kw_only=True)
class Look:
    """What came of one look."""

    changed: list[str] = dataclasses.field(default_factory=list)  # files written, keys changed or revoked
    problems: dict[str, Problem] = dataclasses.field(default_factory=dict)  # by the secret's name: something is lacking
    warnings: dict[str, Problem] = dataclasses.field(default_factory=dict)  # nothing is lacking, a person should look
    written: set[str] = dataclasses.field(default_factory=set)  # files that a secret has
    reached: bool = True  # Secrets Manager answered
    complete: bool = False  # everything that is wanted is there


@dataclasses.dataclass(slots=True, kw_only=True)
class _Wanted:
    listed: Listed
    key: bool = False
    files: list[FileWanted] = dataclasses.field(default_factory=list)


class Follower:
    """Follows into one directory. Not for several threads at once; every call may block."""

    def __init__(self, settings: FollowSettings, store: Store, directory: Directory) -> None:
        self.settings = settings
        self._store = store
        self._directory = directory
        self._described: dict[str, Listed] = {}  # by ARN: as last asked of that secret alone
        self._listed: dict[str, Listed] = {}  # by ARN: as the last list had it
        self._values: dict[tuple[str, str], Mapping[str, Any]] = {}  # by ARN and version
        self._state = _State.load(directory)
        self._key_file: KeyFile | None = None
        self._key_mark = ""  # of the key file after the last look
        self._keys_taken: dict[str, FollowedKey] = {}
        self._stopped = threading.Event()

    def __repr__(self) -> str:
        return f"Follower({str(self._directory.path)!r})"

    def stop(self) -> None:
        """The look that is under way asks for nothing more; from any thread."""
        self._stopped.set()

    def look(self) -> Look:
        """Bring everything up to date, as far as it goes."""
        look = Look()
        try:
            listed = {one.arn: one for one in self._store.list(self.settings.environment)}
            wanted = self._wanted(listed, look)
            versions = self._versions(wanted, look)
        except SecretStoreError as error:
            look.reached = not isinstance(error, StoreUnreachable)
            look.problems["secrets manager"] = error
            look.complete = isinstance(error, StoreUnreachable) and self._was_complete()
            return look
        self._listed = {arn: one for arn, one in listed.items() if arn in wanted}
        for arn in versions:
            for one in wanted[arn].files:
                self._write(one, wanted[arn].listed, versions[arn], look)
        if self.settings.keys is not None:
            self._take_keys(self.settings.keys, wanted, versions, listed, look)
        look.complete = not look.problems or self._was_complete()
        self._forget_values(versions)
        self._keep_state(look)
        return look

    # ---- What is wanted, and what it holds ---------------------------------------------------------------------------

    def _wanted(self, listed: Mapping[str, Listed], look: Look) -> dict[str, _Wanted]:
        """The live secrets that the settings want, by ARN."""
        live = {arn: one for arn, one in listed.items() if not one.deleted}
        found: dict[str, _Wanted] = {}
        keys = self.settings.keys
        for arn, one in sorted(live.items(), key=lambda item: item[1].name):
            if keys is not None and one.kind == "api_key" and _matches(one.name, keys.secrets):
                found.setdefault(arn, _Wanted(listed=one)).key = True
        for wanted in self.settings.files:
            arn = next((arn for arn, one in live.items() if wanted.secret in (arn, one.name)), "")
            if arn:
                found.setdefault(arn, _Wanted(listed=live[arn])).files.append(wanted)
            else:
                look.problems[wanted.secret] = self._missing(wanted.secret, listed)
        if len(found) > SECRET_COUNT_MAX:
            raise SecretMalformed(
                f"at most {SECRET_COUNT_MAX} secrets are followed, the settings want {len(found)}",
                hint="narrow keys.secrets",
            )
        return found

    def _missing(self, secret: str, listed: Mapping[str, Listed]) -> SecretMissing:
        deleted = any(secret in (arn, one.name) for arn, one in listed.items())
        return SecretMissing(
            f"a secret that the settings name must be there, {'is to be deleted' if deleted else 'is not listed'}",
            detail=f"secret {secret}, environment {self.settings.environment}",
            hint="restore it, or take it out of the settings" if deleted else "mend its name or its tags",
        )

    def _versions(self, wanted: Mapping[str, _Wanted], look: Look) -> dict[str, list[Version]]:
        """The versions that count of each secret, without those that have a problem. Raises StoreUnreachable."""
        found = {}
        for arn, one in wanted.items():
            if self._stopped.is_set():
                raise StoreUnreachable("a follower that stops asks no more")
            try:
                found[arn] = self._versions_of(one)
            except StoreUnreachable:
                raise
            except SecretStoreError as error:
                look.problems[one.listed.name] = error
        return found

    def _versions_of(self, wanted: _Wanted) -> list[Version]:
        arn, where = wanted.listed.arn, f"secret {wanted.listed.name}"
        known = self._described.pop(arn, None)
        if known is None or self._listed.get(arn) != wanted.listed:
            known = self._store.describe(arn)
            if known is None or known.deleted:
                raise SecretMissing("a secret that was listed must be there, is deleted", detail=where)
        wanted.listed = dataclasses.replace(wanted.listed, kind=known.kind, stages=known.stages)
        chosen = choose(known.kind, known.stages)
        if not chosen:
            raise SecretMissing(
                "a secret must have a value (a version AWSCURRENT), has none", detail=where, hint="put its first value"
            )
        found, asks_again = [], False
        for label, version_id in chosen:
            value = self._values.get((arn, version_id))
            if value is None:
                value = self._store.value(arn, version_id)
            if value is not None:
                self._values[arn, version_id] = value
                found.append(Version(label=label, version_id=version_id, value=value))
            elif label == "AWSCURRENT":
                raise SecretMissing("the current version must have a value, has none", detail=where)
            else:
                asks_again = True  # pending, and not filled yet
        if not asks_again:
            self._described[arn] = known
        return found

    def _forget_values(self, versions: Mapping[str, list[Version]]) -> None:
        counted = {(arn, one.version_id) for arn, several in versions.items() for one in several}
        self._values = {place: value for place, value in self._values.items() if place in counted}
        self._described = {arn: one for arn, one in self._described.items() if arn in versions}

    # ---- Files -------------------------------------------------------------------------------------------------------

    def _write(self, wanted: FileWanted, listed: Listed, versions: list[Version], look: Look) -> None:
        try:
            made: SecretFiles = secret_files(listed.kind, versions, wanted, f"secret {listed.name}")
            if twice := look.written & made.contents.keys():
                raise SecretMalformed(
                    f"a file must come of one secret, {min(twice)} comes of two",
                    detail=f"secret {listed.name}",
                    hint="give them different names in [[files]]",
                )
            look.written |= made.contents.keys()
            if made.together:
                changed = self._directory.write_together(made.together, made.contents)
                look.changed += sorted(made.contents) if changed else []
            else:
                look.changed += [name for name, data in made.contents.items() if self._directory.write(name, data)]
            self._state.files[wanted.name + " " + wanted.secret] = sorted(made.contents)
        except SecretStoreError as error:
            look.problems[listed.name] = error

    # ---- Keys --------------------------------------------------------------------------------------------------------

    def _take_keys(
        self,
        settings: KeysWanted,
        wanted: Mapping[str, _Wanted],
        versions: Mapping[str, list[Version]],
        listed: Mapping[str, Listed],
        look: Look,
    ) -> None:
        try:
            file = self._opened(settings)
            mark = file.mark()
            file.load()
        except (KeyStoreError, FilesUnwritable) as error:
            self._key_file = None  # the passphrase is read again too
            look.problems["key file"] = error
            return
        edited = mark != self._key_mark  # by somebody else, or by the last look
        changed_count = len(look.changed)
        names: dict[str, str] = {}
        for arn, several in versions.items():
            name = wanted[arn].listed.name
            if not wanted[arn].key:
                continue
            try:
                key = followed_key(several, f"secret {name}")
                self._check_key(key, names, name, settings)
                names[key.key_id] = name
                self._state.keys[key.key_id] = arn
                if edited or self._keys_taken.get(key.key_id) != key:
                    self._adopt(file, key, look)
            except KeyExists as error:  # revoked here, by a person who meant it
                look.warnings[name] = error
            except (SecretStoreError, KeyStoreError) as error:
                look.problems[name] = error
            if crowded("api_key", wanted[arn].listed.stages):
                look.warnings.setdefault(name, _crowded(name))
        self._end_deleted(file, names, wanted, listed, look)
        self._key_mark = mark if len(look.changed) == changed_count else ""

    def _check_key(self, key: FollowedKey, names: Mapping[str, str], name: str, settings: KeysWanted) -> None:
        if key.key_id in names:
            raise SecretMalformed(
                f"a key must stand in one secret, {key.key_id!r} stands in two",
                detail=f"secret {name}; the other one is {names[key.key_id]}",
            )
        if key.number > settings.number_max:
            raise SecretMalformed(
                f"a key's number must be at most {settings.number_max}, was {key.number}",
                detail=f"secret {name}",
                hint="raise the engine's key_count_max and then keys.number_max, or number the key anew",
            )

    def _adopt(self, file: KeyFile, key: FollowedKey, look: Look) -> None:
        before = file.mark()
        self._keys_taken.pop(key.key_id, None)
        file.adopt_key(
            key.key_id,
            number=key.number,
            permissions=key.permissions,
            account=key.account,
            networks=key.networks,
            secrets=key.secrets,
        )
        self._keys_taken[key.key_id] = key
        if file.mark() != before:
            look.changed.append(f"key {key.key_id}")

    def _opened(self, settings: KeysWanted) -> KeyFile:
        """The key file; made, with a passphrase, where there is none. Raises KeyStoreError, FilesUnwritable."""
        if self._key_file is not None and settings.file.exists():
            return self._key_file
        if not settings.file.exists() and not settings.passphrase_file.exists():
            make_passphrase_file(settings.passphrase_file)
        file = KeyFile(settings.file, read_passphrase_file(settings.passphrase_file))
        if not settings.file.exists():
            file.initialise()
        self._key_file, self._key_mark = file, ""
        return file

    def _end_deleted(
        self,
        file: KeyFile,
        names: Mapping[str, str],
        wanted: Mapping[str, _Wanted],
        listed: Mapping[str, Listed],
        look: Look,
    ) -> None:
        """Keys that were brought here and whose secrets are followed no more. Only a deleted secret revokes one."""
        revoke = self.settings.keys is not None and self.settings.keys.revoke_deleted
        for key_id, arn in sorted(self._state.keys.items()):
            name = listed[arn].name if arn in listed else arn
            followed = arn in wanted and wanted[arn].key
            if key_id in names or (followed and name in look.problems):
                continue
            try:
                why = "another key's now" if followed else self._why_ended(arn, listed)
                if why != DELETED or not revoke:
                    raise SecretMissing(
                        f"the secret of a key that is here must be followed, is {why}",
                        detail=f"key {key_id!r}, secret {name}",
                        hint="the key stays good; revoke it by `ironbook keys revoke`, or set keys.revoke_deleted",
                    )
                if any(key.key_id == key_id for key in file.load().live()):
                    file.revoke(key_id)
                    look.changed.append(f"key {key_id} revoked")
                del self._state.keys[key_id]
                self._keys_taken.pop(key_id, None)
            except (SecretStoreError, KeyStoreError) as error:
                look.warnings[name] = error

    def _why_ended(self, arn: str, listed: Mapping[str, Listed]) -> str:
        """Why a secret is followed no more. One that cannot be found is deleted only if its neighbours are found:

        in another region or account, or at a server that forgot everything, no secret can be found.
        """
        found = self._store.describe(arn)
        if found is not None:
            return DELETED if found.deleted else "there, but not among the ones that the settings follow"
        place = arn.split(":")[:5]  # arn, partition, service, region, account
        if any(one.arn.split(":")[:5] == place and not one.deleted for one in listed.values()):
            return DELETED
        return "not found, nor is any other one of its environment, region and account"

    # ---- What a later life must know ---------------------------------------------------------------------------------

    def _keep_state(self, look: Look) -> None:
        self._state.complete = look.complete
        try:
            self._state.save(self._directory)
        except FilesUnwritable as error:
            look.problems["directory"] = error
            look.complete = False

    def _was_complete(self) -> bool:
        """Whether an earlier look brought everything that these settings want, and it is still there."""
        keys = self.settings.keys
        names = [self._state.files.get(one.name + " " + one.secret) for one in self.settings.files]
        there = all(several and all(map(self._directory.has, several)) for several in names)
        return self._state.complete and there and (keys is None or keys.file.exists())


def _crowded(name: str) -> SecretMalformed:
    return SecretMalformed(
        "a secret must have no AWSPENDING while AWSPREVIOUS is not retired, has both",
        detail=f"secret {name}",
        hint="the current and the previous one are accepted; retire the previous one, then the pending one counts",
    )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@dataclasses.dataclass(slots=True)
class _State:
    """follow.json: names only, no secret."""

    keys: dict[str, str] = dataclasses.field(default_factory=dict)  # key id to the ARN of its secret
    files: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # files by what wants them
    complete: bool = False
    saved: bytes = b""

    @classmethod
    def load(cls, directory: Directory) -> _State:
        """From the directory; empty if there is none, or none that can be read: then nothing is revoked."""
        data = directory.read(STATE_FILE)
        try:
            document = json.loads(data or b"{}")
            keys = {str(key): str(arn) for key, arn in document.get("keys", {}).items()}
            files = {str(name): [str(one) for one in several] for name, several in document.get("files", {}).items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            return cls()
        return cls(keys=keys, files=files, complete=document.get("complete") is True, saved=data or b"")

    def save(self, directory: Directory) -> None:
        """Raises FilesUnwritable."""
        document = {"format": 1, "complete": self.complete, "keys": self.keys, "files": self.files}
        data = json.dumps(document, sort_keys=True).encode() + b"\n"
        if data != self.saved:
            directory.write(STATE_FILE, data)
            self.saved = data
