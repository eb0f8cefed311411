"""What `manage.py check --deploy` says of ours."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Info, Tags, register

PLAIN = (
    "HTTPS is false: what comes and goes, keys and passwords among it, can be read by whoever stands between. That is "
    "right on a network that is yours alone."
)
HINT = "Elsewhere put a proxy before it that ends TLS, and set NUM_PROXIES=1 and HTTPS=true."


@register(Tags.security, deploy=True)
def https_is_chosen(**_options: Any) -> list[CheckMessage]:
    return [] if settings.HTTPS else [Info(PLAIN, hint=HINT, id="hyperwatch.I001")]
