"""Options and saved state: what is out of range is named before anything happens."""

from __future__ import annotations

import pytest

from ironbook import InputInvalid, Options, ResumeState
from ironbook._options import backoff_s, parse_address


@pytest.mark.parametrize(
    "change",
    [
        {"connect_timeout_s": 0},
        {"request_timeout_s": -1},
        {"backoff_first_s": 0},
        {"backoff_max_s": float("nan")},
        {"reconnect_timeout_s": -0.1},
        {"refusal_timeout_s": -1},
        {"outstanding_max": 7},
        {"report_queue_max": 0},
    ],
)
def test_an_option_out_of_range_is_named(change: dict[str, float]) -> None:
    with pytest.raises(InputInvalid) as caught:
        Options(**change)  # type: ignore[arg-type]
    assert next(iter(change)) in caught.value.message


def test_backoff_doubles_up_to_its_most_with_jitter_of_half() -> None:
    options = Options(backoff_first_s=0.1, backoff_max_s=1.0)
    assert [round(backoff_s(options, attempt, 1.0), 3) for attempt in (1, 2, 3, 4, 5, 99)] == [0.1, 0.2, 0.4, 0.8, 1, 1]
    assert backoff_s(options, 1, 0.0) == 0.05


def test_addresses_of_both_families_are_read() -> None:
    assert parse_address("127.0.0.1:7400") == ("127.0.0.1", 7400)
    assert parse_address("[::1]:7400") == ("::1", 7400)
    assert parse_address("engine.example:1") == ("engine.example", 1)
    assert parse_address(("10.0.0.1", 5)) == ("10.0.0.1", 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"last_report_number": 1, "last_client_sequence": 2, "outstanding": ["00"]}',
        '{"last_report_number": 1, "last_client_sequence": 2, "outstanding": ["' + "01" * 48 + '"]}',
        '{"last_report_number": "x", "last_client_sequence": 2, "outstanding": []}',
    ],
)
def test_a_damaged_state_is_refused_and_says_what_to_do(text: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        ResumeState.from_json(text)
    assert "start without one" in caught.value.hint
