"""The whales and their activities as rest.md documents them."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from hyperwatch.tests.api_client import ask, authorization, content, download, get, write
from realtime.tests import builders
from realtime.tests.builders import HASH, TIME, WALLET, stored
from whales.models import WhaleWatch

pytestmark = pytest.mark.django_db(transaction=True)

MIXED = "0x" + "Aa" * 20


def a_whale(**fields: Any) -> dict[str, Any]:
    whale: dict[str, Any] = write("POST", "/whales", {"wallet_address": WALLET, **fields})["data"]
    return whale


def test_a_wallet_is_watched_changed_and_watched_no_more() -> None:
    whale = write("POST", "/whales", {"wallet_address": MIXED, "alias": "Fund 🐋", "description": "x" * 5_000})["data"]
    assert whale["wallet_address"] == MIXED.lower()
    assert whale["is_active"] is True
    assert whale["created_at"].endswith("Z")
    assert set(whale) == {"id", "wallet_address", "alias", "description", "is_active", "created_at"}
    path = f"/whales/{whale['id']}"
    assert get(path) == whale
    assert get("/whales")["whales"] == [whale]
    changed = write("PATCH", path, {"alias": "", "is_active": False})["data"]
    assert changed == {**whale, "alias": "", "is_active": False}
    assert write("DELETE", path)["data"] == changed
    ask(path, 404)


def test_a_wallet_is_watched_once_in_whatever_case() -> None:
    a_whale(wallet_address=MIXED)
    returned = write("POST", "/whales", {"wallet_address": MIXED.lower()}, 409)
    assert returned["error"] == "this wallet is watched already"
    assert WhaleWatch.objects.count() == 1


def test_concurrent_watches_of_one_wallet_succeed_once() -> None:
    key: Any = authorization()

    def watch(_number: int) -> int:
        try:
            answer = Client().generic(
                "POST", "/api/v1/whales", f'{{"wallet_address": "{WALLET}"}}', "application/json", **key
            )
            return answer.status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(watch, range(8)))
    assert statuses == [200] + [409] * 7


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "wallet_address"),
        ({"wallet_address": None}, "wallet_address"),
        ({"wallet_address": WALLET + "0"}, "wallet_address"),
        ({"wallet_address": WALLET[:-1]}, "wallet_address"),
        ({"wallet_address": ["a"]}, "wallet_address"),
        ({"wallet_address": WALLET, "alias": "a" * 101}, "alias"),
        ({"wallet_address": WALLET, "alias": "a\0b"}, "alias"),
        ({"wallet_address": WALLET, "alias": "\ud800"}, "alias"),
        ({"wallet_address": WALLET, "description": {}}, "description"),
        ({"wallet_address": WALLET, "is_active": "perhaps"}, "is_active"),
        ({"wallet_address": WALLET, "aliass": "Fund"}, "aliass"),
        ({"wallet_address": WALLET, "\ud800": 1}, "?"),
        ([], "non_field_errors"),
    ],
)
def test_invalid_body_is_rejected_naming_the_field(body: Any, field: str) -> None:
    returned = write("POST", "/whales", body, 400)
    assert list(returned["details"]) == [field]
    assert not WhaleWatch.objects.exists()


def test_misspelt_field_is_rejected_with_valid_names() -> None:
    path = f"/whales/{a_whale()['id']}"
    returned = write("PATCH", path, {"is_activ": False}, 400)
    assert returned["error"] == (
        "is_activ is unknown (did you mean is_active?); accepted: wallet_address, alias, description and is_active"
    )
    assert get(path)["is_active"] is True


def test_whale_response_is_accepted_as_request() -> None:
    whale = a_whale()
    path = f"/whales/{whale['id']}"
    assert write("PATCH", path, {**whale, "alias": "Fund", "id": 7})["data"] == {**whale, "alias": "Fund"}


def test_the_wallet_of_a_whale_cannot_change() -> None:
    path = f"/whales/{a_whale()['id']}"
    returned = write("PATCH", path, {"wallet_address": MIXED, "alias": "other"}, 400)
    assert list(returned["details"]) == ["wallet_address"]
    assert get(path)["alias"] == ""
    assert (
        write("PATCH", path, {"wallet_address": WALLET.upper().replace("0X", "0x"), "alias": "same"})["data"]["alias"]
        == "same"
    )


def test_activity_is_served_unchanged_and_outlives_watch() -> None:
    whale = a_whale(alias="Fund")
    stored(builders.transaction())
    write("PATCH", f"/whales/{whale['id']}", {"alias": "Renamed"})
    write("DELETE", f"/whales/{whale['id']}")
    data = get(f"/whales/{whale['id']}/activities")
    assert data["head"] == 1
    assert data["items"] == [
        {
            "seq": 1,
            "id": 1,
            "whale_id": whale["id"],
            "wallet_address": WALLET,
            "alias": "Fund",
            "activity_type": "OPEN",
            "tx_hash": HASH,
            "coin": "BTC",
            "size": "0.50000000",
            "value_usd": "22500.25000000",
            "timestamp": TIME,
            "details": {"side": "LONG", "price": "45000.50000000", "dir": "Open Long"},
        }
    ]


def test_whale_without_activities_differs_from_unknown_whale() -> None:
    assert get(f"/whales/{a_whale()['id']}/activities")["items"] == []
    ask("/whales/999999/activities", 404)
    write("PATCH", "/whales/999999", {}, 404)
    write("DELETE", "/whales/999999", None, 404)


def test_a_whale_is_replaced_by_nobody() -> None:
    write("PUT", f"/whales/{a_whale()['id']}", {"wallet_address": MIXED}, 405)


def test_whale_detail_ignores_list_filters() -> None:
    path = f"/whales/{a_whale()['id']}"
    assert get(path)["is_active"] is True
    assert ask(f"{path}?is_active=true", 400)["error"] == "is_active is unknown; accepted: format"


def test_of_two_changes_at_once_neither_is_lost() -> None:
    path = f"/whales/{a_whale()['id']}"

    def describe() -> None:
        try:
            write("PATCH", path, {"description": "second"})
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            WhaleWatch.objects.update(alias="first")
            change = pool.submit(describe)
            wait_until_one_waits()
        change.result(timeout=10)
    whale = get(path)
    assert (whale["alias"], whale["description"]) == ("first", "second")


def wait_until_one_waits() -> None:
    for _ in range(1_000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_browsable_form_is_prefilled_with_whale() -> None:
    page = Client().get("/api/v1/whales", HTTP_ACCEPT="text/html", **authorization())  # type: ignore[arg-type]
    assert "&quot;is_active&quot;: true" in page.content.decode()


def test_whales_are_paged_by_id() -> None:
    WhaleWatch.objects.bulk_create(WhaleWatch(wallet_address=f"0x{number:040x}") for number in range(25))
    first, second = get("/whales"), get("/whales?page=2&is_active=true")
    assert [len(data["whales"]) for data in (first, second)] == [20, 5]
    ids = [whale["id"] for data in (first, second) for whale in data["whales"]]
    assert ids == sorted(ids)
    pagination = {"page": 2, "page_size": 20, "total": 25, "total_pages": 2, "total_exact": True}
    assert second["pagination"] == pagination
    assert content(download("/whales")).count("0x") == 25
    assert "past the end" in ask("/whales?page=3", 404)["error"]
    assert "CSV" in ask("/whales?page=1&format=csv", 400)["error"]


def test_null_in_a_body_is_the_same_as_missing() -> None:
    whale = a_whale(alias=None, description=None, is_active=None)
    assert (whale["alias"], whale["description"], whale["is_active"]) == ("", "", True)
    changed = write("PATCH", f"/whales/{whale['id']}", {"alias": "Fund", "is_active": None})["data"]
    assert changed == {**whale, "alias": "Fund"}
    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", whale["created_at"])
