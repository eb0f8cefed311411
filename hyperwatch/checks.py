"""System checks of this project for `manage.py check --deploy`."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Info, Tags, register

PLAIN_HTTP_TEXT = (
    "BEHIND_TLS_PROXY is false: traffic is plain HTTP, so keys and passwords can be read on the way. "
    "Acceptable only on a private network."
)
TLS_PROXY_HINT = "Otherwise run it behind a proxy that terminates TLS, with NUM_PROXIES=1 and BEHIND_TLS_PROXY=true."


@register(Tags.security, deploy=True)
def check_tls(**_options: Any) -> list[CheckMessage]:
    return [] if settings.BEHIND_TLS_PROXY else [Info(PLAIN_HTTP_TEXT, hint=TLS_PROXY_HINT, id="hyperwatch.I001")]
