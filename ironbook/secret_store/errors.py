"""What can go wrong while secrets are followed. Nothing here ever says a secret's value.

IronbookError
└── SecretStoreError            base: message (what must hold, what was found), detail (where), hint (what to do)
    ├── SettingsInvalid         secrets_settings_invalid   the settings file
    ├── StoreUnreachable        secrets_unreachable        AWS does not answer, or takes no calls now
    ├── SecretDenied            secret_denied              AWS does not let this machine read it
    ├── SecretMissing           secret_missing             no such secret, or it is to be deleted
    ├── SecretMalformed         secret_malformed           it is there, and is not what it must be
    ├── FilesUnwritable         secret_files_unwritable    the directory
    ├── FollowerRunning         follower_running           another one follows into this directory
    ├── FollowIncomplete        secrets_incomplete         --once ended, and something wanted is not there
    └── HoldersUnavailable      secret_holders_unavailable the database of who holds what
"""

from __future__ import annotations

from ironbook._errors import IronbookError

__all__ = [
    "FilesUnwritable",
    "FollowIncomplete",
    "FollowerRunning",
    "HoldersUnavailable",
    "SecretDenied",
    "SecretMalformed",
    "SecretMissing",
    "SecretStoreError",
    "SettingsInvalid",
    "StoreUnreachable",
]


class SecretStoreError(IronbookError):
    """Base of all below."""

    code = "secret_store"


class SettingsInvalid(SecretStoreError):
    """The settings file cannot be read, or says something that cannot be."""

    code = "secrets_settings_invalid"


class StoreUnreachable(SecretStoreError):
    """Secrets Manager does not answer, or takes no calls now. Everything stays as it is."""

    code = "secrets_unreachable"


class SecretDenied(SecretStoreError):
    """This machine may not read the secret, or not use the key that encrypts it."""

    code = "secret_denied"


class SecretMissing(SecretStoreError):
    """There is no such secret, or it is to be deleted."""

    code = "secret_missing"


class SecretMalformed(SecretStoreError):
    """The secret is there, and is not what its kind must be."""

    code = "secret_malformed"


class FilesUnwritable(SecretStoreError):
    """A file cannot be written. The ones that are there stay as they are."""

    code = "secret_files_unwritable"


class FollowerRunning(SecretStoreError):
    """Another follower writes into this directory."""

    code = "follower_running"


class FollowIncomplete(SecretStoreError):
    """A single look is over, and something that is wanted is not there."""

    code = "secrets_incomplete"


class HoldersUnavailable(SecretStoreError):
    """The database does not answer, refuses this user, or lacks the table."""

    code = "secret_holders_unavailable"
