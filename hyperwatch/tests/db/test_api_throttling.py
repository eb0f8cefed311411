"""Rate limits, and the response beyond them."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from hyperwatch.limits.throttling import rate_counter, read_rate
from hyperwatch.metrics import THROTTLE_BYPASSED_REQUESTS_TOTAL
from hyperwatch.tests.api_client import ask, authorization

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _few(settings: Settings) -> Iterator[None]:
    """Three reads and two writes a day: a shorter window could end within a test."""
    settings.THROTTLE_READS = "3/day"
    settings.THROTTLE_WRITES = "2/day"
    cache.clear()
    yield
    rate_counter.breaker.close()


def get(path: str = "/coins", **options: str) -> HttpResponse:
    return Client().get(f"/api/v1{path}", **options)  # type: ignore[arg-type,return-value]


def test_every_answer_tells_what_is_left() -> None:
    returned = [(answer["X-RateLimit-Limit"], answer["X-RateLimit-Remaining"]) for answer in (get(), get("/nothing"))]
    assert returned == [("3", "2"), ("3", "1")]
    assert 0 < int(get()["X-RateLimit-Reset"]) <= 86_400


def test_request_beyond_limit_gets_429_with_retry_after() -> None:
    for _ in range(3):
        assert get().status_code == 200
    answer = get()
    assert (answer.status_code, answer["X-RateLimit-Remaining"]) == (429, "0")
    assert abs(int(answer["Retry-After"]) - int(answer["X-RateLimit-Reset"])) <= 1
    assert ask("/liquidations", 429)["message"] == "Too Many Requests"
    ask("/nothing", 429)


def test_clients_are_counted_by_key_or_address() -> None:
    for _ in range(3):
        get()
    assert get().status_code == 429
    assert get(REMOTE_ADDR="10.0.0.2").status_code == 200
    assert get(**authorization()).status_code == 200


def test_forwarded_address_counts_only_behind_own_proxy(settings: Settings) -> None:
    for number in range(3):
        get(HTTP_X_FORWARDED_FOR=f"10.0.0.{number}")
    assert get(HTTP_X_FORWARDED_FOR="10.0.0.9").status_code == 429
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}
    assert get(HTTP_X_FORWARDED_FOR="10.0.0.9").status_code == 200
    assert get(HTTP_X_FORWARDED_FOR="spoofed, 10.0.0.9")["X-RateLimit-Remaining"] == "1"


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.7", "10.0.0.7", True),
        ("::ffff:10.0.0.7", "::ffff:10.0.0.8", False),
        ("10.0.0.7:4711", "10.0.0.7", True),
        ("[2001:db8:1:2::1]:4711", "2001:db8:1:2::2", True),
        ("no address", "no  address", False),
    ],
)
def test_a_site_of_ipv6_is_one_client(one: str, other: str, *, are_one: bool) -> None:
    get(REMOTE_ADDR=one)
    assert get(REMOTE_ADDR=other)["X-RateLimit-Remaining"] == ("1" if are_one else "2")


def test_who_is_refused_counts_too() -> None:
    for _ in range(2):
        ask("/whales", 401, "POST")
    ask("/whales", 429, "POST")
    for _ in range(3):
        ask("/coins", 401, HTTP_AUTHORIZATION="Api-Key wrong")
    ask("/coins", 429, HTTP_AUTHORIZATION="Api-Key wrong")


def test_writes_are_counted_apart_from_reads() -> None:
    for _ in range(3):
        get()
    ask("/whales", 401, "POST")


def test_unavailable_redis_bypasses_throttling_and_counts_it(settings: Settings) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "hyperwatch.limits.rate_counter.RedisRateCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    before = THROTTLE_BYPASSED_REQUESTS_TOTAL._value.get()
    for _ in range(5):
        answer = get()
        assert (answer.status_code, answer["X-RateLimit-Remaining"]) == (200, "3")
    assert THROTTLE_BYPASSED_REQUESTS_TOTAL._value.get() == before + 5


def test_counter_expired_between_reads_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "add", lambda *args, **options: False, raising=False)
    assert get()["X-RateLimit-Remaining"] == "2"


@pytest.mark.parametrize("text", ["", "6000", "0/minute", "-1/day", "5/fortnight", "1e3/second"])
def test_a_rate_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a rate must be"):
        read_rate(text)
