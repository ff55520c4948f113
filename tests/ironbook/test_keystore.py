"""The encrypted key file: what it keeps, what it refuses, and that edits are safe beside each other."""

from __future__ import annotations

import multiprocessing
import os
import stat
import struct
from pathlib import Path

import pytest

from ironbook import keystore
from ironbook.keystore import KeyFile, KeyStoreError
from schemas.vocabulary import Permission

PASSPHRASE = b"correct horse battery"
TRADE = int(Permission.TRADE | Permission.CANCEL | Permission.READ)


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    made = KeyFile(tmp_path / "keys.ironbook", PASSPHRASE)
    made.initialise()
    return made


def again(file: KeyFile, passphrase: bytes = PASSPHRASE) -> KeyFile:
    return KeyFile(file.path, passphrase)


def test_a_key_comes_back_as_it_was_made(file: KeyFile) -> None:
    made = file.create_key(
        "alice",
        permissions=TRADE,
        account=7,
        networks=["10.0.0.0/8", "2001:DB8::/32"],
        message_rate_per_s=100,
        note="desk 1",
    )
    (key,) = again(file).load().keys
    assert key == made.key
    assert key.secrets[0].value == made.secret
    assert (key.number, key.networks, key.message_burst) == (1, ("10.0.0.0/8", "2001:db8::/32"), 100)


def test_networks_reach_the_engine_as_mapped_addresses_and_bits_of_128(file: KeyFile) -> None:
    key = file.create_key("alice", permissions=TRADE, networks=["10.1.0.0/16", "2001:db8::/32"]).key
    assert key.network_bytes() == (
        (bytes(10) + b"\xff\xff\x0a\x01\x00\x00", 112),
        (bytes.fromhex("20010db8") + bytes(12), 32),
    )


def test_rotation_has_two_live_secrets_in_between_and_none_lost(file: KeyFile) -> None:
    first = file.create_key("alice", permissions=TRADE).secret
    second = file.begin_rotation("alice").secret
    assert [s.value for s in file.load().find("alice").secrets] == [first, second]
    with pytest.raises(keystore.RotationRefused, match="has two"):
        file.begin_rotation("alice")
    file.finish_rotation("alice")
    assert [s.value for s in again(file).load().find("alice").secrets] == [second]
    with pytest.raises(keystore.RotationRefused, match="must have been begun"):
        file.finish_rotation("alice")


def test_a_cancelled_rotation_keeps_the_first_secret(file: KeyFile) -> None:
    first = file.create_key("alice", permissions=TRADE).secret
    file.begin_rotation("alice")
    file.cancel_rotation("alice")
    assert [s.value for s in file.load().find("alice").secrets] == [first]


def test_a_revoked_key_keeps_its_number_and_id_for_ever(file: KeyFile) -> None:
    file.create_key("alice", permissions=TRADE)
    file.revoke("alice")
    assert file.load().live() == ()
    assert file.load().keys[0].secrets == ()
    with pytest.raises(keystore.KeyUnknown):
        file.load().find("alice")
    with pytest.raises(keystore.KeyExists):
        file.create_key("alice", permissions=TRADE)
    assert file.create_key("bob", permissions=TRADE).key.number == 2


OLD, NEW, OTHER = (bytes([number]) * 32 for number in range(3))


def test_a_key_made_elsewhere_is_adopted_with_its_number_and_secrets(file: KeyFile) -> None:
    file.create_key("alice", permissions=TRADE)
    file.adopt_key("desk-1", number=9, permissions=TRADE, account=4, networks=["10.0.0.0/8"], secrets=[OLD, NEW])
    file.adopt_key("desk-2", number=5, permissions=TRADE, secrets=[OTHER], note="of the cloud")
    keys = again(file).load()
    assert [(key.number, key.key_id) for key in keys.keys] == [(1, "alice"), (5, "desk-2"), (9, "desk-1")]
    adopted = keys.find("desk-1")
    assert [secret.value for secret in adopted.secrets] == [OLD, NEW]
    assert (adopted.account, adopted.networks, keys.find("desk-2").note) == (4, ("10.0.0.0/8",), "of the cloud")
    assert file.create_key("bob", permissions=TRADE).key.number == 10, "an adopted number is never given again"


def test_to_adopt_the_same_again_writes_nothing_and_a_change_only_what_changed(file: KeyFile) -> None:
    file.adopt_key("desk-1", number=3, permissions=TRADE, account=4, secrets=[OLD])
    file.set_message_rate("desk-1", 50)
    file.set_note("desk-1", "ours")
    mark, before = file.mark(), file.load().find("desk-1")
    again_same = file.adopt_key("desk-1", number=3, permissions=TRADE, account=4, secrets=[OLD], note="theirs")
    assert (file.mark(), again_same) == (mark, before)
    changed = file.adopt_key(
        "desk-1", number=3, permissions=int(Permission.READ), account=5, networks=["::1/128"], secrets=[OLD, NEW]
    )
    assert changed == again(file).load().find("desk-1")
    assert (changed.permissions, changed.account, changed.networks) == (4, 5, ("::1/128",))
    assert (changed.message_rate_per_s, changed.note, changed.created_ns) == (50, "ours", before.created_ns)
    assert changed.secrets[0] == before.secrets[0], "a secret keeps the time at which it came"


def test_a_number_is_one_key_s_for_ever_also_when_adopted(file: KeyFile) -> None:
    file.create_key("alice", permissions=TRADE)
    file.adopt_key("desk-1", number=3, permissions=TRADE, secrets=[OLD])
    mark = file.mark()
    with pytest.raises(keystore.KeyNumberTaken, match="belongs to 'alice'"):
        file.adopt_key("desk-2", number=1, permissions=TRADE, secrets=[NEW])
    with pytest.raises(keystore.KeyNumberTaken, match="belongs to 'alice'"):
        file.adopt_key("desk-1", number=1, permissions=TRADE, secrets=[NEW])
    with pytest.raises(keystore.KeyNumberTaken, match="whose number here is 3"):
        file.adopt_key("desk-1", number=4, permissions=TRADE, secrets=[NEW])
    assert file.mark() == mark


def test_a_key_that_was_revoked_here_is_not_brought_back(file: KeyFile) -> None:
    file.adopt_key("desk-1", number=3, permissions=TRADE, secrets=[OLD])
    file.revoke("desk-1")
    with pytest.raises(keystore.KeyExists, match="stays so"):
        file.adopt_key("desk-1", number=3, permissions=TRADE, secrets=[OLD])
    with pytest.raises(keystore.KeyUnknown):
        file.hold_secrets("desk-1", [NEW])
    assert file.load().live() == ()


def test_an_adopted_key_must_be_a_right_one(file: KeyFile) -> None:
    for changes, match in (
        ({"number": 0}, "number"),
        ({"number": 65535}, "number"),
        ({"secrets": []}, "secrets must be 1 or 2"),
        ({"secrets": [OLD, NEW, OTHER]}, "secrets must be 1 or 2"),
        ({"secrets": [b"short"]}, "32 bytes"),
        ({"networks": ["10.0.0.1/8"]}, "CIDR"),
    ):
        with pytest.raises(keystore.KeyInvalid, match=match) as caught:
            file.adopt_key("desk-1", **{"number": 1, "permissions": TRADE, "secrets": [OLD], **changes})
        assert "short" not in str(caught.value)
    assert file.load().keys == ()


def test_a_key_holds_exactly_the_secrets_it_is_told_to(file: KeyFile) -> None:
    first = file.create_key("alice", permissions=TRADE).secret
    for wanted in ([first, NEW], [NEW], [NEW, OTHER], [OTHER, OTHER]):
        file.hold_secrets("alice", wanted)
        held = [secret.value for secret in again(file).load().find("alice").secrets]
        assert held == list(dict.fromkeys(wanted))
    mark = file.mark()
    file.hold_secrets("alice", [OTHER])
    assert file.mark() == mark, "what is so already is not written again"
    for wrong in ([], [OLD, NEW, OTHER], [b""]):
        with pytest.raises(keystore.KeyInvalid):
            file.hold_secrets("alice", wrong)
    assert file.mark() == mark


def test_changes_of_networks_permissions_rate_and_note_are_kept(file: KeyFile) -> None:
    file.create_key("alice", permissions=TRADE)
    file.set_networks("alice", ["192.168.0.0/24"])
    file.set_permissions("alice", int(Permission.READ))
    file.set_message_rate("alice", 50, 80)
    file.set_note("alice", "moved")
    key = again(file).load().find("alice")
    assert (key.networks, key.permissions, key.message_rate_per_s, key.message_burst, key.note) == (
        ("192.168.0.0/24",), 4, 50, 80, "moved",
    )  # fmt: skip


def test_no_secret_shows_in_repr_summaries_or_the_file(file: KeyFile) -> None:
    made = file.create_key("alice", permissions=TRADE)
    shown = repr(made) + repr(file) + repr(file.load()) + repr(file.summaries())
    assert made.secret.hex() not in shown
    assert repr(made.secret) not in shown
    data = file.path.read_bytes()
    assert made.secret not in data
    assert made.secret.hex().encode() not in data
    assert b"alice" not in data


def test_the_version_and_the_mark_differ_after_every_edit(file: KeyFile) -> None:
    seen = {(file.load().version, file.mark())}
    file.create_key("alice", permissions=TRADE)
    seen.add((file.load().version, file.mark()))
    file.set_note("alice", "x")
    seen.add((file.load().version, file.mark()))
    assert len({version for version, _ in seen}) == len({mark for _, mark in seen}) == 3


def test_a_copy_that_was_restored_and_edited_has_another_version_than_what_was_edited_before(file: KeyFile) -> None:
    """Whoever compares versions must see that a key is gone, though there were as many edits."""
    file.create_key("alice", permissions=TRADE)
    copy = file.path.read_bytes()
    file.set_note("alice", "x")
    before = file.load()
    file.path.write_bytes(copy)
    file.revoke("alice")
    after = file.load()
    assert before.live() != after.live()
    assert before.version != after.version


def test_a_reload_under_the_same_salt_derives_nothing_again(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = again(file)
    reader.load()
    monkeypatch.setattr(keystore, "Scrypt", None)
    file.create_key("alice", permissions=TRADE)
    assert reader.load().find("alice").number == 1


def test_another_passphrase_is_refused_as_such(file: KeyFile) -> None:
    with pytest.raises(keystore.PassphraseWrong, match="must be the one"):
        again(file, b"another passphrase").load()


def test_a_changed_passphrase_opens_and_the_old_one_does_not(file: KeyFile) -> None:
    file.create_key("alice", permissions=TRADE)
    file.change_passphrase(b"a second passphrase")
    assert again(file, b"a second passphrase").load().find("alice")
    with pytest.raises(keystore.PassphraseWrong):
        again(file).load()


def test_every_truncation_is_told(file: KeyFile) -> None:
    file.create_key("alice", permissions=TRADE)
    whole = file.path.read_bytes()
    for length in range(0, len(whole), 7):
        file.path.write_bytes(whole[:length])
        with pytest.raises(keystore.KeyFileDamaged, match=r"must have|begin"):
            again(file).load()


def test_every_altered_byte_is_told(file: KeyFile) -> None:
    file.create_key("alice", permissions=TRADE)
    file.load()
    whole = file.path.read_bytes()
    for at in range(len(whole)):
        costs_a_derivation = 12 <= at < 32  # two of them stand for all
        if (costs_a_derivation or at >= 104) and at not in (16, 31, len(whole) - 1):
            continue
        file.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(KeyStoreError) as caught:
            file.load()
        assert isinstance(caught.value, keystore.KeyFileDamaged | keystore.PassphraseWrong | keystore.KeyFileVersion), (
            at
        )
        assert str(file.path) in caught.value.detail


def test_bytes_behind_the_end_are_told(file: KeyFile) -> None:
    file.path.write_bytes(file.path.read_bytes() + b"\0")
    with pytest.raises(keystore.KeyFileDamaged, match="must have"):
        again(file).load()


def test_a_costly_header_is_refused_before_it_costs_anything(file: KeyFile) -> None:
    data = bytearray(file.path.read_bytes())
    data[12] = 40
    file.path.write_bytes(data)
    with pytest.raises(keystore.KeyFileDamaged, match="sane"):
        again(file).load()


def test_a_newer_version_is_refused_as_such(file: KeyFile) -> None:
    data = bytearray(file.path.read_bytes())
    struct.pack_into("<H", data, 8, 2)
    file.path.write_bytes(data)
    with pytest.raises(keystore.KeyFileVersion, match="version 1"):
        again(file).load()


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(keystore.KeyFileMissing) as caught:
        KeyFile(tmp_path / "none", PASSPHRASE).load()
    assert "ironbook keys" in caught.value.hint


def test_an_existing_file_is_not_overwritten(file: KeyFile) -> None:
    with pytest.raises(keystore.KeyFileExists):
        again(file).initialise()


def test_the_file_has_mode_0600_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = KeyFile(tmp_path / "keys", PASSPHRASE)
        file.initialise()
        file.create_key("alice", permissions=TRADE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(file: KeyFile, mode: int) -> None:
    file.path.chmod(mode)
    with pytest.raises(keystore.KeyFileAccess, match=f"{mode:04o}"):
        file.load()


def test_a_directory_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(keystore.KeyFileAccess):
        KeyFile(tmp_path, PASSPHRASE).load()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"key_id": ""}, "key_id"),
        ({"key_id": "a" * 17}, "key_id"),
        ({"key_id": "spa ce"}, "key_id"),
        ({"permissions": 32}, "permissions"),
        ({"account": -1}, "account"),
        ({"networks": ["10.0.0.1/8"]}, "network"),
        ({"networks": ["::ffff:10.0.0.0/104"]}, "IPv4"),
        ({"networks": ["nonsense"]}, "network"),
        ({"networks": ["10.0.0.0/8"] * 17}, "networks"),
        ({"message_rate_per_s": 5, "message_burst": 0}, "message_burst"),
        ({"message_rate_per_s": -5}, "message_rate"),
        ({"note": "a\nb"}, "note"),
        ({"note": "a" * 201}, "note"),
    ],
)
def test_a_field_out_of_range_is_refused_and_nothing_is_written(
    file: KeyFile, changes: dict[str, object], match: str
) -> None:
    before = file.path.read_bytes()
    arguments: dict[str, object] = {"key_id": "alice", "permissions": TRADE} | changes
    with pytest.raises(keystore.KeyInvalid, match=match):
        file.create_key(**arguments)  # type: ignore[arg-type]
    assert file.path.read_bytes() == before


def test_permissions_go_by_name_both_ways() -> None:
    bits = keystore.parse_permissions("trade, Cancel,read")
    assert keystore.permission_names(bits) == ("trade", "cancel", "read")
    with pytest.raises(keystore.KeyInvalid, match="delegate"):
        keystore.parse_permissions("root")


def test_a_held_lock_is_told_after_the_time_out(file: KeyFile) -> None:
    with file._locked():
        other = KeyFile(file.path, PASSPHRASE, lock_timeout_s=0.05)
        with pytest.raises(keystore.KeyFileLocked):
            other.create_key("alice", permissions=TRADE)


def _create_ten(path: Path, name: str) -> None:
    file = KeyFile(path, PASSPHRASE)
    for index in range(10):
        file.create_key(f"{name}-{index}", permissions=TRADE)


def test_edits_of_several_processes_at_once_lose_none(file: KeyFile) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_create_ten, args=(file.path, name)) for name in ("a", "b", "c")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    keys = again(file).load().keys
    assert [key.number for key in keys] == list(range(1, 31))
    assert len({key.key_id for key in keys}) == 30
    assert list(file.path.parent.glob("*.tmp")) == []


def test_a_write_that_fails_leaves_the_old_keys(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(keystore.KeyFileAccess, match="No space"):
        file.create_key("alice", permissions=TRADE)
    monkeypatch.undo()
    assert again(file).load().keys == ()
    assert list(file.path.parent.glob(".*.tmp")) == []


def test_a_passphrase_file_is_made_random_private_and_readable_again(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    made = keystore.make_passphrase_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keystore.read_passphrase_file(path) == made
    assert keystore.select_passphrase(None, path) == made
    with pytest.raises(keystore.KeyFileExists):
        keystore.make_passphrase_file(path)


def test_the_variable_wins_over_the_passphrase_file(tmp_path: Path) -> None:
    assert keystore.select_passphrase("from the variable", tmp_path / "none") == b"from the variable"


def test_a_passphrase_must_be_given_be_long_enough_and_private(tmp_path: Path) -> None:
    with pytest.raises(keystore.PassphraseMissing, match="must be given"):
        keystore.select_passphrase(None, None)
    with pytest.raises(keystore.PassphraseMissing, match="readable"):
        keystore.select_passphrase(None, tmp_path / "none")
    with pytest.raises(keystore.PassphraseInvalid, match="12 to 1024"):
        keystore.select_passphrase("short", None)
    path = tmp_path / "open"
    path.write_bytes(b"a long enough passphrase\n")
    path.chmod(0o644)
    with pytest.raises(keystore.PassphraseInvalid, match="0644"):
        keystore.read_passphrase_file(path)


def test_every_error_of_the_tree_has_a_code_of_its_own() -> None:
    errors = [
        value for value in vars(keystore).values() if isinstance(value, type) and issubclass(value, KeyStoreError)
    ]
    codes = {error.code for error in errors}
    assert len(codes) == len(errors)
    for error in errors:
        assert error.code in (keystore.__doc__ or "") or error is KeyStoreError
