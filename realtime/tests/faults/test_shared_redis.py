"""Two installations on one Redis, with the same prefix: their clients receive the facts of their own only."""

from contextlib import ExitStack
from pathlib import Path

from pytest_django.fixtures import Settings

from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services import commands
from realtime.tests.builders import liquidation
from realtime.tests.ingest_helpers import send
from realtime.tests.websocket_client import client, metric

FACTS = 30


def test_installations_on_one_redis_stay_separate(
    fresh_database: Database, redis_server: RedisServer, tmp_path: Path, settings: Settings
) -> None:
    second = fresh_database.copy()
    second.query("UPDATE epoch SET value = 'that of its own init_db'")
    redis_url = redis_server.url.rpartition("/")[0]
    with ExitStack() as stack:
        stack.callback(second.drop)
        installations = [
            Installation(stack, tmp_path / str(number), database, f"{redis_url}/{number}")
            for number, database in enumerate((fresh_database, second))
        ]
        clients = [stack.enter_context(client(installation.web.ws_url)) for installation in installations]
        for ws in clients:
            ws.subscribe("liquidations")
        for tid in range(FACTS):
            settings.KAFKA_BOOTSTRAP_SERVERS = installations[tid % 2].kafka.bootstrap
            send([liquidation(raw_data={"tid": tid})])
        for number, (ws, installation) in enumerate(zip(clients, installations, strict=True)):
            ws.wait_for(FACTS // 2)
            assert ws.silent_for(0.5)
            assert ws.seqs("liquidations") == list(range(1, FACTS // 2 + 1))
            tids = installation.database.query("SELECT (raw_data->>'tid')::int FROM liquidations ORDER BY id")
            assert tids == [(tid,) for tid in range(number, FACTS, 2)]
            assert metric(installation.web, "hyperwatch_hub_discarded_messages_total") > 0


class Installation:
    """A broker, a consumer and a web server. Its hub polls the heads too rarely to help out."""

    def __init__(self, stack: ExitStack, folder: Path, database: Database, redis_url: str) -> None:
        self.database = database
        self.kafka = MockKafka(folder / "kafka")
        self.kafka.start()
        stack.callback(self.kafka.stop)
        env = {**database.env, "REDIS_URL": redis_url, **self.kafka.env}
        stack.enter_context(commands.running("consume", folder, **env))()
        self.web = stack.enter_context(commands.running("serve", folder, **env))(STREAM_SYNC_INTERVAL_SECONDS="60")
