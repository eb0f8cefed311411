"""What each filter of the transactions and positions finds, and what it refuses."""

import pytest

from hyperwatch.tests.api_client import Finds, check, check_refused
from realtime.tests.builders import OTHER_WALLET, WALLET, position, position_summary, stored, transaction
from transactions.filters import PositionFilter, TransactionFilter

EIGHT, NINE, TEN = (f"2026-01-10T{hour}:00:00Z" for hour in ("08", "09", "10"))
ONE, TWO = "0x" + "1f" * 32, "0x" + "2f" * 32

LIST = [
    Finds(TransactionFilter, "user_address", f"/transactions?user_address={OTHER_WALLET}", [2]),
    Finds(TransactionFilter, "coin", "/transactions?coin=ETH,@107", [3, 2]),
    Finds(TransactionFilter, "coin", "/transactions?coin=NEVER", []),
    Finds(TransactionFilter, "side", "/transactions?side=OPEN", [3]),
    Finds(TransactionFilter, "tx_type", "/transactions?tx_type=DEPOSIT", [2]),
    Finds(TransactionFilter, "tx_hash", f"/transactions?tx_hash={ONE.replace('f', 'F')}", [3, 1]),
    Finds(TransactionFilter, "start_time", f"/transactions?start_time={NINE}", [3, 2]),
    Finds(TransactionFilter, "end_time", f"/transactions?end_time={NINE}", [1]),
    Finds(TransactionFilter, "end_time", f"/transactions?side=LONG&start_time={EIGHT}&end_time={TEN}", [2, 1]),
]
HELD = [
    Finds(PositionFilter, "user_address", f"/positions?user_address={OTHER_WALLET}", ["ETH"]),
    Finds(PositionFilter, "coin", "/positions?coin=btc", ["BTC"]),
    Finds(PositionFilter, "coin", f"/positions?coin=btc,eth&user_address={WALLET}", ["BTC"]),
    Finds(PositionFilter, "coin", "/positions?coin=NEVER", []),
]
CASES = [*LIST, *HELD]


@pytest.mark.django_db(transaction=True)
def test_each_filter_finds_what_it_says() -> None:
    stored(
        transaction(block_timestamp=EIGHT, tx_hash=ONE),
        transaction(block_timestamp=NINE, tx_hash=TWO, coin="ETH", user_address=OTHER_WALLET, tx_type="DEPOSIT"),
        transaction(block_timestamp=TEN, tx_hash=ONE, coin="@107", side="OPEN"),
        position_summary("BTC", positions=[position()]),
        position_summary("ETH", positions=[position(user_address=OTHER_WALLET)]),
    )
    check(LIST, lambda data: [row["seq"] for row in data["items"]])
    check(HELD, lambda data: [row["coin"] for row in data["positions"]])


@pytest.mark.django_db
def test_a_value_that_cannot_be_is_refused_by_name() -> None:
    check_refused(
        ("/transactions?side=UP", "side", "LONG, SHORT, OPEN or CLOSE"),
        ("/transactions?tx_type=GIFT", "tx_type", "ORDER, LIQUIDATION, TRANSFER, DEPOSIT or WITHDRAW"),
        ("/transactions?tx_hash=0x12", "tx_hash", "0x and 64 hex digits"),
        ("/transactions/0x12", "tx_hash", "0x and 64 hex digits"),
        ("/positions?user_address=me", "user_address", "0x and 40 hex digits"),
        ("/positions?coin=BTC ETH", "coin", "coins"),
    )
