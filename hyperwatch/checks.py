"""System checks of this project for `manage.py check --deploy`."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Info, Tags, register

PLAIN = (
    "BEHIND_TLS_PROXY is false: traffic is plain HTTP, so keys and passwords can be read on the way. "
    "Acceptable only on a private network."
)
HINT = "Otherwise run it behind a proxy that terminates TLS, with NUM_PROXIES=1 and BEHIND_TLS_PROXY=true."


@register(Tags.security, deploy=True)
def https_is_chosen(**_options: Any) -> list[CheckMessage]:
    return [] if settings.BEHIND_TLS_PROXY else [Info(PLAIN, hint=HINT, id="hyperwatch.I001")]
