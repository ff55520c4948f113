"""Reports of a day of every kind of event, made by the real function from a real database."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pyarrow.csv
import pyarrow.parquet

from tests.functions.reporting import market
from tests.functions.reporting.conftest import Invoke

DAY = market.DAYS[1]


def objects(s3: Any, prefix: str) -> dict[str, bytes]:
    """All objects below a prefix, by name."""
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="reports", Prefix=prefix).get("Contents", [])]
    return {key.removeprefix(prefix): s3.get_object(Bucket="reports", Key=key)["Body"].read() for key in keys}


def test_a_manifest_names_every_file_with_its_digest_size_and_rows(invoke: Invoke, buckets: Any) -> None:
    answer = invoke()
    found = objects(buckets, f"reports/{DAY}/")
    manifest = json.loads(found.pop("manifest.json"))
    assert {file["name"]: (file["sha256"], file["bytes"]) for file in manifest["files"]} == {
        name: (hashlib.sha256(body).hexdigest(), len(body)) for name, body in found.items()
    }
    assert answer["rows"]["executions.csv"] == answer["rows"]["executions.parquet"] > 1000
    table = pyarrow.parquet.read_table(io.BytesIO(found["executions.parquet"]))
    assert table.num_rows == answer["rows"]["executions.parquet"]
