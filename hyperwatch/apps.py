from django.apps import AppConfig


class HyperwatchConfig(AppConfig):
    name = "hyperwatch"

    def ready(self) -> None:
        from hyperwatch import checks  # noqa: F401 (registers them)
