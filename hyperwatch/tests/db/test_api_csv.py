"""Lists as CSV: the texts of the JSON, and every matching row."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hyperwatch.api import clock
from hyperwatch.tests.api_client import content, download, get, walk, with_format
from liquidations.serializers import LiquidationSerializer
from realtime.rest import csv_export
from realtime.tests.builders import (
    HASH,
    OTHER_WALLET,
    WALLET,
    liquidation,
    liquidation_map,
    position,
    position_summary,
    ratio,
    stored,
    transaction,
)
from whales.models import WhaleWatch

pytestmark = pytest.mark.django_db(transaction=True)

# Where each list is in its answer, and the name of its file.
LISTS = {
    "/transactions": ("items", "transactions"),
    "/liquidations": ("items", "liquidations"),
    "/long-short-ratios/history?coin=BTC": ("items", "long-short-ratios-history"),
    "/whales/7/activities": ("items", "whales-7-activities"),
    "/liquidations/recent?limit=100": ("liquidations", "liquidations-recent"),
    "/long-short-ratios/current": ("ratios", "long-short-ratios-current"),
    "/whales": ("whales", "whales"),
    "/positions": ("positions", "positions"),
    "/coins": ("coins", "coins"),
}
OF_STREAMS = set(LISTS) - {"/whales", "/positions", "/coins"}


def rows(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(download(path)), newline="")))


def json_rows(path: str) -> list[dict[str, str]]:
    """The rows of the JSON, each value as the text that stands there."""
    name = LISTS[path][0]
    query = "&page_size=100" if name == "items" else ""
    data = inside(Client().get(with_format(path, "json") + query).content)["data"]
    found = msgspec.json.decode(inside(data)[name], type=list[dict[str, msgspec.Raw]])
    assert found
    return [{key: reported(bytes(value).decode()) for key, value in row.items()} for row in found]


def inside(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])


def reported(text: str) -> str:
    if text == "null":
        return ""
    return cell(msgspec.json.decode(text)) if text.startswith('"') else text


def cell(text: str) -> str:
    """A text as a spreadsheet must not run it: `@107` and `=1+1` have an apostrophe, `-0.00000001` has none."""
    return f"'{text}" if text[:1] in ("=", "@") else text


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 1, 10, 12, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: moment)
    WhaleWatch.objects.create(id=7, wallet_address=WALLET, alias='=1+1, "Fünf"\r\nand @six', description="")
    WhaleWatch.objects.create(id=8, wallet_address=OTHER_WALLET, is_active=False)
    nothing = {"block_number": None, "leverage": None, "margin": None, "raw_data": None}
    stored(
        *(transaction(raw_data={"tid": tid, "dir": "Open Long", "text": 'a, "b"\n'}) for tid in range(30)),
        transaction(price="123456789.12345678", block_timestamp="2026-01-10T10:30:00.123456Z", fee="-0.00000001"),
        transaction(coin="@107", fee=None, **nothing),
        *(liquidation(raw_data={"tid": tid}) for tid in range(30)),
        liquidation(coin="PURR/USDC", liquidator_address=None, **nothing),
        *(ratio(timestamp=f"2026-01-10T{hour:02}:00:00Z") for hour in range(12)),
        ratio("ETH", long_ratio=1, short_ratio=0),
        liquidation_map(),
        position_summary(positions=[position(), position(side="SHORT", leverage=None, margin="-1")]),
    )


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("path", LISTS)
def test_csv_list_has_json_fields_and_texts(path: str) -> None:
    name, file = LISTS[path]
    response, expected = download(path), json_rows(path)
    lines = csv.reader(io.StringIO(content(response), newline=""))
    assert next(lines) == list(expected[0])
    assert [dict(zip(expected[0], line, strict=True)) for line in lines] == expected
    assert response.streaming is (name == "items")
    assert response["Content-Disposition"] == f'attachment; filename="{file}.csv"'
    data = get(path)
    if path in OF_STREAMS:
        assert (response["X-Hyperwatch-Head"], response["X-Hyperwatch-Epoch"]) == (str(data["head"]), data["epoch"])
    else:
        assert "X-Hyperwatch-Head" not in response.headers


@pytest.mark.usefixtures("everything")
def test_csv_lines_and_quotes_follow_rfc_4180() -> None:
    first, second, *_ = content(download("/whales")).split("\r\n8,")
    assert first.startswith("id,wallet_address,alias,description,is_active,created_at\r\n7,")
    assert f'7,{WALLET},"\'=1+1, ""Fünf""\r\nand @six",,true,' in first
    assert second.startswith(f"{OTHER_WALLET},,,false,")
    assert second.endswith("Z\r\n")
    oldest = content(download(f"/transactions?end_time=2026-01-10T10:30:00.1Z&tx_hash={HASH}")).splitlines()[-1]
    assert oldest.endswith(""","{""tid"": 0, ""dir"": ""Open Long"", ""text"": ""a, \\""b\\""\\n""}\"""")


def test_a_list_without_rows_is_its_first_line() -> None:
    assert content(download("/liquidations")) == ",".join(LiquidationSerializer.Meta.fields) + "\r\n"
    assert content(download("/whales")) == "id,wallet_address,alias,description,is_active,created_at\r\n"


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(csv_export, "CHUNK_ROWS", 25)
    return 25


@pytest.mark.parametrize("count", [24, 25, 26, 150])
def test_csv_export_streams_chunks_of_one_snapshot(small_chunks: int, count: int) -> None:
    stored(*(liquidation(raw_data={"tid": tid}) for tid in range(count)))
    stored(*(liquidation(raw_data={"tid": -tid}, block_timestamp="2026-01-10T10:29:59.9Z") for tid in range(1, 41)))
    path = "/liquidations"
    with CaptureQueriesContext(connection) as queries:
        found = rows(path)
    params = sum("LIMIT 25" in query["sql"] for query in queries.captured_queries)
    assert params == (count + 40) // small_chunks + 1
    assert [int(row["seq"]) for row in found] == [*range(count, 0, -1), *range(count + 40, count, -1)]
    assert [int(row["seq"]) for row in found] == [row["seq"] for row in walk(path)]


@pytest.mark.usefixtures("small_chunks")
def test_csv_export_excludes_rows_stored_meanwhile() -> None:
    stored(*(liquidation(raw_data={"tid": tid}) for tid in range(100)))
    response = download("/liquidations")
    assert isinstance(response, StreamingHttpResponse)
    pieces: Any = iter(response)
    lines = next(pieces)
    times = ("2026-01-09T00:00:00Z", "2026-01-10T10:30:00Z", "2026-01-10T11:00:00Z")
    stored(*(liquidation(raw_data={"tid": -tid}, block_timestamp=times[tid % 3]) for tid in range(1, 31)))
    lines += b"".join(pieces)
    assert [int(line.split(b",")[0]) for line in lines.splitlines()[1:]] == list(range(100, 0, -1))
    assert response["X-Hyperwatch-Head"] == "100"
    assert len(rows("/liquidations")) == 130


@pytest.mark.usefixtures("everything", "small_chunks")
@pytest.mark.parametrize(
    "path",
    [
        "/liquidations?coin=purr/usdc,ETH",
        "/liquidations?coin=BTC&side=LONG&min_value_usd=1&end_time=2027-01-01",
        "/liquidations?side=SHORT",
        f"/transactions?user_address={WALLET}&tx_type=ORDER",
        "/transactions?start_time=2026-01-10T10:30:00.1Z",
        "/long-short-ratios/history?coin=BTC&start_time=2026-01-10T03:00:00Z&interval=5m",
        "/whales/7/activities?activity_type=OPEN",
    ],
)
def test_filters_apply(path: str) -> None:
    assert [int(row["seq"]) for row in rows(path)] == [row["seq"] for row in walk(path)]


@pytest.mark.usefixtures("small_chunks")
def test_the_history_of_ratios_gives_the_newest_thousand_intervals() -> None:
    days = [
        f"2026-{month:02}-{day:02}T{hour:02}:00:00.000000Z"
        for month in (1, 2)
        for day in range(1, 26)
        for hour in range(24)
    ]
    stored(*(ratio(timestamp=time) for time in days), now=datetime(2026, 3, 1, tzinfo=UTC))
    found = [row["timestamp"] for row in rows("/long-short-ratios/history?coin=BTC")]
    assert found == days[:-1_001:-1]
