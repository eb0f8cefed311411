"""How CSV is requested, and which parameters it rejects, in the envelope."""

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from hyperwatch.tests.api_client import ask, authorization, check_refused, content, download, with_format
from realtime.rest import csv_export
from realtime.tests.builders import HASH, stored, transaction
from transactions.serializers import TransactionSerializer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("place", ["page=1", "page_size=100", "cursor=", "cursor=x", "page=2&page_size=5"])
@pytest.mark.parametrize("path", ["/liquidations", "/transactions", "/long-short-ratios/history?coin=BTC"])
def test_csv_rejects_paging_parameters(path: str, place: str) -> None:
    envelope = ask(with_format(path).removeprefix("/api/v1") + f"&{place}", 400)
    names = [part.partition("=")[0] for part in place.split("&")]
    assert sorted(envelope["details"]) == sorted(names)
    assert "is not accepted for CSV, which returns the whole list" in envelope["error"]


def test_csv_of_non_list_is_rejected_with_alternatives() -> None:
    no_lists = ["/liquidations/stats", "/liquidation-map?coin=BTC", f"/transactions/{HASH}", "/whales/7"]
    check_refused(
        *((with_format(path).removeprefix("/api/v1"), "format", "json or api") for path in no_lists),
        ("/liquidations?format=xml", "format", "json, api or csv"),
    )
    ask("/whales?format=csv", 400, "POST", **authorization())
    # A client that only states a preference gets the available format.
    ask("/liquidations/stats", 200, HTTP_ACCEPT="text/csv")


@pytest.mark.parametrize("accept", ["text/csv", "text/csv; header=present"])
def test_an_accept_header_asks_for_it_too(accept: str) -> None:
    response = Client().get("/api/v1/liquidations", HTTP_ACCEPT=accept)
    assert response["Content-Type"].startswith("text/csv")
    assert "Accept" in response["Vary"]
    assert list(ask("/liquidations?page=1", 400, HTTP_ACCEPT=accept)["details"]) == ["page"]


def test_errors_are_enveloped_as_everywhere(settings: Settings) -> None:
    assert ask("/liquidations?format=csv&side=UP", 400)["error"] == "side takes LONG or SHORT"
    assert ask("/liquidations?format=csv&cion=BTC", 400)["details"].keys() == {"cion"}
    assert ask("/long-short-ratios/history?format=csv", 400)["details"].keys() == {"coin"}
    ask("/whales/9/activities?format=csv", 404)
    settings.ALLOW_ANONYMOUS_READS = False
    for path in ("/liquidations?format=csv", "/whales?format=csv"):
        ask(path, 401)
    assert Client().get("/api/v1/liquidations?format=csv", **authorization()).status_code == 200  # type: ignore[arg-type]


def test_it_counts_as_a_read(settings: Settings) -> None:
    settings.THROTTLE_READS = "2/day"
    cache.clear()
    assert [download("/liquidations")["X-RateLimit-Remaining"] for _ in range(2)] == ["1", "0"]
    ask("/liquidations?format=csv", 429)
    cache.clear()


@pytest.mark.parametrize("path", ["/liquidations", "/coins"])
def test_unavailable_database_returns_503_before_csv_starts(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    with monkeypatch.context() as unavailable:
        unavailable.setitem(connection.settings_dict, "HOST", "/nowhere")
        answer = Client(raise_request_exception=False).get(with_format(path))
    connection.close()
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/json")
    assert answer.json()["code"] == 503


def test_the_head_of_an_export_costs_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_export, "CHUNK_ROWS", 10)
    stored(*(transaction(raw_data={"tid": tid}) for tid in range(30)))
    with CaptureQueriesContext(connection) as queries:
        response = Client().head(with_format("/transactions"))
    assert response["X-Hyperwatch-Head"] == "30"
    assert content(response) == ""
    assert sum(query["sql"].startswith("SELECT") for query in queries.captured_queries) == 1
    assert content(download("/transactions")).splitlines()[0] == ",".join(TransactionSerializer.Meta.fields)


def test_browsable_page_offers_csv_for_lists_only() -> None:
    page = {path: Client().get(f"/api/v1{path}", HTTP_ACCEPT="text/html").content for path in ("/coins", "/nothing")}
    assert b"format=csv" in page["/coins"]
    assert b"format=csv" not in page["/nothing"]


def test_scripts_of_other_origins_may_read_the_head() -> None:
    exposed = Client().get(with_format("/liquidations"), HTTP_ORIGIN="https://example.org")
    assert {"X-Hyperwatch-Head", "X-Hyperwatch-Epoch"} <= set(exposed["Access-Control-Expose-Headers"].split(", "))
