"""Redis restarted, frozen and full: it is a doorbell, and nothing but the bell is lost."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services.fixtures import Folders
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.house import House, a_house, a_kafka
from realtime.tests.sockets import metric

pytestmark = [pytest.mark.slow, pytest.mark.redis]

Fault = Callable[[RedisServer], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def house(_migrated: Database, _redis: RedisServer, tmp_path_factory: Folders) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    _redis.ensure_running()
    with a_kafka(folder / "kafka") as kafka, a_house(_migrated, kafka.env, folder, **_redis.env) as house:
        house.web.allows_traceback = True  # The layer logs a traceback of its own when its connection breaks.
        yield house


@pytest.fixture(scope="module")
def consumer(house: House) -> AppProcess:
    return house.working()


@contextmanager
def dead(redis: RedisServer) -> Iterator[None]:
    redis.kill()
    yield
    redis.start()


@contextmanager
def frozen(redis: RedisServer) -> Iterator[None]:
    redis.pause()
    yield
    redis.resume()


@contextmanager
def full(redis: RedisServer) -> Iterator[None]:
    redis.client().config_set("maxmemory", 1)
    yield
    redis.client().config_set("maxmemory", 0)


@pytest.mark.parametrize(("fault", "word"), [(dead, "down"), (frozen, "down"), (full, "ok")])
def test_while_redis_is_in_trouble_all_goes_on_and_afterwards_the_bell_rings_again(
    house: House, consumer: AppProcess, redis_server: RedisServer, fault: Fault, word: str
) -> None:
    house.send(20)
    house.check()
    with fault(redis_server):
        house.send(20)
        house.check()
        house.check_counts_as_read()
        assert house.ready("channel_layer")[::2] == (200, word)
        house.check_reads()
        house.check_socket()
    wait_until(lambda: is_told(house, consumer), "the layer to be told again", 20)
    house.check()
    house.check_silent()
    told = [metric(consumer, f"hyperwatch_{name}_total") for name in ("published", "untold")]
    assert sum(told) == house.sent
    assert house.ready("channel_layer") == (200, "ok", "ok")
    house.check_reads()
    house.check_socket()


def is_told(house: House, consumer: AppProcess) -> bool:
    before = metric(consumer, "hyperwatch_published_total")
    house.send(1)
    house.check()
    return metric(consumer, "hyperwatch_published_total") > before
