"""Views on a stream: an answer is made from the stream as far as its head, and says so.

The head is read first. So a client that subscribes with `since: head` goes on exactly from the answer.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from hyperwatch.api.filters import ParameterFilter, Query
from hyperwatch.api.pagination import PageOrCursor, Snapshot
from hyperwatch.api.parameters import COINS, ONE_COIN, Parameter
from hyperwatch.api.views import ApiViewMixin
from realtime import heads
from realtime.columns import reader
from realtime.streams import Row, get_stream


class StreamViewSet(ApiViewMixin, GenericViewSet[Any]):
    """Reads one stream. With DRF's ListModelMixin it has a list, by page and by cursor.

    `exact_by` are the filters under which the whole total is cheap to count; None says that it never is.
    """

    stream: ClassVar[str]
    exact_by: ClassVar[frozenset[str] | None] = frozenset({"coin", "side", "start_time", "end_time"})

    @cached_property
    def snapshot(self) -> Snapshot:
        now = Snapshot(*heads.read_snapshot(self.stream))
        return self.paginator.pin(self.request, now) if isinstance(self.paginator, PageOrCursor) else now

    def get_queryset(self) -> QuerySet[Any]:
        return get_stream(self.stream).model._default_manager.filter(id__lte=self.snapshot.head)

    def rows(self, facts: QuerySet[Any] | None = None) -> list[Row]:
        """`facts`, or those that the client asks for, as they go out."""
        asked = self.filter_queryset(self.get_queryset()) if facts is None else facts
        return self._finished(self._columns(asked))

    def paginate_queryset(self, queryset: Any) -> list[Row]:
        return self._finished(super().paginate_queryset(self._columns(queryset)) or [])

    def get_paginated_response(self, data: Any) -> Response:
        return self.answer(**super().get_paginated_response(data).data)

    def answer(self, **data: Any) -> Response:
        return Response({**data, **self.snapshot._asdict()})

    def _columns(self, queryset: Any) -> Any:
        return reader(self.stream).select(queryset)

    def _finished(self, page: Iterable[Any]) -> list[Row]:
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
