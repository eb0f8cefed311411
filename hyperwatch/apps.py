from django.apps import AppConfig


class HyperwatchConfig(AppConfig):
    name = "hyperwatch"

    def ready(self) -> None:
        from hyperwatch import checks  # noqa: F401 (registers the system checks)
        from hyperwatch.db import open_connections  # noqa: F401 (registers the signal handler and the gauge)
