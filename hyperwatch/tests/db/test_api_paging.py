"""Pages by number and by cursor, and the snapshot that an answer is made from."""

import base64
import itertools
import threading
from typing import Any

import msgspec
import pytest
from django.db import connection

from hyperwatch.api import pagination
from hyperwatch.tests.api_client import ask, content, download, get, walk
from realtime.models import Epoch
from realtime.rest import csv_export, stream_viewset
from realtime.tests.builders import liquidation, stored

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/liquidations"


def seqs(data: Any) -> list[int]:
    return [row["seq"] for row in data["items"]]


def store_many(first: int, last: int, **fields: Any) -> None:
    stored(*(liquidation(raw_data={"tid": tid}, **fields) for tid in range(first, last + 1)))


def test_pages_are_consecutive_and_last_may_be_short() -> None:
    store_many(1, 45)
    assert seqs(get(PATH)) == list(range(45, 25, -1))
    assert seqs(get(f"{PATH}?page=3")) == list(range(5, 0, -1))
    assert seqs(get(f"{PATH}?page=2&page_size=40")) == [5, 4, 3, 2, 1]
    returned = {"page": 3, "page_size": 20, "total": 45, "total_pages": 3, "total_exact": True}
    assert get(f"{PATH}?page=3")["pagination"] == returned


def test_a_page_past_the_end_is_not_found() -> None:
    store_many(1, 20)
    assert "past the end" in ask(f"{PATH}?page=2", 404)["error"]
    assert seqs(get(f"{PATH}?page=1"))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=one", "page"),
        ("page=1.5", "page"),
        ("page=%D9%A3", "page"),
        (f"page={10**30}", "page"),
        ("page=1&page=2", "page"),
        ("page_size=0", "page_size"),
        ("page_size=101", "page_size"),
        ("page_size=%00", "page_size"),
        ("cursor=&page_size=101", "page_size"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=%F0%9F%90%8B", "cursor"),
        ("cursor=" + "A" * 4_000, "cursor"),
        ("cursor=&cursor=", "cursor"),
    ],
)
def test_a_place_that_cannot_be_is_refused_by_name(query: str, name: str) -> None:
    assert list(ask(f"{PATH}?{query}", 400)["details"]) == [name]


def test_page_beyond_row_10000_points_to_cursor() -> None:
    assert "cursor" in ask(f"{PATH}?page=501", 400)["error"]
    assert "cursor" in ask(f"{PATH}?page=101&page_size=100", 400)["error"]
    ask(f"{PATH}?page=500", 404)


def test_total_is_exact_or_counted_to_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "MAX_OFFSET", 30)
    store_many(1, 31)
    cheap = get(f"{PATH}?coin=BTC&side=LONG&start_time=2020-01-01&end_time=2030-01-01")["pagination"]
    assert (cheap["total"], cheap["total_exact"]) == (31, True)
    cut = get(f"{PATH}?min_value_usd=1")["pagination"]
    assert (cut["total"], cut["total_exact"], cut["total_pages"]) == (30, False, 2)
    whole = get(f"{PATH}?max_value_usd=1")["pagination"]
    assert (whole["total"], whole["total_exact"]) == (0, True)


@pytest.mark.parametrize("looked_through", [3, 25, 100])
def test_frequent_value_is_found_in_order_anywhere(monkeypatch: pytest.MonkeyPatch, looked_through: int) -> None:
    """Among the newest, only in part, and not at all."""
    monkeypatch.setattr(stream_viewset, "MAX_OFFSET", 19)
    monkeypatch.setattr(stream_viewset, "MAX_SCANNED_ROWS", looked_through)
    for first, coin, value in (1, "BTC", 500), (11, "ETH", 50), (21, "ETH", 500), (31, "BTC", 50):
        store_many(first, first + 9, liquidation_value_usd=str(value), coin=coin)
    dear = [*range(30, 20, -1), *range(10, 0, -1)]
    params = f"{PATH}?min_value_usd=100&max_value_usd=1000"
    assert [seqs(get(f"{params}&page_size=8&page={page}")) for page in (1, 2, 3)] == [dear[:8], dear[8:16], dear[16:]]
    assert [row["seq"] for row in walk(params)] == dear
    assert [row["seq"] for row in walk(f"{params}&coin=ETH")] == dear[:10]
    recent = get(f"{PATH}/recent?min_value_usd=100&limit=12")["liquidations"]
    assert [row["seq"] for row in recent] == dear[:12]


def test_a_walk_gives_every_row_once_whatever_arrives_meanwhile() -> None:
    store_many(1, 30)
    first = get(f"{PATH}?cursor=&page_size=20")
    # Newer and older rows by their own time: neither may move the following pages.
    store_many(31, 40)
    store_many(41, 50, block_timestamp="2026-01-09T00:00:00Z")
    second = get(f"{PATH}?page_size=20&cursor={first['pagination']['next_cursor']}")
    assert seqs(first) + seqs(second) == list(range(30, 0, -1))
    assert second["pagination"] == {"next_cursor": None, "page_size": 20}
    assert first["head"] == second["head"] == 30
    assert first["epoch"] == second["epoch"]


def test_a_walk_crosses_rows_of_the_same_moment() -> None:
    store_many(1, 150)
    store_many(151, 230, block_timestamp="2026-01-10T10:29:59.999999Z")
    assert [row["seq"] for row in walk(PATH)] == [*range(150, 0, -1), *range(230, 150, -1)]


def test_a_walk_keeps_its_filters() -> None:
    store_many(1, 110)
    store_many(111, 120, coin="ETH")
    assert len(walk(f"{PATH}?coin=BTC")) == 110


def test_an_answer_is_of_one_moment_while_facts_arrive() -> None:
    """Rows, totals, sums and the head agree, though they are read one after the other."""
    stop = threading.Event()
    writer = threading.Thread(target=store_until, args=(stop,))
    writer.start()
    try:
        for _ in range(15):
            data = get(PATH)
            total = data["pagination"]["total"]
            assert (total, max(seqs(data), default=0)) == (data["head"], data["head"])
            stats = get(f"{PATH}/stats")
            assert stats["total_liquidations"] == stats["head"]
            recent = get(f"{PATH}/recent")
            assert max((row["seq"] for row in recent["liquidations"]), default=0) == recent["head"]
    finally:
        stop.set()
        writer.join()


def store_until(stop: threading.Event) -> None:
    """Later ones are later facts, so that the newest on the first page is the head."""
    try:
        for number in itertools.count():
            if stop.is_set():
                return
            time = f"2026-01-10T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
            stored(*(liquidation(raw_data={"tid": 7 * number + tid}, block_timestamp=time) for tid in range(7)))
    finally:
        connection.close()


def test_cursor_of_another_epoch_is_rejected() -> None:
    store_many(1, 30)
    cursor = get(f"{PATH}?cursor=")["pagination"]["next_cursor"]
    Epoch.objects.update(value="another")
    assert list(ask(f"{PATH}?cursor={cursor}", 400)["details"]) == ["cursor"]


@pytest.mark.parametrize(
    ("place", "value"),
    [(1, 31), (2, "never"), (2, "2026-01-10T10:00:00+23:59"), (2, "2026-01-10T10:00:00"), (3, 2**63)],
)
def test_a_cursor_that_was_tampered_with_is_refused(place: int, value: Any) -> None:
    store_many(1, 30)
    text = get(f"{PATH}?cursor=")["pagination"]["next_cursor"]
    parts = msgspec.msgpack.decode(base64.urlsafe_b64decode(text + "=="))
    parts[place] = value
    cursor = base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).rstrip(b"=").decode()
    assert list(ask(f"{PATH}?cursor={cursor}", 400)["details"]) == ["cursor"]


@pytest.mark.parametrize("form", ["json", "csv"])
def test_walk_by_side_returns_every_match_once(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_export, "CHUNK_ROWS", 3)
    for number in range(1, 16):
        # Five times of three rows each: pages end within a time.
        side, time = ("SHORT", "LONG")[number % 2], f"2026-01-10T10:3{number // 3}:00Z"
        store_many(number, number, side=side, block_timestamp=time)
    if form == "json":
        found = []
        data = get(f"{PATH}?page_size=3&side=SHORT&cursor=")
        while data["items"]:
            found += seqs(data)
            cursor = data["pagination"]["next_cursor"]
            data = get(f"{PATH}?page_size=3&side=SHORT&cursor={cursor}") if cursor else {"items": []}
    else:
        lines = content(download(f"{PATH}?side=SHORT")).splitlines()[1:]
        found = [int(line.split(",")[0]) for line in lines]
    assert found == [14, 12, 10, 8, 6, 4, 2]
