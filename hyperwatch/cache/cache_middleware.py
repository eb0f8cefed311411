"""Middleware in front of Django: rate limiting and the response cache.

Serves a cached response on the event loop, without a thread, an HttpRequest or a view. Only anonymous GET and HEAD
requests without a body are cacheable; all others go to the views. The headers are those of the last response that a
view gave to an equal request; only PER_RESPONSE_HEADERS are set anew.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpResponseBase

from hyperwatch.api import clock
from hyperwatch.api.envelope import ResponseTemplate
from hyperwatch.cache.byte_cache import ByteCache
from hyperwatch.cache.response_cache import CachedResponse, CacheKey, Version, response_cache
from hyperwatch.concurrency.batching import BatchLoader
from hyperwatch.db.statement_timeout import set_statement_timeout
from hyperwatch.limits.throttling import (
    REQUEST_COUNTS_KEY,
    RateWindow,
    ReadThrottle,
    anonymous_id,
    rate_counter,
    read_rate,
)
from hyperwatch.metrics import RESPONSE_CACHE_HITS
from hyperwatch.middleware.compression import MIN_COMPRESSED_BYTES, accepts_gzip, compress
from hyperwatch.middleware.request_log import log_request, request_id_from

Headers = Sequence[tuple[bytes, bytes]]
# The current version of each stream, read from the database: cached responses are valid against it.
ReadVersions = Callable[[], Mapping[str, Version]]

API_PREFIX = "/api/v1/"
# Size of the stored response headers of distinct requests; their keys have the client's own texts.
MAX_HEADER_TEMPLATE_BYTES = 16 * 1024 * 1024
# A header's tuple and two byte objects, besides their texts.
HEADER_BYTES = 128
# A request with one of these is authenticated or has a body.
UNCACHEABLE_HEADERS = {b"authorization", b"cookie", b"transfer-encoding", b"expect"}
GZIP_MAGIC = b"\x1f\x8b"
# Header names or prefixes with values that differ in each response.
PER_RESPONSE_HEADERS = (b"content-length", b"etag", b"x-request-id", b"x-ratelimit-")


class HttpReply(NamedTuple):
    """A complete response. `cache_key` is set if the body is in the response cache; `route`, `path` are for the log."""

    status: int
    headers: Headers
    body: bytes
    cache_key: CacheKey | None = None
    route: str = ""
    path: str = ""


Reply = HttpReply | HttpResponseBase
CallViews = Callable[[], Awaitable[Reply]]


class HeaderKey(NamedTuple):
    """The parts of a request that the response headers depend on."""

    method: str
    path: bytes
    query: bytes
    host: bytes
    accept: bytes
    origin: bytes
    # Scheme of the client's connection to the proxy: Django redirects http to https behind a TLS proxy.
    forwarded_proto: bytes
    accepts_gzip: bool

    @property
    def size(self) -> int:
        texts = (self.path, self.query, self.host, self.accept, self.origin, self.forwarded_proto)
        return sum(map(len, texts))


class HeaderTemplate(NamedTuple):
    """Headers of a view's last response to an equal request, with empty values for PER_RESPONSE_HEADERS."""

    cache_key: CacheKey
    route: str
    path: str
    headers: Headers
    is_compressed: bool

    @property
    def size(self) -> int:
        texts = len(self.cache_key.query) + len(self.path)
        return texts + sum(len(name) + len(value) + HEADER_BYTES for name, value in self.headers)


class CacheableRequest:
    """An anonymous read of the API without a body."""

    def __init__(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
        self.started_at = time.perf_counter()
        self.headers = headers
        self.method = scope["method"]
        self.key = HeaderKey(
            self.method,
            scope["raw_path"],
            scope["query_string"],
            headers.get(b"host", b""),
            headers.get(b"accept", b""),
            headers.get(b"origin", b""),
            headers.get(b"x-forwarded-proto", b""),
            accepts_gzip(self.header(b"accept-encoding")),
        )
        peer = (scope.get("client") or ("",))[0]
        self.window = RateWindow.now(read_rate(settings.THROTTLE_READS))
        self.counter = self.window.counter(ReadThrottle.scope, anonymous_id(self.header(b"x-forwarded-for"), peer))
        # By HTTP status.
        self.templates: Mapping[int, HeaderTemplate] = {}

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin1")


class RequestContext(NamedTuple):
    """The client's request count and the stream versions, both read after the request arrived."""

    used: int
    versions: Mapping[str, Version]


class CacheMiddleware:
    def __init__(self, read_versions: ReadVersions) -> None:
        self._read_versions = read_versions
        self._version_executor = ThreadPoolExecutor(
            1, "cache-versions", partial(set_statement_timeout, settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)
        )
        self._count_executor = ThreadPoolExecutor(1, "cache-counts")
        self._contexts = BatchLoader(self._load_contexts)
        self._templates: ByteCache[HeaderKey, dict[int, HeaderTemplate]] = ByteCache(MAX_HEADER_TEMPLATE_BYTES)
        self._in_flight: dict[CacheKey, asyncio.Future[None]] = {}
        self._bodies: dict[tuple[ResponseTemplate, bool], bytes] = {}

    async def handle(self, scope: dict[str, Any], call_views: CallViews) -> Reply:
        """Returns the cached response, or the response of the views."""
        request = _cacheable_request(scope)
        if request is None:
            return await call_views()
        request.templates = self._templates.get(request.key) or {}
        context = await self._contexts.load(request)
        scope[REQUEST_COUNTS_KEY] = {request.counter: context.used}
        cache_key = next((template.cache_key for template in request.templates.values()), None)
        if cache_key is None or context.used > request.window.rate.limit or not settings.ALLOW_ANONYMOUS_READS:
            return self._remember(request, await call_views())
        return self._lookup(request, cache_key, context) or await self._single_flight(
            request, cache_key, context, call_views
        )

    def _lookup(self, request: CacheableRequest, cache_key: CacheKey, context: RequestContext) -> HttpReply | None:
        version = context.versions.get(cache_key.stream)
        cached = response_cache.find(cache_key, version) if version is not None else None
        return self._replay(request, cached, context) if cached is not None else None

    async def _single_flight(
        self, request: CacheableRequest, cache_key: CacheKey, context: RequestContext, call_views: CallViews
    ) -> Reply:
        """Calls the views once for all concurrent requests with this key.

        A call in flight may have read an older version than `context.versions`; the call after it has not. So a
        request waits for at most two of them.
        """
        for _ in range(2):
            in_flight = self._in_flight.get(cache_key)
            if in_flight is None:
                break
            await asyncio.wait([in_flight])
            if reply := self._lookup(request, cache_key, context):
                return reply
        done = self._in_flight[cache_key] = asyncio.get_running_loop().create_future()
        try:
            return self._remember(request, await call_views())
        finally:
            done.set_result(None)
            if self._in_flight.get(cache_key) is done:
                del self._in_flight[cache_key]

    async def _load_contexts(self, requests: Sequence[CacheableRequest]) -> list[RequestContext]:
        """Counts the requests and concurrently reads the stream versions, if any request may be served from cache."""
        loop = asyncio.get_running_loop()
        used = loop.run_in_executor(self._count_executor, _count_requests, requests)
        has_templates = any(request.templates for request in requests)
        versions = await loop.run_in_executor(self._version_executor, self._current_versions) if has_templates else {}
        return [RequestContext(count, versions) for count in await used]

    def _current_versions(self) -> Mapping[str, Version]:
        try:
            return self._read_versions()
        except (DatabaseError, InterfaceError):
            # Without versions the view responds with the error. The next read opens a new connection.
            connection.close()
            return {}

    def _remember(self, request: CacheableRequest, reply: Reply) -> Reply:
        """Stores the headers of a reply with a cached body."""
        if isinstance(reply, HttpReply) and reply.cache_key is not None:
            headers = [
                (name, b"" if name.lower().startswith(PER_RESPONSE_HEADERS) else value) for name, value in reply.headers
            ]
            is_compressed = (b"Content-Encoding", b"gzip") in headers
            template = HeaderTemplate(reply.cache_key, reply.route, reply.path, headers, is_compressed)
            templates = {**(self._templates.get(request.key) or {}), reply.status: template}
            self._templates.put(request.key, templates, request.key.size + sum(one.size for one in templates.values()))
        return reply

    def _replay(self, request: CacheableRequest, cached: CachedResponse, context: RequestContext) -> HttpReply | None:
        """Returns None if no view has responded to an equal request with this status yet."""
        known = request.header(b"if-none-match")
        status = 304 if cached.tag in known or known.strip() == "*" else 200
        template = request.templates.get(status)
        if template is None:
            return None
        body = self._body(cached.template, request.key.accepts_gzip) if status == 200 else b""
        if template.is_compressed != body.startswith(GZIP_MAGIC):
            return None
        request_id = request_id_from(request.header(b"x-request-id"))
        values = {
            "Content-Length": str(len(body)),
            "ETag": cached.tag,
            "X-Request-ID": request_id,
            **request.window.allowance(context.used).headers(),
        }
        seconds = time.perf_counter() - request.started_at
        log_request(request_id, request.method, template.path, template.route, status, seconds)
        RESPONSE_CACHE_HITS.inc()
        return HttpReply(status, _fill_headers(template.headers, values), body)

    def _body(self, template: ResponseTemplate, is_gzip: bool) -> bytes:
        """Renders and compresses a template once for all requests of one event loop iteration."""
        if not self._bodies:
            asyncio.get_running_loop().call_soon(self._bodies.clear)
        key = (template, is_gzip)
        if key not in self._bodies:
            body = template.render(clock.now())
            self._bodies[key] = compress(body) if is_gzip and len(body) >= MIN_COMPRESSED_BYTES else body
        return self._bodies[key]


def _fill_headers(headers: Headers, values: Mapping[str, str]) -> Headers:
    encoded = {name.encode(): value.encode() for name, value in values.items()}
    return [(name, value or encoded.get(name, b"")) for name, value in headers]


def _cacheable_request(scope: Mapping[str, Any]) -> CacheableRequest | None:
    headers = dict(scope["headers"])
    is_cacheable = (
        scope["method"] in ("GET", "HEAD")
        and scope["path"].startswith(API_PREFIX)
        and not scope.get("root_path")
        # Repeated headers: all values count, and the dict holds only the last one.
        and len(headers) == len(scope["headers"])
        and UNCACHEABLE_HEADERS.isdisjoint(headers)
        and headers.get(b"content-length", b"0") == b"0"
    )
    return CacheableRequest(scope, headers) if is_cacheable else None


def _count_requests(requests: Sequence[CacheableRequest]) -> list[int]:
    """Returns each request's own number in its window, also within one batch; 0 if the cache is unavailable."""
    increments = Counter(request.counter for request in requests)
    totals = rate_counter.count(increments, requests[0].window.ttl_seconds)
    numbers = {counter: totals[counter] - increment for counter, increment in increments.items()}
    used = []
    for request in requests:
        numbers[request.counter] += 1
        used.append(max(numbers[request.counter], 0))
    return used
