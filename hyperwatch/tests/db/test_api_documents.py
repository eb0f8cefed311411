"""The OpenAPI document and the pages: complete, without a warning, and without the network."""

import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from hyperwatch.tests.api_client import ask, authorization, write
from realtime.tests.builders import WALLET, liquidation, stored
from whales.models import WhaleWatch

PATHS = {
    "/api/v1/coins": {"get"},
    "/api/v1/liquidation-map": {"get"},
    "/api/v1/liquidations": {"get"},
    "/api/v1/liquidations/recent": {"get"},
    "/api/v1/liquidations/stats": {"get"},
    "/api/v1/long-short-ratios/current": {"get"},
    "/api/v1/long-short-ratios/history": {"get"},
    "/api/v1/positions": {"get"},
    "/api/v1/transactions": {"get"},
    "/api/v1/transactions/{tx_hash}": {"get"},
    "/api/v1/whales": {"get", "post"},
    "/api/v1/whales/{whale_id}": {"get", "patch", "delete"},
    "/api/v1/whales/{whale_id}/activities": {"get"},
}


@pytest.fixture(scope="module")
def document() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


def test_the_document_is_valid_and_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True)
    assert "openapi: 3" in capsys.readouterr().out


def test_openapi_paths_equal_contract_endpoints(document: Any) -> None:
    returned = {path: set(operations) for path, operations in document["paths"].items()}
    assert returned == PATHS


def test_every_operation_tells_its_envelope_and_its_errors(document: Any) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            returned = set(operation["responses"])
            assert {"200", "400", "401", "429", "500", "503"} <= returned, path
            assert ("403" in returned) == (method != "get"), path
            assert {"413", "415"} <= returned if method in ("post", "patch") else not {"413", "415"} & returned
            assert ("409" in returned) == (method == "post")
            assert ("404" in returned) == ("{" in path or "cursor" in str(operation) or path.endswith("map")), path
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert set(schema["properties"]) == {"code", "message", "data", "timestamp"}


LISTS = [
    "coins",
    "liquidations",
    "liquidations/recent",
    "long-short-ratios/current",
    "long-short-ratios/history",
    "positions",
    "transactions",
    "whales",
    "whales/{whale_id}/activities",
]


def test_openapi_lists_offer_csv_and_others_do_not(document: Any) -> None:
    returned = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            success = operation["responses"]["200"]
            formats = [one["schema"]["enum"] for one in operation.get("parameters", []) if one["name"] == "format"]
            assert formats == ([["json", "csv"]] if "text/csv" in success["content"] else []), path
            assert ("X-Hyperwatch-Head" in success["headers"]) == bool(formats)
            if formats:
                returned[path.removeprefix("/api/v1/")] = success["content"]["text/csv"]["schema"]
            assert not formats or method == "get"
    assert sorted(returned) == LISTS
    assert {schema["type"] for schema in returned.values()} == {"string"}
    assert "`id,wallet_address,alias,description,is_active,created_at`" in returned["whales"]["description"]


def test_every_parameter_says_what_it_takes(document: Any) -> None:
    parameters = [returned for operations in document["paths"].values() for returned in _parameters(operations)]
    assert len(parameters) > 40
    for parameter in parameters:
        assert parameter["schema"].get("type"), parameter
        assert parameter.get("description"), parameter


def _parameters(operations: Any) -> list[Any]:
    return [returned for operation in operations.values() for returned in operation.get("parameters", [])]


def test_reads_need_no_key_and_writes_need_one(document: Any) -> None:
    whales = document["paths"]["/api/v1/whales"]
    assert {} in whales["get"]["security"]
    assert whales["post"]["security"] == [{"ApiKey": []}, {"cookieAuth": []}]


@pytest.mark.django_db
def test_undocumented_parameter_is_rejected_with_documented_names(document: Any) -> None:
    for path, operations in document["paths"].items():
        returned = [
            parameter["name"] for parameter in operations["get"].get("parameters", []) if parameter["in"] == "query"
        ]
        place = path.removeprefix("/api/v1").format(tx_hash="0x" + "e9" * 32, whale_id=1)
        answer = ask(f"{place}?cion=BTC", 400)
        start, _, accepted = answer["error"].partition("; accepted: ")
        known = re.split(", | and ", accepted)
        assert start == "cion is unknown" + (" (did you mean coin?)" if "coin" in known else ""), path
        assert sorted(known) == sorted({*returned, "format"}), path
        assert answer["details"] == {"cion": [answer["error"]]}


@pytest.mark.django_db
def test_browsable_write_accepts_list_filters_and_rejects_others() -> None:
    write("POST", "/whales?format=json&is_active=true", {"wallet_address": WALLET})
    assert write("POST", "/whales?alias=x", {"wallet_address": WALLET}, 400)["details"].keys() == {"alias"}


@pytest.mark.django_db
def test_error_text_truncates_client_input() -> None:
    returned = ask("/coins?" + "&".join(f"{number}{'x' * 300}=1" for number in range(30)), 400)
    assert len(returned["details"]) == 10
    assert all(len(name) + len(reason) < 200 for name, (reason,) in returned["details"].items())


# A link that a person may follow.
OURS = "https://www.django-rest-framework.org"
PAGES = ["/", "/docs", "/docs/ws", "/redoc", "/api/v1/liquidations", "/api/v1/whales", "/api/v1/nothing"]
ELSEWHERE = re.compile(r"""(?:src|href|url)\s*[=:(]\s*["']?(?:https?:)?//[^"'\s)]+""")


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_nothing_from_elsewhere(path: str) -> None:
    page = Client().get(path, HTTP_ACCEPT="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page["Content-Type"].startswith("text/html")
    text = page.content.decode()
    assert [link for link in ELSEWHERE.findall(text) if "//testserver/" not in link and OURS not in link] == []
    for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
        assert Client().get(asset).status_code == 200, asset


@pytest.mark.django_db(transaction=True)
def test_browsable_page_shows_envelope_filters_and_pages() -> None:
    stored(*(liquidation(raw_data={"tid": tid}) for tid in range(30)))
    page = Client().get("/api/v1/liquidations?coin=btc", HTTP_ACCEPT="text/html").content.decode()
    assert "&quot;message&quot;: &quot;success&quot;" in page
    assert 'name="min_value_usd"' in page
    assert "NotFoundView" not in page
    refused = Client().get("/api/v1/liquidations?side=UP&format=api")
    assert refused.status_code == 400
    assert "side takes LONG or SHORT" in refused.content.decode()


@pytest.mark.django_db
def test_browsable_page_with_key_shows_whale_form() -> None:
    whale = WhaleWatch.objects.create(wallet_address=WALLET)
    for path in ("/api/v1/whales", f"/api/v1/whales/{whale.pk}"):
        page = Client().get(path, HTTP_ACCEPT="text/html", **authorization())  # type: ignore[arg-type]
        assert b"wallet_address" in page.content


def test_schema_is_json_where_requested() -> None:
    for path, headers in (
        ("/api/schema", {"Accept": "application/json"}),
        ("/api/schema?format=json", {}),
        ("/api/schema?format=json", {"Accept": "text/html"}),
    ):
        response = Client().get(path, headers=headers)
        assert response.json()["openapi"].startswith("3."), (path, headers)
    assert Client().get("/api/schema").content.startswith(b"openapi: 3.")
