"""The start page where reading needs a key."""

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.mark.django_db
@pytest.mark.parametrize("is_open", [True, False])
def test_where_reading_needs_a_key_the_page_says_so_and_asks_for_nothing(settings: Settings, is_open: bool) -> None:
    settings.READS_OPEN = is_open
    text = Client().get("/", headers=BROWSER).content.decode()
    assert ("Reading needs a key here" in text) is not is_open
    assert ("start.js" in text) is is_open
    assert ("by their own time" in text) is is_open
