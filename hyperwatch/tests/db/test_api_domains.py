"""Every domain tests each of its filters."""

from importlib import import_module

import pytest
from django.conf import settings

from hyperwatch.api.filters import StrictFilterSet

PAGING = {"page", "page_size"}


@pytest.mark.parametrize("room", settings.DOMAINS)
def test_every_filter_of_a_room_has_a_test(room: str) -> None:
    filters = import_module(f"{room}.filters")
    sets = [kind for kind in StrictFilterSet.__subclasses__() if kind.__module__ == filters.__name__]
    there_are = {(kind.__name__, name) for kind in sets for name in kind.base_filters if name not in PAGING}
    cases = import_module(f"{room}.tests.db.test_filters").CASES
    tested = {(case.filterset.__name__, case.parameter) for case in cases}
    assert there_are - tested == set()
    assert tested - there_are == set()
