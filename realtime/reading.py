"""Views on a stream: an answer is made from the stream as far as its head, and says so.

The head is read first. So a client that subscribes with `since: head` goes on exactly from the answer.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from hyperwatch.api.filters import ParameterFilter, Query
from hyperwatch.api.pagination import PageOrCursor, Snapshot
from hyperwatch.api.parameters import COINS, ONE_COIN, Parameter
from hyperwatch.api.views import ApiViewMixin
from realtime import heads
from realtime.columns import reader
from realtime.counters import Tally, Window, tallies
from realtime.streams import get_stream

# The filters under which the counters know the total.
COUNTED_BY = {"coin", "side", "start_time", "end_time"}


class StreamViewSet(ApiViewMixin, GenericViewSet[Any]):
    """Reads one stream. With DRF's ListModelMixin it has a list, by page and by cursor."""

    stream: ClassVar[str]

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """At one moment: what one query after the other would see at different heads must not be put together."""
        with heads.one_moment():
            return super().dispatch(request, *args, **kwargs)

    @cached_property
    def snapshot(self) -> Snapshot:
        now = Snapshot(*heads.read_snapshot(self.stream))
        return self.paginator.pin(self.request, now) if isinstance(self.paginator, PageOrCursor) else now

    def get_queryset(self) -> Query:
        return get_stream(self.stream).model._default_manager.filter(id__lte=self.snapshot.head)

    def asked(self) -> Query:
        """What the client asks for."""
        return self.filter_queryset(self.get_queryset())

    def rows(self, facts: Query = None) -> list[Any]:
        """Row structs as they go out: of `facts`, or of what the client asks for."""
        return self._finished(self._columns(self.asked() if facts is None else facts))

    def paginate_queryset(self, queryset: Any) -> list[Any]:
        return self._finished(super().paginate_queryset(self._columns(queryset)) or [])

    def get_paginated_response(self, data: Any) -> Response:
        return self.answer(**super().get_paginated_response(data).data)

    def tallies(self) -> list[Tally]:
        """How many there are of each coin and side of what is asked for, by counters; call it behind `asked`."""
        asked = self.parameters
        window = Window(asked.get("start_time"), asked.get("end_time"))
        return tallies(get_stream(self.stream), window, asked.get("coin"), asked.get("side"))

    def total(self) -> int | None:
        """How many rows are asked for, where the counters know; None where they do not."""
        given = {name for name, value in self.parameters.items() if value is not None}
        if get_stream(self.stream).counted is None or not given <= COUNTED_BY:
            return None
        return sum(tally.facts for tally in self.tallies())

    def answer(self, **data: Any) -> Response:
        return Response({**data, **self.snapshot._asdict()})

    def _columns(self, queryset: Query) -> Query:
        return reader(self.stream).select(queryset)

    def _finished(self, page: Iterable[Any]) -> list[Any]:
        return [reader(self.stream).row(values) for values in page]


class CoinsFilter(ParameterFilter):
    """One or several coins, in any case; a coin never seen matches nothing."""

    def __init__(self, parameter: Parameter[Any] = COINS, *, required: bool = False) -> None:
        super().__init__(parameter, "coin", required=required)

    def filter(self, queryset: Query, value: list[str] | None) -> Query:
        return queryset.filter(coin__in=heads.known_coins(value)) if value else queryset


class CoinFilter(CoinsFilter):
    """Exactly one coin, which must be given."""

    def __init__(self) -> None:
        super().__init__(ONE_COIN, required=True)
