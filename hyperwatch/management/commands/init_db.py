"""`manage.py init_db`: everything there has to be before the first start, and again after each update."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from hyperwatch.management.base import DatabaseCommand
from realtime.kafka.admin import KafkaUnavailable, create_topics, topics
from realtime.storage.sequences import read_epoch, rotate_epoch


class Command(DatabaseCommand):
    help = (
        "Makes what has to be there before the first start, and again after each update: the tables in the database, "
        "the topics where Kafka answers, and an admin where ADMIN_PASSWORD is set. What is there already stays: it can "
        "be run at any time, and says what it did."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--new-epoch",
            action="store_true",
            help="after restoring a backup: tells clients that the sequence numbers they know mean nothing any more",
        )

    def handle(self, *args: Any, new_epoch: bool, **options: Any) -> None:
        self._migrate()
        if new_epoch:
            rotate_epoch()
        self.stdout.write(f"epoch: {read_epoch()}{' (new)' if new_epoch else ''}")
        self._create_topics()
        self._create_admin()

    def _migrate(self) -> None:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        # Also with nothing to do: it is what makes rows for streams that are new since.
        call_command("migrate", interactive=False, verbosity=0)
        rooms = ", ".join(dict.fromkeys(migration.app_label for migration, _ in plan))
        self.stdout.write(f"schema: applied {len(plan)} migrations ({rooms})" if plan else "schema: up to date")

    def _create_topics(self) -> None:
        try:
            created = create_topics()
        except KafkaUnavailable as away:
            self.stdout.write(self.style.WARNING(f"topics: left out, Kafka is away ({away})"))
            return
        names = ", ".join(topic.name for topic in topics())
        self.stdout.write(f"topics: created {', '.join(created)}" if created else f"topics: there already ({names})")

    def _create_admin(self) -> None:
        users = get_user_model()._default_manager
        name = settings.ADMIN_USERNAME
        if users.filter(username=name).exists():
            self.stdout.write(f"admin: '{name}' is there already, left as it is")
        elif not settings.ADMIN_PASSWORD:
            self.stdout.write("admin: none made; set ADMIN_PASSWORD, or use `manage.py createsuperuser`")
        else:
            users.create_superuser(name, settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD)
            self.stdout.write(f"admin: made '{name}'")
