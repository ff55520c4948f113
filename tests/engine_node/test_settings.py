"""Settings: where they come from, which wins, and what is said about bad ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engine_node import settings
from engine_node.errors import SettingsError
from engine_node.settings import Address, Settings

ROOT = Path(__file__).resolve().parents[2]


def refused(file: Path | None = None, **variables: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        settings.load(file, variables)
    return caught.value


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(text)
    return path


def test_without_any_source_the_defaults_hold() -> None:
    assert settings.load(environment={}) == Settings()


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = write(
        tmp_path, 'idle_ms = 1000\nlogon_timeout_ms = 2000\nlisten = ["[::1]:0", "10.0.0.1:7"]\nlock_memory = true\n'
    )
    chosen = settings.load(path, {"IRONBOOK_ENGINE_IDLE_MS": "3000"})
    assert (chosen.idle_ms, chosen.logon_timeout_ms, chosen.lock_memory) == (3000, 2000, True)
    assert chosen.listen == (Address("::1", 0), Address("10.0.0.1", 7))


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    path = write(tmp_path, "idle_ms = 1234")
    assert settings.load(environment={"IRONBOOK_ENGINE_SETTINGS": str(path)}).idle_ms == 1234


def test_every_kind_of_value_reads_from_a_variable() -> None:
    chosen = settings.load(
        environment={
            "IRONBOOK_ENGINE_LISTEN": "127.0.0.1:0, [::1]:0",
            "IRONBOOK_ENGINE_BUSY_POLL": "yes",
            "IRONBOOK_ENGINE_SURVIVAL_LEVEL": "process",
            "IRONBOOK_ENGINE_SEGMENT_RECORDS": "4096",
            "IRONBOOK_ENGINE_DATA_DIRECTORY": "/srv/x",
            "IRONBOOK_ENGINE_ENGINE_CPU": "-1",
        }
    )
    assert chosen.listen == (Address("127.0.0.1", 0), Address("::1", 0))
    assert (chosen.busy_poll, chosen.level, chosen.segment_records, chosen.engine_cpu) == (True, 1, 4096, -1)
    assert chosen.journal_path == Path("/srv/x/journal")


def test_variables_of_clients_are_not_looked_at() -> None:
    assert settings.load(environment={"IRONBOOK_KEY_ID": "x", "IRONBOOK_ADDRESS": "y"}) == Settings()


def test_the_passphrase_comes_from_the_environment_and_never_shows() -> None:
    chosen = settings.load(environment={"IRONBOOK_KEY_PASSPHRASE": "a very secret passphrase"})
    assert chosen.key_passphrase == "a very secret passphrase"
    assert "very secret" not in repr(chosen) + settings.example(chosen) + str(settings.child_environment(chosen, {}))


def test_a_passphrase_in_a_file_is_refused_without_showing_it(tmp_path: Path) -> None:
    error = refused(write(tmp_path, '\nkey_passphrase = "a very secret passphrase"'))
    assert "must not stand in a settings file" in str(error)
    assert "line 2" in error.detail
    assert "very secret" not in str(error)


def test_an_unknown_setting_names_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "# a comment\n\nidel_ms = 5\n"))
    assert "'idel_ms'" in error.message
    assert error.detail.endswith("node.toml, line 3")
    assert error.hint == "did you mean idle_ms?"


def test_an_unknown_variable_is_refused_with_the_nearest_known_one() -> None:
    error = refused(IRONBOOK_ENGINE_IDEL_MS="5")
    assert error.detail == "variable IRONBOOK_ENGINE_IDEL_MS"
    assert error.hint == "did you mean IRONBOOK_ENGINE_IDLE_MS?"


@pytest.mark.parametrize(
    ("line", "must"),
    [
        ("idle_ms = 5", "100 to 86400000 (ms), was 5"),
        ('idle_ms = "5000"', "100 to 86400000 (ms), was '5000'"),
        ("idle_ms = true", "100 to 86400000 (ms), was True"),
        ("idle_ms = 5.5", "was 5.5"),
        ("segment_records = 5000", "a power of two"),
        ("lock_memory = 1", "true or false, was 1"),
        ('survival_level = "paper"', "'process' or 'disk' or 'cluster', was 'paper'"),
        ('listen = "127.0.0.1:1"', "a list of addresses"),
        ('listen = ["localhost:7400"]', "127.0.0.1:7400 or [::1]:7400"),
        ('listen = ["127.0.0.1:70000"]', "addresses with a port"),
        ('listen = ["300.0.0.1:7"]', "addresses with a port"),
        ('listen = ["::1:7"]', "addresses with a port"),
        ("listen = [7400]", "addresses with a port"),
        ("data_directory = 5", "text, was 5"),
    ],
)
def test_a_bad_value_in_the_file_says_what_must_hold_and_what_was_found(tmp_path: Path, line: str, must: str) -> None:
    error = refused(write(tmp_path, "\n\n" + line))
    assert must in error.message
    assert "line 3" in error.detail
    assert error.hint.startswith("default: ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("IDLE_MS", "soon"),
        ("IDLE_MS", ""),
        ("IDLE_MS", "1e5"),
        ("LOCK_MEMORY", "maybe"),
        ("LISTEN", "7400"),
        ("SURVIVAL_LEVEL", "Disk"),
        ("REALTIME_PRIORITY", "100"),
    ],
)
def test_a_bad_variable_is_named(variable: str, value: str) -> None:
    error = refused(None, **{f"IRONBOOK_ENGINE_{variable}": value})
    assert error.detail == f"variable IRONBOOK_ENGINE_{variable}"
    assert variable.lower() in error.message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    error = refused(write(tmp_path, "idle_ms = 1\nnonsense = 2\n"), IRONBOOK_ENGINE_BUSY_POLL="x")
    assert "3 settings must be mended" in error.message
    for part in ("line 1", "line 2", "variable IRONBOOK_ENGINE_BUSY_POLL"):
        assert part in str(error)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("idle_ms = ", "must be TOML"),
        ("[table]\nidle_ms = 5000", "known one, was 'table'"),
        ("idle_ms = 5000\nidle_ms = 6000", "must be TOML"),
    ],
)
def test_a_file_that_is_not_flat_toml_is_refused(tmp_path: Path, text: str, match: str) -> None:
    assert match in str(refused(write(tmp_path, text)))


def test_a_missing_file_and_one_that_is_not_text_are_refused(tmp_path: Path) -> None:
    assert "must be readable" in refused(tmp_path / "none.toml").message
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe")
    assert "UTF-8" in refused(path).message


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('tls_listen = ["0.0.0.0:7443"]', "tls_certificate_file"),
        ("listen = []", "one of listen, tls_listen and proxy_socket"),
        ("busy_poll = true\nrealtime_priority = 10", "engine_cpu must be set"),
        ("engine_cpu = 1\nbackground_cpu = 1", "background_cpu must be another CPU"),
        ("engine_cpu = 1\nsync_cpu = 1", "sync_cpu must be another CPU"),
        (f'proxy_socket = "/{"x" * 120}"', "at most 107 bytes"),
        ("drain_ms = 5000\nstop_timeout_ms = 5000", "below stop_timeout_ms"),
        ('kafka_bootstrap = "kafka-1"', "kafka_bootstrap must be host:port"),
        ('kafka_bootstrap = "kafka-1:9092;kafka-2:9092"', "kafka_bootstrap must be host:port"),
        ('kafka_topic_prefix = "dev/"', "kafka_topic_prefix must be"),
        ('kafka_security = "sasl_ssl"', "kafka_login_file, or kafka_username and kafka_password_file, must be set"),
        ('kafka_security = "sasl_ssl"\nkafka_username = "a"', "name the file that holds the whole login"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(tmp_path: Path, text: str, match: str) -> None:
    assert match in str(refused(write(tmp_path, text)))


@pytest.mark.parametrize(
    "login",
    ['kafka_login_file = "/run/login.json"', 'kafka_username = "a"\nkafka_password_file = "/run/password"'],
)
def test_a_login_to_kafka_is_a_file_or_user_and_password(tmp_path: Path, login: str) -> None:
    chosen = settings.load(write(tmp_path, f'kafka_security = "sasl_ssl"\n{login}'), {})
    assert chosen.kafka_security == "sasl_ssl"


def test_a_misfit_names_the_source_of_the_field() -> None:
    error = refused(IRONBOOK_ENGINE_ENGINE_CPU="1", IRONBOOK_ENGINE_SYNC_CPU="1")
    assert error.detail == "field sync_cpu; variable IRONBOOK_ENGINE_SYNC_CPU"


def test_settings_made_in_code_are_checked_too() -> None:
    with pytest.raises(SettingsError, match="idle_ms must be"):
        Settings(idle_ms=1)


def test_a_child_sees_the_same_settings_without_secrets(tmp_path: Path) -> None:
    chosen = settings.load(
        write(tmp_path, 'idle_ms = 777\nlisten = ["[::1]:0"]\nbusy_poll = true'),
        {"IRONBOOK_KEY_PASSPHRASE": "a very secret passphrase", "IRONBOOK_KEY_PASSPHRASE_FILE": "/x", "PATH": "/bin"},
    )
    environment = settings.child_environment(
        chosen, {"PATH": "/bin", "IRONBOOK_KEY_PASSPHRASE": "y", "NOTIFY_SOCKET": "z"}
    )
    assert environment["PATH"] == "/bin"
    assert "IRONBOOK_KEY_PASSPHRASE" not in environment
    assert "NOTIFY_SOCKET" not in environment
    assert settings.load(environment=environment) == dataclasses.replace(chosen, key_passphrase="")


def test_the_example_file_is_current() -> None:
    committed = (ROOT / "ops" / "engine_node.example.toml").read_text()
    assert committed == settings.example(), "python -m engine_node settings --example > ops/engine_node.example.toml"


def test_the_reference_page_is_current() -> None:
    committed = (ROOT / "docs" / "reference" / "settings.md").read_text()
    assert committed == settings.reference(), "python -m engine_node settings --reference > docs/reference/settings.md"


def test_the_example_file_holds_every_setting_and_loads(tmp_path: Path) -> None:
    text = settings.example()
    for field in dataclasses.fields(Settings):
        if field.name not in ("key_passphrase", "notify_socket"):
            assert f"# {field.name} = " in text
    filled = settings.example(Settings())
    assert settings.load(write(tmp_path, filled), {}) == Settings()
    assert all(len(line) <= 120 for line in text.splitlines())


def test_core_options_name_what_the_core_knows() -> None:
    options = Settings().core_options()
    assert options["order_count_max"] == 1_048_576
    assert options["nonce_window_ns"] == 300_000_000_000
    assert "connection_count_max" not in options


def test_the_prefix_of_topics_has_one_variable_for_all_processes() -> None:
    assert settings.load(environment={"IRONBOOK_TOPIC_PREFIX": "dev."}).kafka_topic_prefix == "dev."
