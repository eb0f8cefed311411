"""A consumer that dies or freezes at the worst places, and consumers that take over from each other."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import KafkaBroker
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services.fixtures import Folders
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.house import House, a_house, apache, waits
from realtime.tests.ingesting import health
from realtime.tests.sockets import metric

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.kafka]


@pytest.fixture(scope="module")
def house(_migrated: Database, _redis: RedisServer, _kafka: KafkaBroker, tmp_path_factory: Folders) -> Iterator[House]:
    _redis.ensure_running()
    with a_house(_migrated, apache(_kafka), tmp_path_factory.mktemp("house"), **_redis.env) as house:
        yield house


def known(consumer: AppProcess) -> int:
    return metric(consumer, 'hyperwatch_known_total{stream="transactions"}')


def test_killed_at_the_worst_places_it_loses_nothing_and_repeats_nothing(house: House) -> None:
    killed(house, at="copied:1")
    assert house.stored == 0, "before the commit nothing is there"
    house.check_silent()

    # The first message comes again, and the second is killed between its commit and its publishing.
    killed(house, at="stored:2")
    assert house.stored == 2
    house.check()

    # The second is known now; the third is killed between its publishing and the commit of its offset.
    killed(house, at="published:2")
    house.check()

    assert house.committed() == 2
    last = house.working()
    wait_until(lambda: known(last) == 1, "the third to come again")
    house.send(1)
    house.check()
    house.check_counts_as_read()
    assert metric(last, "hyperwatch_published_total") == 1
    house.check_silent()
    last.stop()


def killed(house: House, at: str) -> None:
    """Sends a message that a consumer dies of at that place."""
    doomed = house.working(INGEST_KILL_AT=at)
    if at.endswith("2"):
        wait_until(lambda: metric(doomed, "hyperwatch_batch_messages_count") == 1, "the last message to come again")
    house.send(1)
    assert doomed.wait(20) == -signal.SIGKILL


def test_a_rebalance_in_mid_batch_repeats_nothing_and_loses_nothing(house: House) -> None:
    """The first consumer has read a batch and waits for the database when the second one comes."""
    first = house.working()
    with house.out_of_connections():
        house.send(30)
        wait_until(lambda: waits(first) >= 1, "the first to wait with its batch")
        second = house.consumer()
        wait_until(
            lambda: waits(second) >= 1, "the second to wait with a batch of what the first has not committed", 20
        )
        assert house.committed() == house.sent - 30
        assert house.members() == 2, "who waits for the database takes part in the rebalance"
    house.check()
    wait_until(lambda: health(first)["lag"] + health(second)["lag"] == 0, "everything to be read")
    house.send(30)
    house.check()
    house.check_silent()
    house.check_counts_as_read()
    end(first, second)


def test_of_three_consumers_one_is_killed_and_one_frozen_past_its_session(house: House) -> None:
    """The frozen one has its batch in an open transaction; it holds no lock in it, so the third takes over."""
    frozen = house.consumer(INGEST_PAUSE_AT="copied:2", KAFKA_BATCH="10")
    doomed = house.consumer(INGEST_KILL_AT="stored:2", KAFKA_BATCH="10")
    third = house.consumer(KAFKA_BATCH="10")
    share(frozen, doomed, third)
    house.send(300)
    assert doomed.wait(20) == -signal.SIGKILL
    wait_until(lambda: is_frozen(frozen), "the other to be frozen")
    takes_over(third)
    house.check()
    check_comes_back(house, frozen)
    end(frozen, third)


def test_one_frozen_between_its_commit_and_its_publishing_tells_late_and_disturbs_nobody(house: House) -> None:
    frozen, other = house.consumer(INGEST_PAUSE_AT="stored:1"), house.consumer()
    share(frozen, other)
    house.send(50)
    wait_until(lambda: is_frozen(frozen), "the one to be frozen")
    takes_over(other)
    wait_until(lambda: known(other) > 0, "what the frozen one has stored to come again")
    house.check()
    check_comes_back(house, frozen)
    assert metric(frozen, "hyperwatch_published_total") > 0
    end(frozen, other)


def share(*consumers: AppProcess) -> None:
    wait_until(lambda: all(health(consumer)["assigned"] for consumer in consumers), "a share for each", 20)


def takes_over(consumer: AppProcess) -> None:
    wait_until(lambda: len(health(consumer)["assigned"]) == 15, "all partitions to have gone to one", 20)


def is_frozen(consumer: AppProcess) -> bool:
    return Path(f"/proc/{consumer.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def check_comes_back(house: House, frozen: AppProcess) -> None:
    """It goes on with what others have stored meanwhile, is taken into the group again, and all goes on."""
    frozen.resume()
    wait_until(lambda: "offsets not committed" in frozen.output(), "its offsets to be refused")
    wait_until(lambda: health(frozen)["assigned"], "a share for it", 20)
    house.check_silent()
    house.send(50)
    house.check()
    house.check_counts_as_read()
    house.check_silent()


def end(*consumers: AppProcess) -> None:
    for consumer in consumers:
        consumer.stop()
