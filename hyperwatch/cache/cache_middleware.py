"""What stands before the views: it counts who comes, and answers at once what is kept.

Whoever asks what was asked before, and comes without a key or a session, gets the answer without a thread, a request
or a view of Django's. Its headers are those that the views' own answer to such a request had; only what tells of this
very moment is put in anew. Whatever is not plain goes on to the views.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from cachetools import LRUCache
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpResponseBase

from hyperwatch.api import clock
from hyperwatch.api.envelope import ResponseTemplate
from hyperwatch.cache.response_cache import CachedResponse, CacheKey, Version, response_cache
from hyperwatch.concurrency.batching import BatchLoader
from hyperwatch.db.statement_timeout import set_statement_timeout
from hyperwatch.limits.throttling import COUNTED, RateWindow, ReadThrottle, anonymous_id, rate_counter, read_rate
from hyperwatch.metrics import RESPONSE_CACHE_HITS
from hyperwatch.middleware.compression import MIN_COMPRESSED_BYTES, compress, takes_gzip
from hyperwatch.middleware.request_log import id_of_request, log_request

Headers = Sequence[tuple[bytes, bytes]]
# The current version of each stream, read from the database: cached responses are valid against it.
ReadVersions = Callable[[], Mapping[str, Version]]

API_PREFIX = "/api/v1/"
# Different requests that can be answered at the door, those asked least lately forgotten first.
MAX_HEADER_TEMPLATES = 4_096
# Who sends one of these may be somebody, or sends more than a question.
UNCACHEABLE_HEADERS = {b"authorization", b"cookie", b"transfer-encoding", b"expect"}
# What is told of this very moment.
GZIP_MAGIC = b"\x1f\x8b"
PER_RESPONSE_HEADERS = (b"content-length", b"etag", b"x-request-id", b"x-ratelimit-")


class HttpReply(NamedTuple):
    """A whole one. `question` is what it answers, where the answer is kept; `route` and `path` are for the log."""

    status: int
    headers: Headers
    body: bytes
    cache_key: CacheKey | None = None
    route: str = ""
    path: str = ""


class HeaderKey(NamedTuple):
    """What the headers of an answer depend on."""

    method: str
    path: bytes
    query: bytes
    host: bytes
    accept: bytes
    origin: bytes
    # Of the client's connection to the proxy; one by http may have to be redirected.
    forwarded_proto: bytes
    takes_gzip: bool


class HeaderTemplate(NamedTuple):
    """Of the last answer like this by a view: all but what is told of the moment."""

    cache_key: CacheKey
    route: str
    path: str
    headers: Headers
    is_compressed: bool


class CacheableRequest:
    """A plain read of the API."""

    def __init__(self, scope: Mapping[str, Any], given: Mapping[bytes, bytes]) -> None:
        self.began = time.perf_counter()
        self.headers = given
        self.method = scope["method"]
        self.key = HeaderKey(
            self.method,
            scope["raw_path"],
            scope["query_string"],
            given.get(b"host", b""),
            given.get(b"accept", b""),
            given.get(b"origin", b""),
            given.get(b"x-forwarded-proto", b""),
            takes_gzip(self.header(b"accept-encoding")),
        )
        peer = (scope.get("client") or ("",))[0]
        self.window = RateWindow.now(read_rate(settings.THROTTLE_READS))
        self.counter = self.window.counter(ReadThrottle.scope, anonymous_id(self.header(b"x-forwarded-for"), peer))
        # By status.
        self.templates: Mapping[int, HeaderTemplate] = {}

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin1")


class RequestContext(NamedTuple):
    """Where a visitor's counter stands, and each stream, where somebody asked; all of it read after they came."""

    used: int
    versions: Mapping[str, Version]


class CacheMiddleware:
    def __init__(self, read_versions: ReadVersions) -> None:
        self._read_versions = read_versions
        self._reads = ThreadPoolExecutor(
            1, "door", partial(set_statement_timeout, settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)
        )
        self._counts = ThreadPoolExecutor(1, "door-counts")
        self._contexts = BatchLoader(self._load_contexts)
        self._templates: LRUCache[HeaderKey, dict[int, HeaderTemplate]] = LRUCache(MAX_HEADER_TEMPLATES)
        self._in_flight: dict[CacheKey, asyncio.Future[None]] = {}
        self._bodies: dict[tuple[ResponseTemplate, bool], bytes] = {}

    async def handle(
        self, scope: dict[str, Any], make: Callable[[], Awaitable[HttpReply | HttpResponseBase]]
    ) -> HttpReply | HttpResponseBase:
        """What is kept; otherwise what `make` has the views answer."""
        visit = _cacheable_request(scope)
        if visit is None:
            return await make()
        visit.templates = self._templates.get(visit.key, {})
        seen = await self._contexts.load(visit)
        scope[COUNTED] = {visit.counter: seen.used}
        question = next((face.cache_key for face in visit.templates.values()), None)
        if question is None or seen.used > visit.window.rate.limit or not settings.ALLOW_ANONYMOUS_READS:
            return self._remember(visit, await make())
        return self._lookup(visit, question, seen) or await self._single_flight(visit, question, seen, make)

    def _lookup(self, visit: CacheableRequest, question: CacheKey, seen: RequestContext) -> HttpReply | None:
        version = seen.versions.get(question.stream)
        kept = response_cache.find(question, version) if version is not None else None
        return self._replay(visit, kept, seen) if kept is not None else None

    async def _single_flight(
        self,
        visit: CacheableRequest,
        question: CacheKey,
        seen: RequestContext,
        make: Callable[[], Awaitable[HttpReply | HttpResponseBase]],
    ) -> HttpReply | HttpResponseBase:
        """Made once for all who wait for it. The one that is in the making may be too old, the next one is not."""
        for _ in range(2):
            making = self._in_flight.get(question)
            if making is None:
                break
            await asyncio.wait([making])
            if answer := self._lookup(visit, question, seen):
                return answer
        mine = self._in_flight[question] = asyncio.get_running_loop().create_future()
        try:
            return self._remember(visit, await make())
        finally:
            mine.set_result(None)
            if self._in_flight.get(question) is mine:
                del self._in_flight[question]

    async def _load_contexts(self, visits: Sequence[CacheableRequest]) -> list[RequestContext]:
        """Each is counted, and meanwhile the streams' versions are read for those who may be answered by them."""
        loop = asyncio.get_running_loop()
        used = loop.run_in_executor(self._counts, _count_requests, visits)
        is_known = any(visit.templates for visit in visits)
        versions = await loop.run_in_executor(self._reads, self._current_versions) if is_known else {}
        return [RequestContext(one, versions) for one in await used]

    def _current_versions(self) -> Mapping[str, Version]:
        try:
            return self._read_versions()
        except (DatabaseError, InterfaceError):
            # The view then answers with the error. A new connection serves the next read.
            connection.close()
            return {}

    def _remember(self, visit: CacheableRequest, answer: HttpReply | HttpResponseBase) -> HttpReply | HttpResponseBase:
        if isinstance(answer, HttpReply) and answer.cache_key is not None:
            headers = [
                (name, b"" if name.lower().startswith(PER_RESPONSE_HEADERS) else value)
                for name, value in answer.headers
            ]
            is_packed = (b"Content-Encoding", b"gzip") in headers
            face = HeaderTemplate(answer.cache_key, answer.route, answer.path, headers, is_packed)
            self._templates[visit.key] = {**self._templates.get(visit.key, {}), answer.status: face}
        return answer

    def _replay(self, visit: CacheableRequest, kept: CachedResponse, seen: RequestContext) -> HttpReply | None:
        """None where no view has answered such a request yet."""
        status = 304 if kept.tag in visit.header(b"if-none-match") else 200
        face = visit.templates.get(status)
        if face is None:
            return None
        body = self._body(kept.template, visit.key.takes_gzip) if status == 200 else b""
        if face.is_compressed != body.startswith(GZIP_MAGIC):
            return None
        request_id = id_of_request(visit.header(b"x-request-id"))
        told = {
            "Content-Length": str(len(body)),
            "ETag": kept.tag,
            "X-Request-ID": request_id,
            **visit.window.allowance(seen.used).headers(),
        }
        log_request(request_id, visit.method, face.path, face.route, status, time.perf_counter() - visit.began)
        RESPONSE_CACHE_HITS.inc()
        return HttpReply(status, _fill_headers(face.headers, told), body)

    def _body(self, draft: ResponseTemplate, takes_gzip: bool) -> bytes:
        """Those who are answered in one turn of the loop are told the same moment."""
        if not self._bodies:
            asyncio.get_running_loop().call_soon(self._bodies.clear)
        key = (draft, takes_gzip)
        if key not in self._bodies:
            body = draft.render(clock.now())
            self._bodies[key] = compress(body) if takes_gzip and len(body) >= MIN_COMPRESSED_BYTES else body
        return self._bodies[key]


def _fill_headers(headers: Headers, told: Mapping[str, str]) -> Headers:
    values = {name.encode(): value.encode() for name, value in told.items()}
    return [(name, value or values.get(name, b"")) for name, value in headers]


def _cacheable_request(scope: Mapping[str, Any]) -> CacheableRequest | None:
    given = dict(scope["headers"])
    is_plain = (
        scope["method"] in ("GET", "HEAD")
        and scope["path"].startswith(API_PREFIX)
        and not scope.get("root_path")
        # One that is given twice means both.
        and len(given) == len(scope["headers"])
        and UNCACHEABLE_HEADERS.isdisjoint(given)
        and given.get(b"content-length", b"0") == b"0"
    )
    return CacheableRequest(scope, given) if is_plain else None


def _count_requests(visits: Sequence[CacheableRequest]) -> list[int]:
    """Of those that are counted together each has its own number; 0 where the cache is away."""
    more = Counter(visit.counter for visit in visits)
    stand = rate_counter.count(more, visits[0].window.seconds)
    before = {counter: stand[counter] - amount for counter, amount in more.items()}
    used = []
    for visit in visits:
        before[visit.counter] += 1
        used.append(max(before[visit.counter], 0))
    return used
