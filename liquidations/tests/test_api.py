import pytest

from hyperwatch.tests.asking import get
from realtime.tests.builders import TIME, liquidation, stored

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_empty_database_answers_an_empty_page() -> None:
    data = get("/liquidations")
    assert data["items"] == []
    assert data["head"] == 0
    assert data["pagination"] == {
        "page": 1,
        "page_size": 20,
        "total": 0,
        "total_pages": 0,
        "total_exact": True,
    }


def test_a_liquidation_goes_out_as_it_was_stored() -> None:
    stored(liquidation(liquidation_price="123456789.12345678"))
    data = get("/liquidations")
    assert data["head"] == 1
    assert data["epoch"]
    assert data["items"][0]["liquidation_price"] == "123456789.12345678"
    assert data["items"][0]["block_timestamp"] == TIME
