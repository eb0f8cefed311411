"""`manage.py init_db`: creates tables, topics and the first admin; idempotent, for every update."""

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
        "Creates the tables in the database, the topics if Kafka is available, and an admin if ADMIN_PASSWORD is set. "
        "Run it before the first start and after each update. Existing objects stay: it can be run at any time, and "
        "prints its changes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--new-epoch",
            action="store_true",
            help="after restoring a backup: start a new epoch, which invalidates the seq values of clients",
        )

    def handle(self, *args: Any, new_epoch: bool, **options: Any) -> None:
        self._migrate()
        if new_epoch:
            rotate_epoch(read_epoch())
        self.stdout.write(f"epoch: {read_epoch()}{' (new)' if new_epoch else ''}")
        self._create_topics()
        self._create_admin()

    def _migrate(self) -> None:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        # Also with an empty plan: the post_migrate signal creates the rows of new streams (ensure_streams).
        call_command("migrate", interactive=False, verbosity=0)
        apps = ", ".join(dict.fromkeys(migration.app_label for migration, _ in plan))
        self.stdout.write(f"schema: applied {len(plan)} migrations ({apps})" if plan else "schema: up to date")

    def _create_topics(self) -> None:
        try:
            created = create_topics()
        except KafkaUnavailable as error:
            self.stdout.write(self.style.WARNING(f"topics: skipped, Kafka is unavailable ({error})"))
            return
        names = ", ".join(topic.name for topic in topics())
        self.stdout.write(f"topics: created {', '.join(created)}" if created else f"topics: exist already ({names})")

    def _create_admin(self) -> None:
        users = get_user_model()._default_manager
        name = settings.ADMIN_USERNAME
        if users.filter(username=name).exists():
            self.stdout.write(f"admin: '{name}' exists already, unchanged")
        elif not settings.ADMIN_PASSWORD:
            self.stdout.write("admin: none created; set ADMIN_PASSWORD, or use `manage.py createsuperuser`")
        else:
            users.create_superuser(name, settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD)
            self.stdout.write(f"admin: created '{name}'")
