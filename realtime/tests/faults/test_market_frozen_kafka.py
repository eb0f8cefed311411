import time
from threading import Event

from hyperwatch.harness.kafka import KafkaBroker
from realtime.kafka.bulk_producer import topic_names
from realtime.tests.server.kafka.test_market_feed import START, expected, in_thread, read


def test_nothing_is_lost_or_repeated_while_kafka_is_frozen(apache_kafka: KafkaBroker) -> None:
    thread = in_thread(Event(), rate=200, start=START, duration=3.0)
    time.sleep(1.0)
    apache_kafka.pause()
    time.sleep(1.0)
    apache_kafka.resume()
    thread.join(15)
    names = topic_names()
    wanted = [(names[topic], key, value) for topic, key, value in expected(3.0, 200)]
    assert sorted(read(len(wanted))) == sorted(wanted)
