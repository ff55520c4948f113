"""The settings of a follower: what they mean, and that everything wrong in them is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironbook.secret_store.errors import SettingsInvalid
from ironbook.secret_store.settings import FileWanted, load

ROOT = Path(__file__).resolve().parents[3]


def test_the_example_is_read_and_means_what_it_says() -> None:
    found = load(ROOT / "ops/secrets.example.toml")
    assert found.directory == Path("/var/lib/ironbook-secrets")
    assert found.held_files == ("/var/lib/ironbook/*.held.json", "/var/lib/ironbook-gateway/*.held.json")
    assert found.database_url_file == found.directory / "follower.database-url"
    assert found.keys is not None
    assert (found.keys.file, found.keys.passphrase_file) == (
        found.directory / "keys.ironbook",
        found.directory / "key-passphrase",
    )
    assert found.files[0] == FileWanted(
        secret="ironbook-production/database/follower", name="follower", options="sslmode=require"
    )


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text('directory = "/x"\nenvironment = "e"\n')
    found = load(path)
    assert (found.keys, found.files, found.held_files, found.database_url_file) == (None, (), (), None)
    assert (found.poll_interval_s, found.relay_interval_s, found.region) == (30.0, 5.0, "")


HEAD = 'directory = "/x"\nenvironment = "e"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('environment = "e"', "directory must be given"),
        ('directory = "x"\nenvironment = "e"', "directory must be an absolute path"),
        ('directory = "/x"', "environment must be given"),
        ("directory = ", "TOML"),
        (HEAD + "poll_interval_s = 0", "poll_interval_s must be a number from 1 to 3600"),
        (HEAD + "poll_interval_s = true", "poll_interval_s must be a number"),
        (HEAD + 'held_files = "x"', "held_files must be a list"),
        (HEAD + f"held_files = {['x'] * 65}", "at most 64"),
        (HEAD + "surprise = 1", "surprise is none"),
        (HEAD + "[keys]\nnumber_max = 70000", "keys.number_max must be a number from 1 to 65534"),
        (HEAD + 'keys = "x"', "keys must be a table"),
        (HEAD + "[keys]\nrevoke_deleted = 1", "keys.revoke_deleted must be true or false"),
        (HEAD + "files = [1]", "files must be tables"),
        (HEAD + '[[files]]\nname = "x"', "files\\[0\\].secret must be given"),
        (HEAD + '[[files]]\nsecret = "s"\nname = "../x"', "files\\[0\\].name must be"),
        (HEAD + '[[files]]\nsecret = "s"\nname = "x"\nca_file = "y"', "given together with tls"),
        (HEAD + 2 * '[[files]]\nsecret = "s"\nname = "x"\n', "told twice"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text(text)
    with pytest.raises(SettingsInvalid, match=told) as caught:
        load(path)
    assert str(path) in caught.value.detail


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="readable"):
        load(tmp_path / "none.toml")
