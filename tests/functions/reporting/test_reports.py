"""Reports of a day of every kind of event, made by the real function from a real database."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pyarrow as pa
import pyarrow.parquet
import pytest

from functions.common.errors import CloudFailed, EventInvalid, SecretInvalid, SettingsInvalid
from functions.reporting import archive, files
from functions.reporting.errors import AnalyticsBehind, DatabaseAway, DatabaseInvalid, DayInvalid
from functions.reporting.run import REPORTS
from schemas.migrations import migrate
from schemas.vocabulary import RECORD_BYTES
from tests.functions.reporting import market
from tests.functions.reporting.conftest import Invoke
from tests.support.aws import Aws
from tests.support.services import create_database, drop_database

DAY = market.DAYS[1]
LATER_NS = market.end_ns(DAY) + 3600 * 10**9
TABLES = (
    "assets", "instruments", "accounts", "keys", "executions", "orders", "trades", "balances", "cash_flows",
    "market_states", "positions", "daily_pnl", "trade_statistics", "symbol_statistics", "candles", "stream_marks",
)  # fmt: skip


@pytest.fixture(scope="module")
def short_url(postgres_server: str) -> Iterator[str]:
    """A database that ends with the day: nothing of the next one is there."""
    url = create_database(postgres_server)
    market.fill(url, until=DAY)
    yield url
    drop_database(url, postgres_server)


def objects(s3: Any, prefix: str) -> dict[str, bytes]:
    """All objects below a prefix, by name."""
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="reports", Prefix=prefix).get("Contents", [])]
    return {key.removeprefix(prefix): s3.get_object(Bucket="reports", Key=key)["Body"].read() for key in keys}


def rows(body: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(body)).to_pylist()
    return found


def made(invoke: Invoke, s3: Any, **more: Any) -> dict[str, bytes]:
    """The objects of the day's whole report."""
    answer = invoke(**more)
    return objects(s3, f"{answer['folder']}/")


# ---- a whole day -------------------------------------------------------------------------------------------------


def test_a_manifest_names_every_file_with_its_digest_size_and_rows(invoke: Invoke, buckets: Any) -> None:
    answer = invoke()
    found = objects(buckets, f"reports/{DAY}/")
    body = found.pop("manifest.json")
    manifest = json.loads(body)
    assert {file["name"]: (file["sha256"], file["bytes"]) for file in manifest["files"]} == {
        name: (hashlib.sha256(body).hexdigest(), len(body)) for name, body in found.items()
    }
    assert {name.partition(".")[0] for name in found} == set(REPORTS)
    for file in manifest["files"]:
        if file["name"].endswith(".parquet"):
            assert len(rows(found[file["name"]])) == file["rows"] == answer["rows"][file["name"]]
        elif file["name"].endswith(".csv"):
            assert len(found[file["name"]].splitlines()) == file["rows"] + 1
    assert answer["sha256"] == hashlib.sha256(body).hexdigest()
    assert (manifest["day"], manifest["partial"], manifest["empty"]) == (DAY, False, False)
    ledger = market.statement(DAY)
    assert manifest["statements"] == [{"shard": 0, "sequence": ledger["sequence"], "digest": ledger["digest"]}]


def test_a_day_of_every_kind_of_event_agrees_with_the_engines_ledger_to_the_unit(invoke: Invoke, buckets: Any) -> None:
    answer = invoke()
    found = objects(buckets, f"reports/{DAY}/")
    assert answer["headline"].startswith("Everything agrees to the unit"), rows(found["reconciliation.parquet"])
    kinds = {row["type"] for row in rows(found["executions.parquet"])}
    assert {"accepted", "rejected", "filled", "cancelled", "replaced", "adjustment", "applied"} <= kinds
    held = {(row["account"], row["symbol"]): row["position_lots"] for row in market.statement(DAY)["positions"]}
    for row in rows(found["positions.parquet"]):
        assert row["position_lots"] == held[row["account"], row["symbol"]]
    for row in rows(found["pnl.parquet"]):
        assert row["net_units"] == row["realised_units"] + row["unrealised_units"] - row["fees_units"]
        assert row["position_lots"] == held.get((row["account"], row["symbol"]), 0)


def test_a_second_run_gives_the_same_bytes(invoke: Invoke, buckets: Any) -> None:
    first = made(invoke, buckets)
    assert made(invoke, buckets) == first


def test_rows_that_were_inserted_in_another_order_give_the_same_bytes(
    invoke: Invoke, buckets: Any, market_url: str, postgres_url: str
) -> None:
    asyncio.run(_copy_backwards(market_url, postgres_url))
    assert made(invoke, buckets, url=postgres_url) == made(invoke, buckets)


async def _copy_backwards(source_url: str, url: str) -> None:
    migrate(url)
    source, target = await asyncpg.connect(source_url), await asyncpg.connect(url)
    for table in TABLES:
        found = await source.fetch(f"SELECT * FROM {table} ORDER BY ctid DESC")
        if found:
            await target.copy_records_to_table(
                table, records=[tuple(row) for row in found], columns=list(found[0].keys())
            )
    await source.close()
    await target.close()


def test_what_happens_on_later_days_changes_no_byte_of_a_day_that_is_over(
    invoke: Invoke, buckets: Any, short_url: str
) -> None:
    then = made(invoke, buckets, url=short_url, now_ns=LATER_NS)
    assert made(invoke, buckets) == then


def test_arrival_prices_of_the_archive_are_met_with_their_orders(invoke: Invoke, buckets: Any) -> None:
    without = rows(made(invoke, buckets)["best_execution.parquet"])
    entered = [row for row in rows(made(invoke, buckets)["executions.parquet"]) if row["type"] == "accepted"]
    assert sum(row["mid_order_count"] for row in without) == 0
    _put_arrivals(buckets, entered)
    found = made(invoke, buckets)
    assert sum(row["mid_order_count"] for row in rows(found["best_execution.parquet"])) > 0
    assert b"No arrival prices" not in found["page.html"]


def _put_arrivals(s3: Any, entered: list[dict[str, Any]]) -> bytes:
    columns = {
        "seq": [row["seq"] for row in entered],
        "symbol": [row["symbol"] for row in entered],
        "bid_ticks": [row["price_ticks"] or 1 for row in entered],
        "ask_ticks": [(row["price_ticks"] or 1) + 2 for row in entered],
    }
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), file, row_group_size=50)
    s3.put_object(Bucket="archive", Key=f"statements/00000/{DAY}.arrivals.parquet", Body=file.getvalue())
    return file.getvalue()


# ---- parts of it -------------------------------------------------------------------------------------------------


def test_some_reports_alone_lie_apart_and_are_the_same_files(invoke: Invoke, buckets: Any) -> None:
    whole = made(invoke, buckets)
    answer = invoke({"day": DAY, "reports": ["trades", "fees"]})
    assert answer["folder"] == f"reports/{DAY}/only-fees+trades"
    found = objects(buckets, f"{answer['folder']}/")
    assert set(found) == {"trades.csv", "trades.parquet", "fees.csv", "fees.parquet", "manifest.json"}
    for name in set(found) - {"manifest.json"}:
        assert found[name] == whole[name]
    assert objects(buckets, f"reports/{DAY}/")["manifest.json"] == whole["manifest.json"]


def test_tables_alone_are_made_without_figures_and_say_so(invoke: Invoke, buckets: Any) -> None:
    whole = made(invoke, buckets)
    answer = invoke({"day": DAY, "reports": ["audit_trail", "positions"]})
    assert answer["headline"] == "Tables alone, nothing reconciled: audit_trail, positions."
    found = objects(buckets, f"{answer['folder']}/")
    for name in ("audit_trail.csv", "audit_trail.parquet", "positions.csv", "positions.parquet"):
        assert found[name] == whole[name]


def test_a_day_in_progress_is_refused_and_as_partial_lies_under_a_key_of_its_own(
    invoke: Invoke, buckets: Any, short_url: str
) -> None:
    noon_ns = market.end_ns(DAY) - 100 * 10**9
    with pytest.raises(DayInvalid, match="in progress"):
        invoke(url=short_url, now_ns=noon_ns)
    assert objects(buckets, "") == {}
    answer = invoke({"day": DAY, "partial": True}, url=short_url, now_ns=noon_ns)
    found = objects(buckets, "")
    [last] = json.loads(found[answer["manifest"]])["tables"]
    assert answer["folder"] == f"reports/{DAY}/partial-{last['last_sequence']}"
    assert f"reports/{DAY}/manifest.json" not in found
    assert b"The day is not over" in found[f"{answer['folder']}/page.html"]
    assert "not held against the engine" in answer["headline"]


def test_an_empty_day_is_a_valid_report_that_says_so(invoke: Invoke, buckets: Any) -> None:
    answer = invoke({"day": "2023-11-13"})
    found = objects(buckets, "reports/2023-11-13/")
    assert answer["headline"].startswith("Nothing happened on 2023-11-13.")
    assert json.loads(found["manifest.json"])["empty"] is True
    assert all(rows(found[name]) == [] for name in ("executions.parquet", "trades.parquet", "audit_trail.parquet"))
    assert b"Nothing happened on this day" in found["page.html"]


# ---- what is missing ---------------------------------------------------------------------------------------------


def test_without_a_statement_the_headline_says_that_nothing_was_held_against_the_ledger(
    invoke: Invoke, buckets: Any
) -> None:
    buckets.delete_object(Bucket="archive", Key=f"statements/00000/{DAY}.json")
    answer = invoke()
    assert "not held against the engine" in answer["headline"]
    found = objects(buckets, f"reports/{DAY}/")
    assert b"must be in the archive, is not" in found["page.html"]
    assert json.loads(found["manifest.json"])["statements"][0]["missing"].startswith("it must be in the archive")


@pytest.mark.parametrize(
    ("key", "body", "said"),
    [
        (f"statements/00000/{DAY}.json", b'{"format": 1, "shard"', b"it must be a whole statement"),
        (f"statements/00000/{DAY}.json", market.as_json({"format": 1}), b"it must be a whole statement"),
        ("journal/00000/manifest.json", b'{"last_sequence": 40}', b"the archive must reach its sequence"),
        ("journal/00000/manifest.json", b"{", b"the archive must reach its sequence"),
    ],
    ids=["cut off", "without fields", "behind", "manifest cut off"],
)
def test_a_half_written_archive_is_told_on_the_page_and_is_no_crash(
    invoke: Invoke, buckets: Any, key: str, body: bytes, said: bytes
) -> None:
    buckets.put_object(Bucket="archive", Key=key, Body=body)
    answer = invoke()
    assert "not held against the engine" in answer["headline"]
    assert said in objects(buckets, f"reports/{DAY}/")["page.html"]


def test_a_statement_of_part_of_the_day_is_not_taken_for_the_days_end(invoke: Invoke, buckets: Any) -> None:
    body = market.as_json({**market.statement(DAY), "partial": True})
    buckets.put_object(Bucket="archive", Key=f"statements/00000/{DAY}.json", Body=body)
    assert "not held against the engine" in invoke()["headline"]


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_arrival_prices_that_were_cut_off_are_told_and_left_out(invoke: Invoke, buckets: Any, kept: int) -> None:
    whole = _put_arrivals(buckets, [{"seq": number, "symbol": "I1", "price_ticks": 1} for number in range(300)])
    buckets.put_object(Bucket="archive", Key=f"statements/00000/{DAY}.arrivals.parquet", Body=whole[:kept])
    page = made(invoke, buckets)["page.html"]
    assert b"No arrival prices of shard 0" in page
    assert b"is not whole" in page


def test_a_ledger_that_says_otherwise_is_the_headline(invoke: Invoke, buckets: Any) -> None:
    other = market.statement(DAY)
    other["positions"][0]["position_lots"] += 7
    buckets.put_object(Bucket="archive", Key=f"statements/00000/{DAY}.json", Body=market.as_json(other))
    answer = invoke()
    assert "difference" in answer["headline"]
    assert rows(objects(buckets, f"reports/{DAY}/")["reconciliation.parquet"]) != []


def test_tables_that_do_not_reach_the_days_end_are_refused_with_what_is_missing(
    invoke: Invoke, buckets: Any, postgres_url: str
) -> None:
    market.fill(postgres_url, until=market.DAYS[0])
    seq = len(market.flow().until(market.DAYS[0])) // RECORD_BYTES
    with pytest.raises(AnalyticsBehind) as refused:
        invoke(url=postgres_url)
    assert refused.value.detail == f"shard 0: sequence {seq} of {market.statement(DAY)['sequence']}"
    assert objects(buckets, "") == {}
    assert invoke({"day": DAY, "partial": True}, url=postgres_url)["partial"], "as partial it is made"


def _put_shard(s3: Any, shard: int) -> int:
    """Another shard in the archive, with a ledger; the last sequence of its day."""
    said = {day: market.statement(day) | {"shard": shard} for day in market.DAYS}
    for day, found in said.items():
        s3.put_object(Bucket="archive", Key=f"statements/{shard:05d}/{day}.json", Body=market.as_json(found))
    head = json.dumps({"format": 1, "shard": shard, "last_sequence": 10**6}).encode()
    s3.put_object(Bucket="archive", Key=f"journal/{shard:05d}/manifest.json", Body=head)
    return int(said[DAY]["sequence"])


def test_shards_that_the_archive_has_and_the_tables_have_not_are_refused(
    invoke: Invoke, buckets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "PAGE_KEYS", 1)  # S3 gives no more than 1,000 at a time
    seqs = [_put_shard(buckets, shard) for shard in (1, 2)]
    buckets.put_object(Bucket="archive", Key="journal/notes/read.me", Body=b"no shard")
    with pytest.raises(AnalyticsBehind) as refused:
        invoke()
    wanted = [f"shard {shard}: sequence 0 of {seq}" for shard, seq in zip((1, 2), seqs, strict=True)]
    assert refused.value.detail == "; ".join(wanted)
    assert objects(buckets, "") == {}


def test_a_shard_whose_marks_are_gone_from_the_tables_is_refused(
    invoke: Invoke, buckets: Any, postgres_url: str
) -> None:
    market.fill(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE stream_marks SET shard = 7")
    with pytest.raises(AnalyticsBehind) as refused:
        invoke(url=postgres_url)
    assert f"shard 0: sequence 0 of {market.statement(DAY)['sequence']}" in refused.value.detail


def test_a_missing_table_or_database_changes_nothing_in_s3(invoke: Invoke, buckets: Any, postgres_url: str) -> None:
    with pytest.raises(DatabaseInvalid, match="must have the table"):
        invoke(url=postgres_url)
    with pytest.raises(DatabaseAway):
        invoke(url="postgresql://nobody@127.0.0.1:1/none")
    migrate(postgres_url)
    with pytest.raises(AnalyticsBehind, match="written nothing"):
        invoke(url=postgres_url)
    assert objects(buckets, "") == {}
    assert buckets.list_multipart_uploads(Bucket="reports").get("Uploads", []) == []


def test_a_database_that_goes_away_in_the_middle_leaves_nothing_in_s3(
    invoke: Invoke, buckets: Any, market_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.TableWriter.write

    def write_and_cut(self: files.TableWriter, some: Any) -> None:
        write(self, some)
        _terminate(market_url)  # from outside, as an administrator or a failover would

    monkeypatch.setattr(files.TableWriter, "write", write_and_cut)
    with pytest.raises(DatabaseAway, match="must stay until the report is made"):
        invoke()
    assert objects(buckets, "") == {}
    assert buckets.list_multipart_uploads(Bucket="reports").get("Uploads", []) == []


def _terminate(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ironbook-reporting'"
        )


def test_a_bucket_that_refuses_is_an_error_that_names_it(
    invoke: Invoke, buckets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRONBOOK_FUNCTION_REPORTS_BUCKET", "not-ours")
    with pytest.raises(CloudFailed, match="an upload must begin") as refused:
        invoke()
    assert "s3://not-ours/" in refused.value.detail


def test_an_archive_that_refuses_is_an_error_not_a_missing_statement(
    invoke: Invoke, buckets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRONBOOK_FUNCTION_ARCHIVE_BUCKET", "not-ours")
    with pytest.raises(CloudFailed, match="must be readable"):
        invoke()
    assert objects(buckets, "") == {}


def test_an_event_or_a_setting_that_is_wrong_changes_nothing(
    invoke: Invoke, buckets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EventInvalid):
        invoke({"day": "yesterday"})
    monkeypatch.delenv("IRONBOOK_FUNCTION_REPORTS_BUCKET")
    with pytest.raises(SettingsInvalid, match="reports_bucket"):
        invoke()
    assert objects(buckets, "") == {}


# ---- who is told -------------------------------------------------------------------------------------------------


def test_topic_and_mail_are_told_with_a_link_to_the_page(
    invoke: Invoke, buckets: Any, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = aws.topic("reports")
    aws.client("ses").verify_email_identity(EmailAddress="ironbook@example.com")
    monkeypatch.setenv("IRONBOOK_FUNCTION_REPORTS_TOPIC_ARN", topic.arn)
    monkeypatch.setenv("IRONBOOK_FUNCTION_MAIL_FROM", "ironbook@example.com")
    monkeypatch.setenv("IRONBOOK_FUNCTION_MAIL_TO", "desk@example.com, risk@example.com")
    answer = invoke()
    assert answer["told"] == ["sns", "ses"]
    [told] = topic.told()
    assert told["Subject"].startswith(f"Ironbook {DAY}: Everything agrees")
    assert answer["link"] in told["Message"]
    assert answer["sha256"] in told["Message"]
    with urllib.request.urlopen(answer["link"], timeout=10) as page:
        assert page.read() == objects(buckets, f"reports/{DAY}/")["page.html"]
    sent = aws.client("ses").get_send_statistics()["SendDataPoints"]
    assert sum(point["DeliveryAttempts"] for point in sent) >= 1


def test_a_failure_is_told_to_the_alerts_topic_and_raised(
    invoke: Invoke, buckets: Any, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = aws.topic()
    monkeypatch.setenv("IRONBOOK_FUNCTION_ALERTS_TOPIC_ARN", topic.arn)
    with pytest.raises(DatabaseAway) as away:
        invoke(url="postgresql://nobody:hidden-password@127.0.0.1:1/none")
    assert away.value.detail == "127.0.0.1:1"
    [told] = topic.told()
    assert told["Subject"] == "Ironbook reporting: database_away"
    assert "PostgreSQL must answer" in told["Message"]
    assert "hidden-password" not in told["Message"]


def test_an_address_that_is_none_is_not_repeated(invoke: Invoke, buckets: Any) -> None:
    with pytest.raises(DatabaseAway, match="address must be postgresql://") as refused:
        invoke(url="postgresql://nobody@127.0.0.1:hidden-password/none")
    assert "hidden-password" not in json.dumps(refused.value.to_json())


def test_a_failure_that_nobody_thought_of_is_told_by_its_name_and_raised(
    invoke: Invoke, buckets: Any, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OverflowError("hidden-password is too large")

    topic = aws.topic()
    monkeypatch.setenv("IRONBOOK_FUNCTION_ALERTS_TOPIC_ARN", topic.arn)
    monkeypatch.setattr(files.TableWriter, "write", fail)
    with pytest.raises(OverflowError):
        invoke()
    [told] = topic.told()
    assert told["Subject"] == "Ironbook reporting: unexpected"
    assert "OverflowError" in told["Message"]
    assert "hidden-password" not in told["Message"]
    assert objects(buckets, "") == {}


def test_the_database_is_found_by_its_secret(
    invoke: Invoke, buckets: Any, aws: Aws, market_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(market_url)
    value = {
        "host": parts.hostname, "port": parts.port, "dbname": parts.path[1:], "username": parts.username,
        "password": parts.password, "users": ["a", "b"], "role": "ironbook_reader",
    }  # fmt: skip
    made_one = aws.client("secretsmanager").create_secret(Name="database", SecretString=json.dumps(value))
    monkeypatch.setenv("IRONBOOK_FUNCTION_DATABASE_SECRET", made_one["ARN"])
    assert invoke(url="")["headline"].startswith("Everything agrees")


@pytest.mark.parametrize(
    ("field", "value"),
    [("host", None), ("host", ""), ("dbname", None), ("username", 5), ("password", None), ("port", "x"), ("port", 0),
     ("port", 70_000)],
)  # fmt: skip
def test_a_database_secret_that_lacks_something_asks_no_other_database(
    invoke: Invoke, buckets: Any, aws: Aws, market_url: str, monkeypatch: pytest.MonkeyPatch, field: str, value: Any
) -> None:
    parts = urlsplit(market_url)
    monkeypatch.setenv("PGHOST", str(parts.hostname))
    monkeypatch.setenv("PGPORT", str(parts.port))
    monkeypatch.setenv("PGUSER", str(parts.username))
    monkeypatch.setenv("PGPASSWORD", str(parts.password))
    monkeypatch.setenv("PGDATABASE", parts.path[1:])
    whole = {
        "host": parts.hostname, "port": str(parts.port), "dbname": parts.path[1:], "username": parts.username,
        "password": parts.password,
    }  # fmt: skip
    said = {name: found for name, found in {**whole, field: value}.items() if found is not None}
    made_one = aws.client("secretsmanager").create_secret(Name="lacking", SecretString=json.dumps(said))
    monkeypatch.setenv("IRONBOOK_FUNCTION_DATABASE_SECRET", made_one["ARN"])
    with pytest.raises(SecretInvalid, match=f"{field} of the database's secret must be"):
        invoke(url="")
    assert objects(buckets, "") == {}
