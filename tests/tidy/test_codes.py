"""Every code has a test that makes the engine say it, and the page of codes is the data."""

from __future__ import annotations

import json
import re

import pytest


@pytest.fixture(scope="module")
def codes(texts):
    return json.loads(texts["schemas/codes.json"])["codes"]


def produced_by_scenarios(texts) -> set[str]:
    """Names of codes that stand as an expected outcome in a scenario file."""
    return {
        word
        for path, text in texts.items()
        if path.startswith("tests/scenarios/")
        for line in text.splitlines()
        if not line.lstrip().startswith("#")
        for word in re.findall(r"[a-z][a-z0-9_]+", line.partition("->")[2] if "->" in line else line)
    }


def named_in_tests(texts) -> set[str]:
    """Names of codes that a C or Python test outside this folder names: Code.NAME, CODE_NAME or a quoted name."""
    return {
        name.lower()
        for path, text in texts.items()
        if path.startswith("tests/")
        and not path.startswith(("tests/tidy/", "tests/oracle/"))
        and path.endswith((".py", ".c"))
        for name in re.findall(r"\bCode\.([A-Z_0-9]+)|\bCODE_([A-Z_0-9]+)", text)
        for name in name
        if name
    }


def test_every_recorded_code_has_a_scenario_that_produces_it(codes, texts):
    wanted = {code["name"] for code in codes if code["class"] in ("reject", "cancel")}
    # What only the ingress can refuse is recorded too, but no command of a scenario can bring it about.
    ingress = {"kind_unknown", "kind_forbidden", "account_forbidden"}
    missing = sorted(wanted - ingress - produced_by_scenarios(texts))
    assert not missing, f"codes without a scenario in tests/scenarios: {missing}"


def test_every_code_is_produced_by_some_test(codes, texts):
    wanted = {code["name"] for code in codes if code["class"] != "none"}
    found = (produced_by_scenarios(texts) | named_in_tests(texts)) & wanted
    assert len(found) == len(wanted), f"codes that no test produces: {sorted(wanted - found)}"


def test_codes_are_numbered_once_and_in_the_range_of_their_class(codes):
    values = [code["value"] for code in codes]
    assert len(set(values)) == len(values)
    assert len({code["name"] for code in codes}) == len(codes)
    ranges = {"none": (0, 0), "reject": (1, 63), "cancel": (64, 95), "refusal": (96, 111), "end": (112, 127)}
    for code in codes:
        least, most = ranges[code["class"]]
        assert least <= code["value"] <= most, f"{code['name']} is a {code['class']}: {least} to {most}"


def test_the_page_of_codes_is_the_data(codes, texts):
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.*) \| (.*) \|$", texts["docs/reference/codes.md"], re.MULTILINE)
    on_page = {int(value): (name, text, mend) for value, name, text, mend in rows}
    in_data = {c["value"]: (c["name"], c["text"], c["mend"]) for c in codes if c["class"] != "none"}
    assert on_page == in_data
    rejects = [int(value) for value, *_ in rows if int(value) in {c["value"] for c in codes if c["class"] == "reject"}]
    assert rejects == [c["value"] for c in codes if c["class"] == "reject"]
