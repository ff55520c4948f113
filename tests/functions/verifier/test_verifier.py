"""The verifier as Lambda runs its image: AWS's own loop around the handler, which runs the real program."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.common.errors import EventInvalid
from functions.common.invoke import Context
from functions.verifier.command import PASS_RUNS_MAX, answer_of, check_pass, command
from functions.verifier.errors import ArchiveUnsound, VerifyFailed
from functions.verifier.handler import handle
from ironbook.archive.stores import S3Store
from tests.support.archives import closed_ends, put_over, three_days, write_archive
from tests.support.aws import Aws, Topic
from tests.support.node import ROOT
from tests.support.runtime_api import RuntimeApi

BUCKET = "archive"
PROGRAM = str(Path(sys.executable).with_name("ironbook"))
RECORDS = three_days()
ENDS = closed_ends(RECORDS, [300] * 100)
LAST = len(RECORDS) // 64


@pytest.fixture
def store(aws: Aws) -> S3Store:
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return S3Store(client, BUCKET)


@pytest.fixture
def alerts(aws: Aws) -> Topic:
    return aws.topic()


@pytest.fixture
def lambda_(aws: Aws, alerts: Topic) -> Iterator[RuntimeApi]:
    """A runtime API, and the image's command beside it."""
    words = re.findall(r"^(?:ENTRYPOINT|CMD) \[(.*)\]$", DOCKERFILE.read_text(), re.MULTILINE)
    command_words = [word.strip('" ') for line in words for word in line.split(",")]
    settings = {"ARCHIVE_BUCKET": BUCKET, "PROGRAM": PROGRAM, "ALERTS_TOPIC_ARN": alerts.arn}
    with RuntimeApi() as api:
        process = subprocess.Popen(
            [sys.executable, *command_words[1:]], cwd=ROOT,
            env={**os.environ, **aws.environment(), "AWS_LAMBDA_RUNTIME_API": api.address,
                 "AWS_LAMBDA_FUNCTION_NAME": "verifier", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "4096",
                 **{f"IRONBOOK_FUNCTION_{name}": value for name, value in settings.items()}},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield api
        finally:
            process.kill()
            process.wait(10)


DOCKERFILE = ROOT / "ops" / "images" / "verifier" / "Dockerfile"


def test_the_image_proves_an_archive_and_names_what_differs(lambda_: RuntimeApi, store: S3Store, alerts: Topic) -> None:
    entries = write_archive(store, 0, RECORDS, ENDS)
    answered = lambda_.invoke({"shard": 0})
    assert not answered.failed, answered.value
    assert (answered.value["sound"], answered.value["last_sequence"]) == (True, LAST)
    assert answered.value["from"] == "the first record"
    assert store.get("statements/00000/2026-01-02.arrivals.parquet") is not None
    again = lambda_.invoke({"shard": 0})
    assert again.value["from"].startswith("verified/00000/"), "it goes on from its checkpoint"
    assert again.value["digest"] == answered.value["digest"]
    assert alerts.told() == []

    found = store.get(entries[1].key)
    assert found is not None
    raw = bytearray(gzip.decompress(found.data))
    raw[10 * 64 + 30] ^= 1
    put_over(store, entries[1].key, gzip.compress(bytes(raw)))
    assert not lambda_.invoke({"shard": 0}).failed, "what was proved is not read again"
    full = lambda_.invoke({"shard": 0, "full": True})
    assert full.failed
    assert full.value["errorType"] == "ArchiveUnsound"
    assert entries[1].key in full.value["errorMessage"]
    (alert,) = alerts.told()
    assert alert["Subject"] == "Ironbook verifier: archive_unsound"
    assert entries[1].key in alert["Message"]
    assert "sequences 301 to" in alert["Message"]


def test_a_record_that_diverges_is_named_by_object_sequence_and_offset(
    aws: Aws, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine_node import _engine
    from schemas import vocabulary as v

    more = _engine.seal(
        v.Digest(state_digest=1).pack() + bytes(8) + RECORDS[-8:], int.from_bytes(RECORDS[-12:-8], "little")
    )
    write_archive(store, 0, RECORDS + more, [*ENDS[:-1], LAST + 1])
    settle(monkeypatch)
    with pytest.raises(ArchiveUnsound, match="agree with the digests") as found:
        handle({"shard": 0}, Context("verifier"))
    first = ENDS[-2] + 1
    assert f"{first:020d}-{LAST + 1:020d}.records.gz" in found.value.detail
    assert f"sequence {LAST + 1}, offset {(LAST + 1 - first) * 64} of the raw records" in found.value.detail


def settle(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    for name, value in ({"ARCHIVE_BUCKET": BUCKET, "PROGRAM": PROGRAM} | more).items():
        monkeypatch.setenv(f"IRONBOOK_FUNCTION_{name}", value)


def test_what_could_not_be_looked_at_is_not_called_unsound(
    aws: Aws, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch, ARCHIVE_BUCKET="no-such-bucket")
    with pytest.raises(VerifyFailed, match=r"must be verified, was not: .*NoSuchBucket"):
        handle({}, Context("verifier"))
    settle(monkeypatch, PROGRAM="/nowhere/ironbook")
    with pytest.raises(VerifyFailed, match="the program must start"):
        handle({}, Context("verifier"))
    with pytest.raises(EventInvalid, match="must be a shard"):
        handle({"shard": 1, "full": "yes"}, Context("verifier"))
    with pytest.raises(EventInvalid, match="and no more"):
        handle({"ful": True}, Context("verifier"))
    settle(monkeypatch, PROGRAM=PROGRAM)
    short = Context("verifier")
    short.deadline_s -= 900
    with pytest.raises(VerifyFailed, match="must be verified within 1 s, was not"):
        handle({}, short)


def test_a_long_archive_is_verified_in_parts_that_end_with_a_day(aws: Aws, store: S3Store) -> None:
    from ironbook.archive.verify import verify

    write_archive(store, 0, RECORDS, ENDS)
    ends = []
    for _ in range(5):
        answer = verify(store, 0, resume=True, record=True, statements=True, late=lambda: True)
        ends.append(answer["last_sequence"])
        if answer["complete"]:
            break
    assert ends == sorted(ends)
    assert (len(ends), ends[-1]) == (4, LAST), "a part for each day"
    assert ends[1] == ends[2], "the third day has no record"
    assert verify(store, 0)["digest"] == answer["digest"]


@pytest.fixture
def late(tmp_path: Path) -> str:
    """The program, always late: each call ends with the first day that it replays, as one of a long archive does."""
    program = tmp_path / "late"
    program.write_text(
        f"#!{sys.executable}\nfrom ironbook.cli import _archive, main\n"
        "_archive._later_than = lambda moment_s: True\nmain()\n"
    )
    program.chmod(0o755)
    return str(program)


def test_a_full_replay_that_does_not_fit_in_one_call_goes_on_with_the_next(
    aws: Aws, store: S3Store, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ironbook.archive.verify import verify

    entries = write_archive(store, 0, RECORDS, ENDS)
    verify(store, 0, record=True, statements=True)
    settle(monkeypatch, PROGRAM=late)
    answer = handle({"full": True}, Context("verifier"))
    assert (answer["complete"], answer["full_pass_runs"], answer["archive_last_sequence"]) == (False, 1, LAST)
    assert answer["last_sequence"] < entries[2].first_sequence, "far from what is altered now"

    found = store.get(entries[2].key)
    assert found is not None
    put_over(store, entries[2].key, found.data[:-1] + bytes([found.data[-1] ^ 1]))
    with pytest.raises(ArchiveUnsound) as unsound:
        handle({"full": True}, Context("verifier"))
    assert entries[2].key in unsound.value.detail


def test_people_are_told_of_a_full_pass_that_does_not_end(
    aws: Aws, store: S3Store, alerts: Topic, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive(store, 0, RECORDS, ENDS)
    settle(monkeypatch, PROGRAM=late, ALERTS_TOPIC_ARN=alerts.arn)
    monkeypatch.setattr("functions.verifier.command.PASS_RUNS_MAX", 1)
    with pytest.raises(VerifyFailed, match=rf"must end within 1 runs, is at sequence \d+ of {LAST}") as told:
        handle({"full": True}, Context("verifier"))
    assert "without a time limit" in told.value.hint
    assert [alert["Subject"] for alert in alerts.told()] == ["Ironbook verifier: verify_failed"]
    assert store.get("verified/full/00000.json") is not None, "it goes on all the same"


def test_a_pass_that_does_not_end_is_told_of_now_and_then() -> None:
    so_far = {"complete": False, "last_sequence": 5, "archive_last_sequence": 9}
    for runs in range(1, 3 * PASS_RUNS_MAX + 1):
        with contextlib.nullcontext() if runs % PASS_RUNS_MAX else pytest.raises(VerifyFailed):
            check_pass(so_far | {"full_pass_runs": runs}, "s3://b/")
        check_pass(so_far | {"complete": True, "full_pass_runs": runs}, "s3://b/")


def test_answers_of_the_program_are_read_for_what_they_are() -> None:
    assert command("ironbook", "b", 7, full=True, limit_s=9)[1:5] == ["journal", "verify", "--archive", "s3://b/"]
    assert command("ironbook", "b", 7, full=True, limit_s=9)[-1] == "--full-pass"
    assert command("ironbook", "b", 7, full=False, limit_s=9)[-1] == "--resume"
    assert answer_of(0, '{"sound":true}\n', "", "")["sound"]
    for code, out in ((0, ""), (0, '{"sound":false}'), (1, "{"), (5, "no JSON"), (-9, "")):
        with pytest.raises(VerifyFailed):
            answer_of(code, out, "killed", "s3://b/")
