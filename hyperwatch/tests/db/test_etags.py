"""ETags: a matching one gets a 304, and a frequent response is built once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hyperwatch.api import clock
from realtime.models import Epoch
from realtime.storage.retention import prune
from realtime.streams import get_stream
from realtime.tests.builders import WALLET, liquidation, liquidation_map, ratio, stored, transaction
from whales.models import WhaleWatch

pytestmark = pytest.mark.django_db(transaction=True)

API = "/api/v1"
RECENT = f"{API}/liquidations/recent"
KEPT = [RECENT, f"{API}/liquidations/stats", f"{API}/long-short-ratios/current", f"{API}/liquidation-map?coin=BTC"]


def store(tid: int) -> None:
    stored(liquidation(raw_data={"tid": tid}), ratio(timestamp=f"2026-01-10T10:{tid:02}:00Z"))
    stored(liquidation_map(timestamp=f"2026-01-10T10:{tid:02}:00Z"))


def queries(path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert Client().get(path).status_code == 200
    return sum("SELECT" in query["sql"] for query in captured.captured_queries)


def body(answer: Any) -> dict[str, Any]:
    returned: dict[str, Any] = answer.json()
    assert returned.pop("timestamp")
    return returned


@pytest.mark.parametrize("path", [*KEPT, f"{API}/liquidations?page=1", f"{API}/long-short-ratios/history?coin=BTC"])
def test_matching_etag_gets_304_until_stream_advances(path: str) -> None:
    store(1)
    first = Client().get(path)
    again = Client().get(path, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert first["Cache-Control"] == "no-cache"
    store(2)
    moved = Client().get(path, headers={"If-None-Match": first["ETag"]})
    assert (moved.status_code, moved["ETag"] == first["ETag"]) == (200, False)


@pytest.mark.parametrize("path", KEPT)
def test_frequent_response_is_built_once_and_identical(path: str) -> None:
    store(1)
    made = Client().get(path)
    assert queries(path) == 1
    retained = Client().get(path)
    assert body(retained)["data"]["head"] == body(made)["data"]["head"] == 1
    store(2)
    assert body(Client().get(path))["data"]["head"] == 2
    assert queries(path) == 1


def test_cached_response_has_current_time_and_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    stored(ratio(timestamp="2026-01-10T10:30:00Z"), ratio(coin="ETH", timestamp="2026-01-10T10:29:59.5Z"))
    for later in (10, 70):
        moment = datetime(2026, 1, 10, 10, 30, tzinfo=UTC) + timedelta(seconds=later)
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        returned = Client().get(f"{API}/long-short-ratios/current").json()
        assert returned["timestamp"] == moment.isoformat().replace("+00:00", "Z")
        assert [ratio["age_seconds"] for ratio in returned["data"]["ratios"]] == [later, later + 0.5]


def test_another_question_and_another_life_have_other_versions() -> None:
    store(1)
    tags = {Client().get(f"{RECENT}?limit={limit}")["ETag"] for limit in (1, 2)}
    Epoch.objects.update(value="another")
    tags |= {Client().get(f"{RECENT}?limit={limit}")["ETag"] for limit in (1, 2)}
    assert len(tags) == 4
    assert body(Client().get(f"{RECENT}?limit=1"))["data"]["epoch"] == "another"


def test_what_was_pruned_is_in_no_kept_answer() -> None:
    store(1)
    store(2)
    assert len(body(Client().get(RECENT))["data"]["liquidations"]) == 2
    assert [pruned.rows for pruned in prune(get_stream("liquidations"), datetime.now(UTC))] == [2]
    assert body(Client().get(RECENT))["data"]["liquidations"] == []


def test_deleted_whales_activities_are_not_served_from_cache() -> None:
    whale = WhaleWatch.objects.create(wallet_address=WALLET)
    path = f"{API}/whales/{whale.pk}/activities"
    tag = Client().get(path)["ETag"]
    whale.delete()
    assert Client().get(path, headers={"If-None-Match": tag}).status_code == 404
    other = WhaleWatch.objects.create(wallet_address=WALLET)
    stored(transaction(raw_data={"tid": 1, "dir": "Open Long"}))
    assert len(body(Client().get(f"{API}/whales/{other.pk}/activities"))["data"]["items"]) == 1


def test_browsable_page_has_no_etag(admin_client: Client) -> None:
    store(1)
    for client in (Client(), admin_client):
        assert client.get(RECENT)["ETag"]
        assert "ETag" not in client.get(RECENT, headers={"Accept": "text/html"})


def test_an_error_has_no_version_and_is_not_kept() -> None:
    answer = Client().get(f"{API}/liquidation-map?coin=BTC")
    assert (answer.status_code, answer.has_header("ETag")) == (404, False)
    store(1)
    assert Client().get(f"{API}/liquidation-map?coin=BTC").status_code == 200
