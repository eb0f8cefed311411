"""The operators' desk for the stream: dead letters, and everything else to read."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hyperwatch.admin_base import MAX_COUNT, ReadOnlyAdmin
from hyperwatch.harness.kafka import MockKafka
from realtime.kafka.consumer import KafkaConsumer
from realtime.models import DeadLetter
from realtime.tests import builders
from realtime.tests.builders import message, stored
from whales.models import WhaleWatch

pytestmark = pytest.mark.django_db(transaction=True)

LETTERS = "/admin/realtime/deadletter/"


@pytest.fixture
def browser() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator", "", "a long password"))
    return client


def readable() -> list[str]:
    models = [model for model, page in admin.site._registry.items() if isinstance(page, ReadOnlyAdmin)]
    return sorted(f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in models)


@pytest.mark.parametrize("path", readable())
def test_everything_is_readable_searchable_and_not_to_be_changed(browser: Client, path: str) -> None:
    WhaleWatch.objects.create(wallet_address=builders.WALLET)
    stored(builders.transaction(), builders.liquidation(), builders.ratio(), builders.liquidation_map())
    stored(builders.position_summary(), message("hyperliquid.transactions", b"no json"))
    assert browser.get(path).status_code == 200
    assert browser.get(f"{path}?q=BTC").status_code == 200
    assert browser.get(f"{path}add/").status_code == 403
    browser.post(path, {"action": "delete_selected", "_selected_action": list(range(1, 9)), "post": "yes"})
    assert "0 results" not in browser.get(path).content.decode()


@pytest.mark.parametrize(
    "path", ["liquidations/liquidation", "transactions/transaction", "transactions/position", "whales/whaleactivity"]
)
def test_a_list_has_room_for_what_matters(browser: Client, path: str) -> None:
    """Times with seconds; wallets short, with the whole address to search by; nothing beside the list but filters."""
    WhaleWatch.objects.create(wallet_address=builders.WALLET)
    stored(builders.transaction(), builders.liquidation(), builders.position_summary())
    text = browser.get(f"/admin/{path}/").content.decode()
    wallet = builders.WALLET
    assert "2026-01-10 10:30:00</td>" in text or "2026-01-10 10:30:00</a>" in text
    assert f'<a href="?q={wallet}" title="{wallet}">{wallet[:6]}…{wallet[-4:]}</a>' in text
    assert 'id="nav-sidebar"' not in text
    assert "0 results" not in browser.get(f"/admin/{path}/?q={wallet}").content.decode()


@pytest.mark.parametrize("path", ["/admin/liquidations/liquidation/", "/admin/transactions/transaction/"])
def test_no_list_counts_a_table_whole(browser: Client, path: str) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        browser.get(path)
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"].upper()]
    assert counts
    assert all(f"LIMIT {MAX_COUNT}" in sql for sql in counts)


def test_a_letter_is_shown_as_it_came(browser: Client) -> None:
    stored(message("hyperliquid.transactions", b'{"tx_hash": "<script>\xff'))
    letter = DeadLetter.objects.get()
    text = browser.get(f"{LETTERS}{letter.pk}/change/").content.decode()
    assert "NOT_JSON" in text
    assert "&lt;script&gt;\\xff" in text


def test_letters_are_sent_again_to_where_they_came_from(browser: Client, mock_kafka: MockKafka) -> None:
    stored(message("hyperliquid.transactions", b"no json", key="0xabc"))
    letter = DeadLetter.objects.get()
    answer = browser.post(LETTERS, {"action": "resend_letters", "_selected_action": [letter.pk]}, follow=True)
    assert "1 letters resent" in answer.content.decode()
    letter.refresh_from_db()
    assert letter.resent_at is not None
    consumer = KafkaConsumer()
    came = next(batch for _ in range(100) if (batch := consumer.read(10, 0.2)))
    consumer.close()
    assert [(one.topic, one.key, one.value) for one in came] == [("hyperliquid.transactions", b"0xabc", b"no json")]


def test_resend_without_kafka_reports_and_keeps_letter(browser: Client) -> None:
    stored(message("hyperliquid.transactions", b"no json"))
    letter = DeadLetter.objects.get()
    answer = browser.post(LETTERS, {"action": "resend_letters", "_selected_action": [letter.pk]}, follow=True)
    assert "Not resent" in answer.content.decode()
    letter.refresh_from_db()
    assert letter.resent_at is None
