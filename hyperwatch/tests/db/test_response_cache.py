"""Cached responses: the same bytes, as fresh as the stream, and counted by the throttle."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from threading import Barrier, Event
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, connections
from django.db.backends.utils import CursorWrapper
from pytest_django.fixtures import Settings

from hyperwatch.api import clock
from hyperwatch.cache.byte_cache import ByteCache
from hyperwatch.cache.cache_middleware import HttpReply
from hyperwatch.cache.response_cache import CachedResponse, CacheKey, response_cache
from hyperwatch.harness.redis import RedisServer
from hyperwatch.limits import throttling
from hyperwatch.server.asgi_handler import ThreadedHandler
from hyperwatch.tests.services.waiting import wait_until
from realtime.storage.sequences import read_versions
from realtime.tests.builders import liquidation, liquidation_map, ratio, stored, transaction

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
RECENT = "/api/v1/liquidations/recent"
KEPT = [RECENT, "/api/v1/liquidations/stats", "/api/v1/long-short-ratios/current", "/api/v1/liquidation-map?coin=BTC"]


def store(tid: int) -> None:
    stored(liquidation(raw_data={"tid": tid}), transaction(raw_data={"tid": tid}))
    stored(ratio(timestamp=f"2026-01-10T10:{tid:02}:00Z"))
    stored(liquidation_map(timestamp=f"2026-01-10T10:{tid:02}:00Z"))


class HandlerUnderTest(ThreadedHandler):
    """The handler with a count of the requests that reached its views."""

    views_asked = 0

    def __init__(self) -> None:
        super().__init__(read_versions)

    def _run_views(self, *requested: Any) -> None:
        self.views_asked += 1
        super()._run_views(*requested)

    async def enter(self, path: str, method: str = "GET", **headers: str) -> HttpReply:
        scope = _scope(path, method, headers)
        answer = await self._cache.handle(scope, partial(self._run_in_thread, scope, _receive))
        assert isinstance(answer, HttpReply)
        return answer

    async def past_the_door(self, path: str, method: str = "GET", **headers: str) -> HttpReply:
        answer = await self._run_in_thread(_scope(path, method, headers), _receive)
        assert isinstance(answer, HttpReply)
        return answer

    def end(self) -> None:
        for pool in (self._threads, self._cache._version_executor, self._cache._count_executor):
            everyone = Barrier(max(1, len(pool._threads)))
            for _ in list(pool._threads):
                pool.submit(_leave, everyone)
            pool.shutdown()


def _leave(everyone: Barrier) -> None:
    # The barrier ensures one task per thread: otherwise a connection could stay open.
    everyone.wait(10)
    connections.close_all()


def _scope(path: str, method: str, headers: dict[str, str]) -> dict[str, Any]:
    place, _, query = path.partition("?")
    given = {"host": "testserver", "accept": "application/json", **headers}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": place,
        "raw_path": place.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        "client": ["127.0.0.1", 5000],
        "server": ["127.0.0.1", 80],
    }


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


@pytest.fixture
def handler() -> Iterator[HandlerUnderTest]:
    cache.clear()
    handler = HandlerUnderTest()
    yield handler
    handler.end()
    throttling.rate_counter.breaker.close()


def reported(answer: HttpReply) -> tuple[int, Counter[tuple[bytes, bytes]], bytes]:
    return answer.status, Counter(answer.headers), answer.body


def data(answer: HttpReply) -> Any:
    return json.loads(answer.body)["data"]


# The request, and whether the cache can answer it after the views did.
WAYS: dict[str, tuple[dict[str, str], bool]] = {
    "as a program asks": ({}, True),
    "for its headers": ({"method": "HEAD"}, True),
    "compressed, for its headers": ({"method": "HEAD", "accept_encoding": "gzip"}, True),
    "compressed": ({"accept_encoding": "gzip, deflate, br"}, True),
    "from another origin": ({"origin": "https://example.org"}, True),
    "from behind a proxy": ({"x_forwarded_for": "10.0.0.1, 10.0.0.2"}, True),
    "without a choice": ({"accept": "*/*"}, True),
    "of another version": ({"if_none_match": 'W/"0123"'}, True),
    "by a browser for its page": ({"accept": "text/html"}, False),
    "with a key that is none": ({"authorization": "Api-Key wrong"}, False),
    "with a cookie": ({"cookie": "sessionid=none"}, False),
    "from a host that is not ours": ({"host": "evil.example"}, False),
}


def test_lookup_does_not_wait_for_read_only_transaction(
    handler: HandlerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(1)
    came, ends = Event(), list[bool]()
    execute = CursorWrapper.execute

    def after_the_answer(cursor: Any, sql: str, params: Any = None) -> Any:
        if sql == "COMMIT":
            ends.append(came.wait(10))
        return execute(cursor, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", after_the_answer)
    answer = asyncio.run(handler.past_the_door(RECENT))
    came.set()
    assert len(data(answer)["liquidations"]) == 1
    wait_until(lambda: ends == [True], "the end of the transaction")


@pytest.mark.parametrize("path", KEPT)
@pytest.mark.parametrize("way", WAYS)
def test_the_door_answers_by_the_bytes_of_the_views(
    handler: HandlerUnderTest, monkeypatch: pytest.MonkeyPatch, settings: Settings, path: str, way: str
) -> None:
    headers, is_answered_there = WAYS[way]
    _stop_the_clocks(monkeypatch, settings)
    store(1)
    ask = {"path": path, "x_request_id": "the-same", **headers}

    async def ways() -> list[HttpReply]:
        answers = []
        for enter in (handler.past_the_door, handler.enter, handler.enter):
            cache.clear()
            answers.append(await enter(**ask))
        return answers

    by_views, first, second = asyncio.run(ways())
    assert handler.views_asked == (2 if is_answered_there else 3)
    assert by_views.status == first.status == second.status
    # A page has another token each time.
    assert way == "by a browser for its page" or reported(by_views) == reported(first) == reported(second)


def test_csv_is_the_views(handler: HandlerUnderTest) -> None:
    store(1)

    async def types() -> list[bytes]:
        answers = [await handler.enter(RECENT, accept=accept) for accept in ("*/*", "text/csv", "text/csv")]
        return [dict(answer.headers)[b"Content-Type"] for answer in answers]

    csv = b"text/csv; charset=utf-8; header=present"
    assert asyncio.run(types()) == [b"application/json", csv, csv]
    assert handler.views_asked == 3


def _stop_the_clocks(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr("hyperwatch.limits.throttling.time.time", lambda: NOW.timestamp())


@pytest.mark.parametrize("path", KEPT)
def test_cache_answers_matching_etag_with_304(
    handler: HandlerUnderTest, monkeypatch: pytest.MonkeyPatch, settings: Settings, path: str
) -> None:
    _stop_the_clocks(monkeypatch, settings)
    store(1)

    async def ways() -> list[HttpReply]:
        first = await handler.enter(path)
        has = {"if_none_match": dict(first.headers)[b"ETag"].decode(), "x_request_id": "the-same"}
        answers = []
        for enter in (handler.past_the_door, handler.enter, handler.enter):
            cache.clear()
            answers.append(await enter(path, **has))
        return answers

    by_views, first, second = map(reported, asyncio.run(ways()))
    assert by_views == first == second
    assert by_views[0] == 304
    assert handler.views_asked == 3


@pytest.mark.parametrize("path", KEPT)
def test_cached_response_is_never_older_than_stream(handler: HandlerUnderTest, path: str) -> None:
    async def heads() -> list[int]:
        found = []
        for tid in range(1, 4):
            await asyncio.to_thread(_store_and_leave, tid)
            found += [data(await handler.enter(path))["head"] for _ in range(2)]
        return found

    assert asyncio.run(heads()) == [head for head in range(1, 4) for _ in range(2)]
    assert handler.views_asked == 3


def _store_and_leave(tid: int) -> None:
    try:
        store(tid)
    finally:
        connection.close()


@pytest.mark.parametrize("path", [RECENT, "/api/v1/liquidations?coin=btc&page=1", "/api/v1/transactions?cursor="])
def test_what_many_ask_at_one_moment_is_made_once(handler: HandlerUnderTest, path: str) -> None:
    async def crowd() -> list[HttpReply]:
        await asyncio.to_thread(_store_and_leave, 1)
        await handler.enter(path)
        await asyncio.to_thread(_store_and_leave, 2)
        return await asyncio.gather(*(handler.enter(path) for _ in range(50)))

    assert {data(answer)["head"] for answer in asyncio.run(crowd())} == {2}
    assert handler.views_asked == 2


def test_disabled_cache_still_answers_requests(handler: HandlerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    store(1)

    async def crowd() -> list[HttpReply]:
        await handler.enter(RECENT)
        with monkeypatch.context() as patch:
            patch.setattr("hyperwatch.cache.cache_middleware.response_cache.find", lambda *_: None)
            return await asyncio.gather(*(handler.enter(RECENT) for _ in range(10)))

    assert [answer.status for answer in asyncio.run(crowd())] == [200] * 10


def assert_all_are_counted(handler: HandlerUnderTest, settings: Settings) -> None:
    """Ten requests a day are allowed: of thirty at once ten pass, each with another count."""
    settings.THROTTLE_READS = "10/day"
    store(1)

    async def crowd() -> list[HttpReply]:
        first = await handler.enter(RECENT)
        return [first, *await asyncio.gather(*(handler.enter(RECENT) for _ in range(29)))]

    answers = asyncio.run(crowd())
    let_in = [int(dict(answer.headers)[b"X-RateLimit-Remaining"]) for answer in answers if answer.status == 200]
    assert sorted(let_in) == list(range(10))
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == 20
    assert all(dict(answer.headers)[b"X-RateLimit-Remaining"] == b"0" for answer in refused)
    assert all(b"Retry-After" in dict(answer.headers) for answer in refused)


def test_whoever_is_answered_at_the_door_is_counted(handler: HandlerUnderTest, settings: Settings) -> None:
    assert_all_are_counted(handler, settings)


def test_in_redis_they_are_counted_alike(
    handler: HandlerUnderTest, settings: Settings, redis_server: RedisServer
) -> None:
    backend = "hyperwatch.limits.rate_counter.RedisRateCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": redis_server.url, "KEY_PREFIX": "door"}}
    assert_all_are_counted(handler, settings)


def test_cache_answers_nothing_where_reads_need_key(handler: HandlerUnderTest, settings: Settings) -> None:
    store(1)

    async def statuses() -> list[int]:
        await handler.enter(RECENT)
        settings.ALLOW_ANONYMOUS_READS = False
        return [(await handler.enter(RECENT)).status for _ in range(2)]

    assert asyncio.run(statuses()) == [401, 401]


def test_cache_answers_nothing_while_database_is_unavailable(
    handler: HandlerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(1)

    async def statuses() -> list[int]:
        answers = [await handler.enter(RECENT)]
        with monkeypatch.context() as unavailable:
            unavailable.setattr(handler._cache, "_read_versions", _away)
            unavailable.setattr("realtime.storage.sequences.stream_snapshot", _away)
            answers.append(await handler.enter(RECENT))
        return [answer.status for answer in [*answers, await handler.enter(RECENT)]]

    assert asyncio.run(statuses()) == [200, 503, 200]


def _away(*_args: Any) -> None:
    from django.db import OperationalError

    raise OperationalError("no more")


def test_longer_response_is_compressed_after_a_short_one(handler: HandlerUnderTest) -> None:
    async def answers() -> list[HttpReply]:
        path = f"{RECENT}?limit=1&side=SHORT"
        found = [await handler.enter(path, accept_encoding="gzip")]
        await asyncio.to_thread(_store_short_and_leave)
        found += [await handler.enter(path, accept_encoding="gzip") for _ in range(2)]
        return found

    small, *large = asyncio.run(answers())
    assert b"Content-Encoding" not in dict(small.headers)
    assert data(small)["liquidations"] == []
    for answer in large:
        assert dict(answer.headers)[b"Content-Encoding"] == b"gzip"
        assert len(json.loads(gzip.decompress(answer.body))["data"]["liquidations"]) == 1


def _store_short_and_leave() -> None:
    try:
        stored(liquidation(side="SHORT"))
    finally:
        connection.close()


def test_caches_count_the_bytes_of_their_keys(handler: HandlerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    store(1)
    handler._cache._templates, bodies = ByteCache(100_000), ByteCache[CacheKey, CachedResponse](100_000)
    monkeypatch.setattr(response_cache, "_responses", bodies)

    async def fill() -> None:
        for limit in range(1, 31):
            answer = await handler.enter(f"{RECENT}?limit={limit}&coin={','.join(['BTC'] * 2_000)}")
            assert answer.status == 200

    asyncio.run(fill())
    # 8 KB of query, twice in a template: in the key and in that of its body.
    assert 1 <= len(handler._cache._templates) <= 5
    assert 5 <= len(bodies) <= 11
