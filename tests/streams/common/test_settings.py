"""Settings of the processors: read once, checked, secrets never shown."""

from __future__ import annotations

import pytest

from streams.common.errors import SettingsInvalid
from streams.common.settings import kafka_options, load


def test_variables_become_fields_and_the_prefix_is_shared():
    environment = {"IRONBOOK_STREAMS_KAFKA": "a:1, b:2", "IRONBOOK_TOPIC_PREFIX": "dev.", "X": ""}
    settings = load(environment | {"IRONBOOK_STREAMS_WEB_PORT": "80"})
    assert (settings.brokers, settings.full("trades"), settings.web_port) == (["a:1", "b:2"], "dev.trades", 80)


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("WEB_PORT", "eighty", "0 to 65535"),
        ("WEB_PORT", "-1", "0 to 65535"),
        ("FLUSH_INTERVAL", "0", "1 to 60000"),
        ("SECURITY_PROTOCOL", "tls", "PLAINTEXT, SSL"),
        ("SASL_MECHANISM", "MD5", "SCRAM-SHA-512"),
        ("KAFKAA", "x", "kafkaa"),
        ("KAFKA", " , ", "must name a broker"),
        ("LOG_LEVEL", "loud", "debug, info"),
    ],
)
def test_what_is_wrong_is_said_with_its_variable(variable, text, said):
    with pytest.raises(SettingsInvalid) as caught:
        load({f"IRONBOOK_STREAMS_{variable}": text})
    assert said in str(caught.value)
    assert f"IRONBOOK_STREAMS_{variable}" in caught.value.detail


def test_secrets_come_from_files_of_their_owner_and_are_in_no_repr(tmp_path):
    file = tmp_path / "password"
    file.write_text("tell nobody\nsecond line\n")
    file.chmod(0o640)
    environment = {"IRONBOOK_STREAMS_PASSWORD_FILE": str(file), "IRONBOOK_STREAMS_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}
    with pytest.raises(SettingsInvalid, match="0640"):
        load(environment)
    file.chmod(0o600)
    settings = load(environment | {"IRONBOOK_STREAMS_USERNAME": "risk", "IRONBOOK_STREAMS_DATABASE_URL": "x://u:p@h/d"})
    assert settings.password == "tell nobody"
    assert "tell" not in repr(settings)
    assert "u:p" not in repr(settings)
    assert kafka_options(settings)["sasl_plain_password"] == "tell nobody"


def test_a_secret_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsInvalid, match="readable"):
        load({"IRONBOOK_STREAMS_DATABASE_URL_FILE": str(tmp_path / "none")})
