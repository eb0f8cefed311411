"""Totals and sums over many random windows."""

import pytest

from realtime.tests.db.test_counters import check_statistics

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("seed", range(2))
def test_statistics_over_random_windows_equal_rows(seed: int) -> None:
    check_statistics(seed, queries=12)
