"""Views of a stream: a response contains the rows up to a head, and that head.

The head is read first, so that a client which subscribes with `since: head` receives exactly the later events.
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
from hyperwatch.api.pagination import MAX_OFFSET, Cursor, HybridPagination, ReadPoint
from hyperwatch.api.parameters import COINS, ONE_COIN, Parameter
from hyperwatch.api.renderers import BrowsableEnvelopeRenderer, EnvelopeRenderer
from hyperwatch.api.views import ApiViewMixin
from hyperwatch.cache.response_cache import CachedResponse, CacheKey, response_cache
from hyperwatch.concurrency.after_response import after_response
from hyperwatch.db.errors import is_cancelled
from hyperwatch.db.statement_timeout import SearchBudget
from hyperwatch.metrics import RESPONSE_CACHE_HITS, RESPONSE_CACHE_MISSES
from realtime.models import StreamHead
from realtime.rest.csv_export import Export
from realtime.rest.queries import fetch, fetch_among_latest, fetch_by_coin, to_structs
from realtime.rest.search_limits import MatchCount, search_budget, too_slow
from realtime.storage import sequences
from realtime.storage.copy_format import row_reader
from realtime.storage.rollups import TimeRange, Totals, totals
from realtime.streams import get_stream

# Above this number of rows, pages for several coins are not merged from the latest of each coin. (No index has the
# rows of several coins in order of time.)
MAX_MERGED_ROWS = 50_000
# Latest rows to search if a selective parameter matches many rows.
MAX_SCANNED_ROWS = 20_000


class ResponseReady(Exception):
    """Ends a request early with a cached response or a 304."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__()
        self.response = response


class StreamViewSet(ApiViewMixin, GenericViewSet[Any]):
    """Reads one stream. With DRF's ListModelMixin: its list by page, by cursor, or completely as CSV.

    Responses have an ETag of the stream's version; If-None-Match is answered with 304.

    cached_actions      actions whose encoded responses are stored in the cache and looked up by this view. Lists are
                        stored too, for equal concurrent requests; only the cache middleware looks them up, since a
                        lookup here would cost more than it saves.
    is_shared           the response depends on nothing but the stream's version and the URL
    selective_params    parameters that may match few rows, anywhere in time
    """

    stream: ClassVar[str]
    version: sequences.StreamVersion
    cached_actions: ClassVar[frozenset[str]] = frozenset()
    is_shared = True
    selective_params: ClassVar[frozenset[str]] = frozenset()
    _bounded_count: int | None = None
    _budget: SearchBudget | None = None
    export: Export | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # One database snapshot for all queries of the response: they would see different heads otherwise.
        coins = self.parameters.get("coin")
        self.version, known_coins = self._read_snapshot.enter_context(
            sequences.stream_snapshot(self.stream, coins or ())
        )
        if "If-None-Match" in request.headers or self.action in self.cached_actions:
            self._cached_response(request)
        if coins is not None:
            self.parameters = {**self.parameters, "coin": known_coins}
        if any(value is not None for value in self.parameters.values()):
            self._budget = self._read_snapshot.enter_context(search_budget())

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        is_read = response.status_code == 200 and request.method in SAFE_METHODS
        if is_read and request.headers.get("If-None-Match", "").strip() == "*" and _is_versioned(request):
            # RFC 9110, 13.1.2: any representation matches, so the response must exist.
            headers = {"ETag": etag(request, self.version), **REVALIDATION_HEADERS}
            response = HttpResponseNotModified(headers=headers)
        with self._read_snapshot:
            final: Any = super().finalize_response(request, response, *args, **kwargs)
            if final.status_code == 200 and request.method in SAFE_METHODS:
                self._set_etag(request, final)
            if final.status_code in (200, 304) and self._is_cacheable(request):
                # The cache middleware reads it, to answer equal requests with the same headers.
                final.cache_key = self.cache_key
                # Encoding needs no further query: the client does not wait for the end of the transaction.
                after_response(self._read_snapshot.pop_all().close)
        return final

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, ResponseReady):
            return exc.response
        self._read_snapshot.__exit__(type(exc), exc, exc.__traceback__)
        if self._budget and self._budget.is_spent and is_cancelled(exc):
            exc = too_slow(self.filterset_class.base_filters if self.filterset_class else {}, self.parameters)
        return super().handle_exception(exc)

    @cached_property
    def _read_snapshot(self) -> ExitStack:
        return ExitStack()

    @cached_property
    def snapshot(self) -> ReadPoint:
        now = ReadPoint(self.version.head, self.version.epoch)
        return self.paginator.pin(self.request, now) if isinstance(self.paginator, HybridPagination) else now

    @property
    def cache_key(self) -> CacheKey:
        return CacheKey(self.stream, self.request.get_full_path())

    def _cached_response(self, request: Request) -> None:
        """Raises ResponseReady if the client or the cache of this process has the response."""
        tag = etag(request, self.version)
        is_current = _is_versioned(request) and tag in request.headers.get("If-None-Match", "")
        if request.method in SAFE_METHODS and is_current:
            raise ResponseReady(HttpResponseNotModified(headers={"ETag": tag, **REVALIDATION_HEADERS}))
        cached = response_cache.find(self.cache_key, self.version) if self._is_cacheable(request) else None
        if cached is not None:
            RESPONSE_CACHE_HITS.inc()
            self.version = cast(sequences.StreamVersion, cached.version)
            raise ResponseReady(
                HttpResponse(cached.template.render(clock.now()), content_type=EnvelopeRenderer.media_type)
            )

    def _set_etag(self, request: Request, response: Any) -> None:
        key, version, tag = self.cache_key, self.version, etag(request, self.version)
        if _is_versioned(request):
            response["ETag"] = tag
        for name, value in REVALIDATION_HEADERS.items():
            response[name] = value
        if self._is_cacheable(request) and isinstance(response, Response):
            RESPONSE_CACHE_MISSES.inc()
            response.add_post_render_callback(
                lambda rendered: response_cache.store(key, CachedResponse(version, tag, rendered.template))
            )

    def _is_cacheable(self, request: Request) -> bool:
        is_json = request.accepted_renderer.format == EnvelopeRenderer.format
        is_cached_action = self.action in self.cached_actions or self.action == "list"
        return is_json and is_cached_action and self.is_shared and request.method in SAFE_METHODS

    def get_queryset(self) -> Query:
        return get_stream(self.stream).model._default_manager.filter(id__lte=self.snapshot.head)

    def filter_queryset(self, queryset: Query) -> Query:
        rows = super().filter_queryset(queryset)
        return rows.none() if self.matches.has_side and not self.matches.total else rows

    @cached_property
    def matches(self) -> MatchCount:
        return MatchCount(self.stream, self.parameters)

    def filtered(self) -> Query:
        """The rows that match the request."""
        return self.filter_queryset(self.get_queryset())

    def fetch_rows(self, queryset: Query = None) -> list[Any]:
        """Output structs of `queryset`; by default of the rows that match the request."""
        return fetch(self.filtered() if queryset is None else queryset, self.stream)

    def paginate_queryset(self, queryset: Any) -> list[Any]:
        if csv_table.is_csv(self.request):
            total = self.matches.total if self.matches.has_side else None
            rows = row_reader(self.stream).select(queryset)
            self.export = Export(rows, partial(to_structs, stream=self.stream), total)
            return self.export.first_chunk
        return super().paginate_queryset(queryset) or []

    def get_paginated_response(self, data: Any) -> Any:
        table = csv_table.table_for(self)
        if self.export and table:
            return self.export.response(self.request, table.columns, self.snapshot)
        return self.respond(**super().get_paginated_response(data).data)

    def bounded_count(self, queryset: Query) -> int:
        """Number of rows, counted up to MAX_OFFSET + 1."""
        if self._bounded_count is None:
            # With an order PostgreSQL counts in the index of the list; selective columns have indexes of their own.
            rows = queryset.order_by() if self._selective_columns else queryset
            self._bounded_count = rows.values("id")[: self.matches.limit_after(queryset, None, MAX_OFFSET + 1)].count()
        return self._bounded_count

    def fetch_page(self, queryset: Query, limit: int, offset: int = 0) -> list[Any]:
        """Output structs of one page, read with as few rows and index entries as possible."""
        if queryset.query.is_empty():
            return []
        limit = min(limit, self.matches.total - offset) if self.matches.has_side else limit
        coins = self.parameters.get("coin") or ()
        if self._selective_columns:
            if self.bounded_count(queryset) <= MAX_OFFSET:
                queryset = materialize_ids(queryset, self.stream)
            else:
                # Many rows match, so the latest rows probably contain a full page; the planner would sort all matches.
                page = queryset[offset : offset + limit]
                rows = fetch_among_latest(page, self.stream, self._selective_columns, MAX_SCANNED_ROWS)
                if len(rows) == limit:
                    return rows
        elif len(coins) > 1 and len(coins) * (offset + limit) <= MAX_MERGED_ROWS:
            return fetch_by_coin(queryset, self.stream, coins, limit, offset)
        if offset:
            # Skips the offset in the index alone, without fetching its rows.
            ids = queryset.values("id")[offset : offset + limit]
            queryset = queryset.model._default_manager.filter(id__in=ids)
        return fetch(queryset[:limit], self.stream)

    @property
    def _selective_columns(self) -> set[str]:
        """The columns of the selective parameters that the request contains."""
        filters = self.filterset_class.base_filters if self.filterset_class else {}
        return {
            str(filters[name].field_name) for name in self.selective_params if self.parameters.get(name) is not None
        }

    def totals(self) -> Totals:
        """Counts and sums of the matching rows by coin and side, from the roll-ups."""
        return totals(get_stream(self.stream), *self._range_and_coins)

    def total(self) -> int | None:
        """Number of matching rows from the roll-ups; None if they do not have the parameters of the request."""
        return self.matches.total if self.matches.is_exact else None

    def limit_after(self, queryset: Query, cursor: Cursor | None, limit: int) -> int:
        return self.matches.limit_after(queryset, cursor, limit)

    @property
    def _range_and_coins(self) -> tuple[TimeRange, Sequence[str] | None]:
        params = self.parameters
        return TimeRange(params.get("start_time"), params.get("end_time")), params.get("coin")

    def respond(self, **data: Any) -> Response:
        return Response({**data, **self.snapshot._asdict()})


# Clients and proxies may store a response, and have to revalidate it before each use (RFC 9111, 5.2.2.4).
REVALIDATION_HEADERS = {"Cache-Control": "no-cache"}


def _is_versioned(request: Request) -> bool:
    """False for the browsable page: it also shows the user, so that the version does not determine it."""
    return bool(request.accepted_renderer.format != BrowsableEnvelopeRenderer.format)


def etag(request: Request, version: sequences.StreamVersion) -> str:
    """A weak tag (RFC 9110, 8.8.1): responses of one version may differ in ages, request times and compression."""
    key = f"{request.accepted_renderer.format} {request.get_full_path()} {tuple(version)}"
    return f'W/"{blake2b(key.encode(), digest_size=12).hexdigest()}"'


def materialize_ids(queryset: Query, stream: str) -> Query:
    """The same rows, with the ids of all matches computed before sorting.

    The planner overestimates the matches of rare values, and would scan all rows in order of time to find them.
    """
    ids = Func(ArraySubquery(queryset.order_by().values("id")), function="unnest")
    return queryset.model._default_manager.filter(id__in=StreamHead.objects.filter(name=stream).values_list(ids))


class CoinsFilter(ParameterFilter):
    """One or several coins, case-insensitive; the view replaces the names by the exchange's spelling."""

    def __init__(self, parameter: Parameter[Any] = COINS, *, required: bool = False) -> None:
        super().__init__(parameter, "coin", "in", required=required)


class CoinFilter(CoinsFilter):
    """Exactly one coin, required."""

    def __init__(self) -> None:
        super().__init__(ONE_COIN, required=True)
