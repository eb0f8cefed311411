from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class RealtimeConfig(AppConfig):
    name = "realtime"

    def ready(self) -> None:
        autodiscover_modules("stream")
        from realtime.settings_check import check_settings
        from realtime.storage.sequences import ensure_streams

        post_migrate.connect(ensure_streams, sender=self)
        check_settings()
