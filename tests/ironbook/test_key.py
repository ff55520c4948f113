"""A client's key: where it is read from, and that its secret never shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironbook import Key, KeyInvalid

SECRET = bytes(range(32))


def test_a_key_shows_its_id_and_never_its_secret(tmp_path: Path) -> None:
    key = Key(key_id="desk-1", secret=SECRET)
    assert repr(key) == str(key) == "Key(key_id='desk-1')"
    assert key.key_id_bytes == b"desk-1" + bytes(10)
    assert Key.from_hex("desk-1", SECRET.hex()) == key
    key.write(tmp_path / "key.json")
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600
    assert Key.from_file(tmp_path / "key.json") == key
    assert list(tmp_path.iterdir()) == [tmp_path / "key.json"]


@pytest.mark.parametrize("key_id", ["", "x" * 17, "with blank", "ümlaut", "tab\t", "nul\0"])
def test_a_key_id_must_fit_the_wire(key_id: str) -> None:
    with pytest.raises(KeyInvalid):
        Key(key_id=key_id, secret=SECRET)


@pytest.mark.parametrize("secret", ["", "00", "zz" * 32, "00" * 31, "00" * 33, "00" * 32 + "g"])
def test_a_secret_must_be_64_hexadecimal_digits_and_is_not_in_the_error(secret: str) -> None:
    with pytest.raises(KeyInvalid) as caught:
        Key.from_hex("desk", secret)
    assert len(secret) < 4 or secret not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"key_id": "a"}', '{"key_id": 1, "secret": 2}', '{"key_id": "a", "secret": "00"}', "{"]
)
def test_a_damaged_key_file_says_which_and_what_must_hold(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyInvalid) as caught:
        Key.from_file(path)
    assert str(path) in caught.value.detail
    assert caught.value.hint


def test_a_key_file_that_others_may_read_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    with pytest.raises(KeyInvalid):
        Key.from_file(path)
    Key(key_id="a", secret=SECRET).write(path)
    path.chmod(0o640)
    with pytest.raises(KeyInvalid) as caught:
        Key.from_file(path)
    assert "0640" in caught.value.message


def test_a_key_comes_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    Key(key_id="a", secret=SECRET).write(path)
    assert Key.from_environment({"IRONBOOK_KEY_FILE": str(path)}).key_id == "a"
    both = {"IRONBOOK_KEY_ID": "b", "IRONBOOK_KEY_SECRET": SECRET.hex()}
    assert Key.from_environment(both) == Key(key_id="b", secret=SECRET)
    for name in both:
        with pytest.raises(KeyInvalid):
            Key.from_environment({name: both[name]})
