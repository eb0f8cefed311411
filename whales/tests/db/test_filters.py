"""What each filter of the whales and their activities finds, and what it refuses."""

import pytest

from hyperwatch.tests.api_client import Finds, check, check_refused
from realtime.tests.builders import WALLET, liquidation, stored, transaction
from whales.filters import ActivityFilter, WhaleFilter
from whales.models import WhaleWatch

NINE, TEN = "2026-01-10T09:00:00.000000Z", "2026-01-10T10:00:00.000000Z"
PATH = "/whales/{whale}/activities"

WHALES = [
    Finds(WhaleFilter, "is_active", "/whales?is_active=true", ["on"]),
    Finds(WhaleFilter, "is_active", "/whales?is_active=false", ["off"]),
]
ACTIVITIES = [
    Finds(ActivityFilter, "activity_type", f"{PATH}?activity_type=OPEN", [1]),
    Finds(ActivityFilter, "activity_type", f"{PATH}?activity_type=LIQUIDATION", [2]),
    Finds(ActivityFilter, "activity_type", f"{PATH}?activity_type=LARGE_TRADE", []),
    Finds(ActivityFilter, "start_time", f"{PATH}?start_time={TEN}", [2]),
    Finds(ActivityFilter, "end_time", f"{PATH}?end_time={TEN}", [1]),
]
CASES = [*WHALES, *ACTIVITIES]


@pytest.mark.django_db(transaction=True)
def test_each_filter_finds_what_it_says() -> None:
    whale = WhaleWatch.objects.create(wallet_address=WALLET, alias="on")
    WhaleWatch.objects.create(wallet_address="0x" + "9" * 40, alias="off", is_active=False)
    stored(transaction(block_timestamp=NINE))
    stored(liquidation(block_timestamp=TEN))
    check(WHALES, lambda data: [found["alias"] for found in data["whales"]])
    of_whale = [case._replace(path=case.path.format(whale=whale.pk)) for case in ACTIVITIES]
    check(of_whale, lambda data: [found["seq"] for found in data["items"]])


@pytest.mark.django_db
def test_a_value_that_cannot_be_is_refused_by_name() -> None:
    path = PATH.format(whale=WhaleWatch.objects.create(wallet_address=WALLET).pk)
    check_refused(
        ("/whales?is_active=maybe", "is_active", "true or false"),
        ("/whales/0", "whale_id", "a whole number from 1"),
        ("/whales/all", "whale_id", "a whole number from 1"),
        (f"/whales/{2**63}", "whale_id", "a whole number from 1"),
        (f"/whales/{'9' * 5000}", "whale_id", "a whole number from 1"),
        ("/whales/-1/activities", "whale_id", "a whole number from 1"),
        (
            f"{path}?activity_type=NAP",
            "activity_type",
            "OPEN, CLOSE, LIQUIDATION or LARGE_TRADE",
        ),
        (f"{path}?start_time=soon", "start_time", "an ISO 8601 time"),
    )
