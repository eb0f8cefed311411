"""Views on a stream: an answer is made from the stream as far as its head, and says so.

The head is read first. So a client that subscribes with `since: head` goes on exactly from the answer.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from hashlib import blake2b
from typing import Any, ClassVar, cast

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Func
from django.http import HttpResponse, HttpResponseNotModified
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from hyperwatch.api import clock, csv_table
from hyperwatch.api.filters import ParameterFilter, Query
from hyperwatch.api.pagination import MAX_OFFSET, HybridPagination, ReadPoint
from hyperwatch.api.parameters import COINS, ONE_COIN, Parameter
from hyperwatch.api.renderers import BrowsableEnvelopeRenderer, EnvelopeRenderer
from hyperwatch.api.views import ApiViewMixin
from hyperwatch.cache.response_cache import CachedResponse, CacheKey, response_cache
from hyperwatch.concurrency.after_response import after_response
from hyperwatch.metrics import RESPONSE_CACHE_HITS, RESPONSE_CACHE_MISSES
from realtime.models import StreamHead
from realtime.rest.csv_export import Export
from realtime.rest.queries import fetch, fetch_among_latest, fetch_by_coin, to_structs
from realtime.storage import sequences
from realtime.storage.copy_format import row_reader
from realtime.storage.rollups import TimeRange, Totals, count, totals
from realtime.streams import get_stream

# With several coins the newest of each are merged, up to so many rows: no index has several coins in order of time.
MAX_MERGED_ROWS = 50_000
# So many of the newest rows are looked through for values that many have.
MAX_SCANNED_ROWS = 20_000
# The filters under which the counters know the total.
COUNTED_BY = {"coin", "side", "start_time", "end_time"}


class ResponseReady(Exception):
    """The answer is there already."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__()
        self.response = response


class StreamViewSet(ApiViewMixin, GenericViewSet[Any]):
    """Reads one stream. With DRF's ListModelMixin it has a list, by page, by cursor, and whole as CSV.

    Its answers tell their version (ETag) and are not sent again to who has them. Those of the actions in `kept` are
    kept, encoded, until the stream moves on; lists too, for those who ask the same at the same moment and find them at
    the door: to look for them here would cost more than it saves. `is_shared` says that the stream's version tells all
    that an answer hangs on. `scattered` are the parameters by which few rows may match, anywhere in time.
    """

    stream: ClassVar[str]
    version: sequences.StreamVersion
    cached_actions: ClassVar[frozenset[str]] = frozenset()
    is_shared = True
    selective_params: ClassVar[frozenset[str]] = frozenset()
    _matching: int | None = None
    export: Export | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # What one query after the other would see at different heads must not be put together.
        coins = self.parameters.get("coin")
        self.version, known = self._snapshot.enter_context(sequences.stream_snapshot(self.stream, coins or ()))
        if "If-None-Match" in request.headers or self.action in self.cached_actions:
            self._cached_response(request)
        if coins is not None:
            self.parameters = {**self.parameters, "coin": known}

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        with self._snapshot:
            final: Any = super().finalize_response(request, response, *args, **kwargs)
            if final.status_code == 200 and request.method in SAFE_METHODS:
                self._set_etag(request, final)
            if final.status_code in (200, 304) and self._is_cacheable(request):
                # By this a later one like it may be answered with the same headers.
                final.cache_key = self.cache_key
                # Its encoding asks the database nothing more, and nobody has to wait until the moment is over.
                after_response(self._snapshot.pop_all().close)
        return final

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, ResponseReady):
            return exc.response
        self._snapshot.__exit__(type(exc), exc, exc.__traceback__)
        return super().handle_exception(exc)

    @cached_property
    def _snapshot(self) -> ExitStack:
        return ExitStack()

    @cached_property
    def snapshot(self) -> ReadPoint:
        now = ReadPoint(self.version.head, self.version.epoch)
        return self.paginator.pin(self.request, now) if isinstance(self.paginator, HybridPagination) else now

    @property
    def cache_key(self) -> CacheKey:
        return CacheKey(self.stream, self.request.get_full_path())

    def _cached_response(self, request: Request) -> None:
        """Raises Answered where the client has the answer, or this process."""
        tag = etag(request, self.version)
        is_known = _is_versioned(request) and tag in request.headers.get("If-None-Match", "")
        if request.method in SAFE_METHODS and is_known:
            raise ResponseReady(HttpResponseNotModified(headers={"ETag": tag, **REVALIDATED}))
        kept = response_cache.find(self.cache_key, self.version) if self._is_cacheable(request) else None
        if kept is not None:
            RESPONSE_CACHE_HITS.inc()
            self.version = cast(sequences.StreamVersion, kept.version)
            raise ResponseReady(
                HttpResponse(kept.template.render(clock.now()), content_type=EnvelopeRenderer.media_type)
            )

    def _set_etag(self, request: Request, response: Any) -> None:
        question, version, tag = self.cache_key, self.version, etag(request, self.version)
        if _is_versioned(request):
            response["ETag"] = tag
        for name, value in REVALIDATED.items():
            response[name] = value
        if self._is_cacheable(request) and isinstance(response, Response):
            RESPONSE_CACHE_MISSES.inc()
            response.add_post_render_callback(
                lambda rendered: response_cache.store(question, CachedResponse(version, tag, rendered.template))
            )

    def _is_cacheable(self, request: Request) -> bool:
        is_json = request.accepted_renderer.format == EnvelopeRenderer.format
        is_asked_often = self.action in self.cached_actions or self.action == "list"
        return is_json and is_asked_often and self.is_shared and request.method in SAFE_METHODS

    def get_queryset(self) -> Query:
        return get_stream(self.stream).model._default_manager.filter(id__lte=self.snapshot.head)

    def filtered(self) -> Query:
        """What the client asks for."""
        return self.filter_queryset(self.get_queryset())

    def fetch_rows(self, facts: Query = None) -> list[Any]:
        """Row structs as they go out: of `facts`, or of what the client asks for."""
        return fetch(self.filtered() if facts is None else facts, self.stream)

    def paginate_queryset(self, queryset: Any) -> list[Any]:
        if csv_table.is_csv(self.request):
            self.export = Export(row_reader(self.stream).select(queryset), partial(to_structs, stream=self.stream))
            return self.export.first
        return super().paginate_queryset(queryset) or []

    def get_paginated_response(self, data: Any) -> Any:
        table = csv_table.table_for(self)
        if self.export and table:
            return self.export.response(self.request, table.columns, self.snapshot)
        return self.respond(**super().get_paginated_response(data).data)

    def bounded_count(self, queryset: Query) -> int:
        """How many rows there are, counted up to MAX_OFFSET + 1."""
        if self._matching is None:
            # In order they are counted in the index of the list; what is scattered has an index of its own.
            counted = queryset.order_by() if self._scattered else queryset
            self._matching = counted.values("id")[: MAX_OFFSET + 1].count()
        return self._matching

    def fetch_page(self, queryset: Query, most: int, begin: int = 0) -> list[Any]:
        """So many as they go out, behind the first `begin`, without reading more than the indexes must give."""
        coins = self.parameters.get("coin") or ()
        if self._scattered:
            if self.bounded_count(queryset) <= MAX_OFFSET:
                queryset = materialize_ids(queryset, self.stream)
            else:
                # So many match that there should be enough of them among the newest; the planner would sort them all.
                page = queryset[begin : begin + most]
                found = fetch_among_latest(page, self.stream, self._scattered, MAX_SCANNED_ROWS)
                if len(found) == most:
                    return found
        elif len(coins) > 1 and len(coins) * (begin + most) <= MAX_MERGED_ROWS:
            return fetch_by_coin(queryset, self.stream, coins, most, begin)
        if begin:
            # The places that are passed over are counted in the index, and no row is fetched for them.
            ids = queryset.values("id")[begin : begin + most]
            queryset = queryset.model._default_manager.filter(id__in=ids)
        return fetch(queryset[:most], self.stream)

    @property
    def _scattered(self) -> set[str]:
        """The columns that are compared by what is given of such parameters."""
        filters = self.filterset_class.base_filters if self.filterset_class else {}
        return {
            str(filters[name].field_name) for name in self.selective_params if self.parameters.get(name) is not None
        }

    def totals(self) -> Totals:
        """How many there are of what is asked for, and how much, by coin and side, from counters."""
        return totals(get_stream(self.stream), *self._window)

    def total(self) -> int | None:
        """How many rows are asked for, where the counters know; None where they do not."""
        given = {name for name, value in self.parameters.items() if value is not None}
        stream = get_stream(self.stream)
        if stream.rollup is None or not given <= COUNTED_BY:
            return None
        return count(stream, *self._window, self.parameters.get("side"))

    @property
    def _window(self) -> tuple[TimeRange, Sequence[str] | None]:
        """With the coins that are asked for in it."""
        asked = self.parameters
        return TimeRange(asked.get("start_time"), asked.get("end_time")), asked.get("coin")

    def respond(self, **data: Any) -> Response:
        return Response({**data, **self.snapshot._asdict()})


# Kept by whoever likes, and never given out without asking whether it still holds.
REVALIDATED = {"Cache-Control": "no-cache"}


def _is_versioned(request: Request) -> bool:
    """Not a page for a browser, which shows who looks at it besides."""
    return bool(request.accepted_renderer.format != BrowsableEnvelopeRenderer.format)


def etag(request: Request, version: sequences.StreamVersion) -> str:
    """Weak (RFC 9110, 8.8.1): two answers of one version differ in what they tell of the moment, and in how they are
    compressed."""
    asked = f"{request.accepted_renderer.format} {request.get_full_path()} {tuple(version)}"
    return f'W/"{blake2b(asked.encode(), digest_size=12).hexdigest()}"'


def materialize_ids(queryset: Query, stream: str) -> Query:
    """The same rows, all found before they are put in order.

    The planner takes a few rows of a long tail for many, and would look for them from the newest on, through all.
    """
    ids = Func(ArraySubquery(queryset.order_by().values("id")), function="unnest")
    return queryset.model._default_manager.filter(id__in=StreamHead.objects.filter(name=stream).values_list(ids))


class CoinsFilter(ParameterFilter):
    """One or several coins, in any case; of the names the view makes the coins that are known."""

    def __init__(self, parameter: Parameter[Any] = COINS, *, required: bool = False) -> None:
        super().__init__(parameter, "coin", "in", required=required)


class CoinFilter(CoinsFilter):
    """Exactly one coin, which must be given."""

    def __init__(self) -> None:
        super().__init__(ONE_COIN, required=True)
