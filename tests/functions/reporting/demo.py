"""A report to look at, in a minute or two and without AWS: `make demo-report`.

    python -m tests.functions.reporting.demo [--tape FILE] [--to DIRECTORY]

    flow ──▶ engine node ──▶ analytics ──▶ PostgreSQL ──┐
                 └─▶ journal ──▶ statement, prices ──▶ S3 (moto's server) ──▶ functions/reporting ──▶ S3 ──▶ DIRECTORY

Everything but S3 is the real thing, and the function is called as Lambda calls it, at a time that is tomorrow's: the
engine has ended, so what is stated of today is the whole day.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from functions.common import invoke
from functions.reporting import handler
from ironbook.tape._source import Source, file_source, flow_source
from ironbook.tape.flow import FlowOptions
from tests.functions.reporting.tape_day import DAY_NS, TapeDay, play
from tests.support.aws import Aws
from tests.support.node import ROOT
from tests.support.services import create_database, session_postgres

MESSAGES = 8_000
MAKERS = 4


def stated(day: TapeDay) -> dict[str, Any]:
    """The ledger's statement, of a day that is over because its engine has ended."""
    found: dict[str, Any] = json.loads((day.directory / f"{day.day}.json").read_bytes())
    return found | {"partial": False}


def fill_archive(s3: Any, day: TapeDay) -> None:
    """What archiver and verifier would have left there."""
    for name in ("archive", "reports"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    said = stated(day)
    head = {"format": 1, "shard": 0, "last_sequence": said["sequence"]}
    prices = (day.directory / f"{day.day}.arrivals.parquet").read_bytes()
    for key, body in (
        ("journal/00000/manifest.json", json.dumps(head).encode()),
        (f"statements/00000/{day.day}.json", json.dumps(said).encode()),
        (f"statements/00000/{day.day}.arrivals.parquet", prices),
    ):
        s3.put_object(Bucket="archive", Key=key, Body=body)


def report(day: TapeDay, aws: Aws, place: Path) -> dict[str, Any]:
    """Call the function, and bring what it wrote into a directory. Its answer."""
    s3 = aws.client("s3")
    fill_archive(s3, day)
    os.environ |= aws.environment() | {
        "IRONBOOK_FUNCTION_DATABASE_URL": day.url,
        "IRONBOOK_FUNCTION_DATABASE_TLS": "disable",
        "IRONBOOK_FUNCTION_ARCHIVE_BUCKET": "archive",
        "IRONBOOK_FUNCTION_REPORTS_BUCKET": "reports",
    }
    handler.LOG.setLevel("WARNING")  # a line of a thousand characters says nothing that is not said below
    clock, handler.now_ns = handler.now_ns, lambda: day.start_ns + DAY_NS  # tomorrow's first nanosecond
    try:
        answer = handler.handle({"day": day.day}, invoke.Context("reporting"))
    finally:
        handler.now_ns = clock
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for one in s3.list_objects_v2(Bucket="reports", Prefix=answer["folder"])["Contents"]:
        file = place / one["Key"].removeprefix(answer["folder"] + "/")
        file.write_bytes(s3.get_object(Bucket="reports", Key=one["Key"])["Body"].read())
    return answer


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tape", type=Path, help="a LOBSTER message file or ITCH 5.0 instead of the seeded flow")
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "demo-report", help="where the files go")
    chosen = parser.parse_args()
    source: Source = flow_source(MESSAGES, FlowOptions(seed=7))
    if chosen.tape is not None:
        source = file_source(chosen.tape, "auto", 0, "", 0)
    print(f"plays {source.name} through an engine node, with analytics into PostgreSQL", flush=True)
    with session_postgres() as server, tempfile.TemporaryDirectory() as directory:
        day = play(source, create_database(server), Path(directory), makers=MAKERS)
        print(f"{day.played.fills:,} trades in {day.sequence:,} records; calls the function", flush=True)
        with Aws.start() as aws:
            answer = report(day, aws, chosen.to)
    print(answer["headline"])
    print(f"{len(list(chosen.to.iterdir()))} files, {answer['bytes']:,} bytes; the page: {chosen.to / 'page.html'}")


if __name__ == "__main__":
    main()
