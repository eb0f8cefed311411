"""The text that `up` prints: addresses, the admin's login, an API key with write scope."""

import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from rest_framework_api_key.models import APIKey

from hyperwatch.embedded.local_secrets import read_or_create, write_secret

WILDCARD_HOSTS = ("0.0.0.0", "::", "")  # noqa: S104 (compared, not bound)

TEXT = """
Hyperwatch is up. Ctrl-C ends it; data stays.

  Start page   {http}/
  API          {http}/api/v1/liquidations/recent
  Docs         {http}/docs
  WebSocket    ws{address}/ws
  Admin        {http}/admin/   {login}
  Key          Authorization: Api-Key {key}

{market}
"""
SIMULATED_TEXT = "The market is SIMULATED: no price, trade or wallet here is real. DEMO_MARKET=0 turns it off."
NOT_SIMULATED_TEXT = "The demo market is turned off: all data comes from Kafka."


def generated_password(var: Path) -> str:
    """The generated password of the admin, used if ADMIN_PASSWORD is unset."""
    return read_or_create(var / "admin_password", lambda: secrets.token_urlsafe(12))


def admin_login(var: Path) -> str:
    """Name and password of the admin; only a generated password is printed."""
    user = get_user_model().objects.filter(username=settings.ADMIN_USERNAME).first()
    is_generated = user is not None and user.check_password(generated_password(var))
    password = generated_password(var) if is_generated else "the password that was set for it"
    return f"{settings.ADMIN_USERNAME} / {password}"


def api_key(var: Path) -> str:
    """A valid API key; creates one if the stored key is revoked or belongs to another database."""
    file = var / "api_key"
    key = file.read_text().strip() if file.exists() else ""
    if not APIKey.objects.is_valid(key):
        _, key = APIKey.objects.create_key(name="created by up")
        write_secret(file, key)
    return key


def banner(var: Path, *, is_demo: bool) -> str:
    host = "localhost" if settings.SERVER_HOST in WILDCARD_HOSTS else settings.SERVER_HOST
    address = f"://{f'[{host}]' if ':' in host else host}:{settings.SERVER_PORT}"
    return TEXT.format(
        http=f"http{address}",
        address=address,
        login=admin_login(var),
        key=api_key(var),
        market=SIMULATED_TEXT if is_demo else NOT_SIMULATED_TEXT,
    )
