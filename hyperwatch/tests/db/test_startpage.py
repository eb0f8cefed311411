"""The start page where reading needs a key."""

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.mark.django_db
@pytest.mark.parametrize("is_open", [True, False])
def test_start_page_without_open_reads_names_key(settings: Settings, is_open: bool) -> None:
    settings.ALLOW_ANONYMOUS_READS = is_open
    text = Client().get("/", headers=BROWSER).content.decode()
    assert ("Reads need an API key" in text) is not is_open
    assert ("start.js" in text) is is_open
    assert ("by block time" in text) is is_open
