"""Settings of the gateway: what is wrong is named, secrets come from private files, the page is the code's own."""

from __future__ import annotations

import pytest

from gateway.__main__ import reference
from gateway.settings import SettingsInvalid, load
from tests.support.node import ROOT


def test_nothing_needs_to_be_said_on_one_machine():
    settings = load({})
    assert settings.listen == "127.0.0.1:7480"
    assert settings.source == "local"


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("LISTN", "127.0.0.1:1", "must name a setting"),
        ("BODY_BYTES_MAX", "12x", "must be a whole number from 1024 to"),
        ("BODY_BYTES_MAX", "1", "must be a whole number from 1024 to"),
        ("SOURCE", "disk", "must be one of local, kafka"),
        ("MANAGE_KEYS", "perhaps", "must be one of 1, true"),
    ],
)
def test_a_variable_that_is_wrong_is_named_with_its_rule(variable, value, rule):
    with pytest.raises(SettingsInvalid, match=rule) as found:
        load({f"IRONBOOK_GATEWAY_{variable}": value})
    assert f"IRONBOOK_GATEWAY_{variable}" in found.value.detail


def test_a_secret_is_read_from_a_private_file_and_shown_by_no_repr(tmp_path):
    path = tmp_path / "url"
    path.write_text("postgresql://u:hush@h/d\n")
    path.chmod(0o600)
    settings = load({"IRONBOOK_GATEWAY_DATABASE_URL_FILE": str(path)})
    assert settings.database_url == "postgresql://u:hush@h/d"
    assert "hush" not in repr(settings)


def test_a_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "url"
    path.write_text("postgresql://u:hush@h/d\n")
    path.chmod(0o644)
    with pytest.raises(SettingsInvalid, match="readable by its owner only, has mode 0644"):
        load({"IRONBOOK_GATEWAY_DATABASE_URL_FILE": str(path)})


def test_a_passphrase_file_is_not_read_before_the_key_file_is():
    settings = load({"IRONBOOK_KEY_PASSPHRASE_FILE": "/nowhere"})
    assert settings.key_passphrase_file == "/nowhere"
    assert settings.key_passphrase == ""


def test_the_command_of_the_guide_says_all_that_a_gateway_away_from_the_engine_needs():
    guide = (ROOT / "docs/guides/gateway.md").read_text()
    [command] = [block for block in guide.split("```") if "IRONBOOK_GATEWAY_SOURCE=kafka" in block]
    *assigned, python, option, module, run = command.replace("\\\n", " ").split()
    assert (python, option, module, run) == ("python", "-m", "gateway", "run")
    settings = load(dict(one.split("=", 1) for one in assigned))
    needed = ("kafka", "snapshots", "engine", "engine_key", "key_file", "key_passphrase_file")
    assert [name for name in needed if not getattr(settings, name)] == []
    assert not [name for name in needed if ".ironbook/" in getattr(settings, name)]


def test_the_page_of_settings_is_what_the_code_says():
    committed = (ROOT / "docs/reference/gateway-settings.md").read_text()
    assert committed == reference(), "python -m gateway settings > docs/reference/gateway-settings.md"
