"""The operators' desk for whales, as a browser sees it."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from realtime.tests import builders
from realtime.tests.builders import OTHER_WALLET, WALLET, stored
from whales.models import WhaleWatch

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/whales/whalewatch/"


@pytest.fixture
def browser() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator", "", "a long password"))
    return client


def page(browser: Client, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def watch(wallet: str = WALLET, alias: str = "The one") -> WhaleWatch:
    return WhaleWatch.objects.create(wallet_address=wallet, alias=alias)


def test_added_whale_has_lowercase_address(browser: Client) -> None:
    form = {"wallet_address": WALLET.upper().replace("0X", "0x"), "alias": "New", "is_active": "on"}
    assert browser.post(f"{LIST}add/", form).status_code == 302
    assert list(WhaleWatch.objects.values_list("wallet_address", "alias", "is_active")) == [(WALLET, "New", True)]


@pytest.mark.parametrize("address", ["0x12", "nothing", "", WALLET])
def test_invalid_or_watched_address_is_reported(browser: Client, address: str) -> None:
    watch()
    answer = browser.post(f"{LIST}add/", {"wallet_address": address, "alias": "New"})
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert WhaleWatch.objects.count() == 1


def test_whales_are_found_by_alias_and_wallet(browser: Client) -> None:
    watch()
    watch(OTHER_WALLET, "Somebody else")
    for query in ("somebody", OTHER_WALLET[2:12]):
        text = page(browser, f"{LIST}?q={query}")
        assert OTHER_WALLET in text
        assert WALLET not in text


def test_whales_are_switched_off_and_on_in_bulk(browser: Client) -> None:
    ids = [watch().pk, watch(OTHER_WALLET).pk]
    for action, is_active in (("switch_off", False), ("switch_on", True)):
        browser.post(LIST, {"action": action, "_selected_action": ids})
        assert set(WhaleWatch.objects.values_list("is_active", flat=True)) == {is_active}


def test_whale_page_shows_its_latest_rows(browser: Client) -> None:
    whale = watch()
    stored(
        builders.transaction(raw_data={"tid": 1, "dir": "Open Long"}, coin="ETH"),
        builders.liquidation(raw_data={"tid": 2}, coin="SOL"),
        builders.transaction(raw_data={"tid": 3}, coin="DOGE", user_address=OTHER_WALLET),
    )
    text = page(browser, f"{LIST}{whale.pk}/change/")
    for shown in ("OPEN", "LIQUIDATION", "ORDER ETH LONG", "SOL LONG 22500.25000000 USD"):
        assert shown in text
    assert "DOGE" not in text
    assert "2026-01-10T10:30:00.000000Z" in page(browser, LIST)


def test_smallest_amounts_show_all_decimal_places(browser: Client) -> None:
    whale = watch()
    stored(
        builders.transaction(raw_data={"tid": 1, "dir": "Open Long"}, size="0.00000001", price="1"),
        builders.liquidation(raw_data={"tid": 2}, liquidation_value_usd="0.00000001"),
    )
    text = page(browser, f"{LIST}{whale.pk}/change/")
    assert "<td>0.00000001</td><td>0.00000001</td>" in text
    assert "ORDER BTC LONG 0.00000001" in text
    assert "BTC LONG 0.00000001 USD" in text
    assert "1E-8" not in text


def test_what_a_message_says_is_text_and_never_markup(browser: Client) -> None:
    whale = watch(alias="<script>alert(1)</script>")
    stored(builders.transaction(raw_data={"tid": 1, "dir": "Open <b>"}))
    for path in (LIST, f"{LIST}{whale.pk}/change/", "/admin/whales/whaleactivity/"):
        assert "<script>alert(1)" not in page(browser, path)


def test_the_wallet_of_a_watch_stays(browser: Client) -> None:
    whale = watch()
    browser.post(f"{LIST}{whale.pk}/change/", {"wallet_address": OTHER_WALLET, "alias": "Renamed", "is_active": "on"})
    whale.refresh_from_db()
    assert (whale.wallet_address, whale.alias) == (WALLET, "Renamed")
