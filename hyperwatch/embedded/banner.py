"""What the person who started `up` needs to know: where everything is, an admin login, a key for writes."""

import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from rest_framework_api_key.models import APIKey

from hyperwatch.embedded.local_secrets import read_or_create, write_secret

ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 (compared, not listened on)

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
SIMULATED = "The market is SIMULATED: no price, trade or wallet here is real. DEMO_MARKET=0 leaves it out."
QUIET = "The demo market is left out: what arrives on Kafka is all there is."


def made_password(var: Path) -> str:
    """The admin's password where ADMIN_PASSWORD gives none."""
    return read_or_create(var / "admin_password", lambda: secrets.token_urlsafe(12))


def admin_login(var: Path) -> str:
    """The login as far as we know it: we print no password that we did not make ourselves."""
    user = get_user_model().objects.filter(username=settings.ADMIN_USERNAME).first()
    made = user is not None and user.check_password(made_password(var))
    return f"{settings.ADMIN_USERNAME} / {made_password(var) if made else 'the password you gave it'}"


def api_key(var: Path) -> str:
    """A key that this database accepts: another database, or a revocation, asks for a new one."""
    file = var / "api_key"
    key = file.read_text().strip() if file.exists() else ""
    if not APIKey.objects.is_valid(key):
        _, key = APIKey.objects.create_key(name="made by up")
        write_secret(file, key)
    return key


def banner(var: Path, *, is_demo: bool) -> str:
    host = "localhost" if settings.SERVER_HOST in ANYWHERE else settings.SERVER_HOST
    address = f"://{f'[{host}]' if ':' in host else host}:{settings.SERVER_PORT}"
    return TEXT.format(
        http=f"http{address}",
        address=address,
        login=admin_login(var),
        key=api_key(var),
        market=SIMULATED if is_demo else QUIET,
    )
