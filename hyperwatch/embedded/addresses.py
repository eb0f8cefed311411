"""Where the embedded parts are, for whoever asks, whether they run or not; and the installation's secret.

Nothing here starts anything: settings are read by every command, in every shell.
"""

import secrets
from pathlib import Path

from hyperwatch.embedded import postgres
from hyperwatch.embedded.held import is_held
from hyperwatch.embedded.kept import kept


def database_url(var: Path) -> str:
    """The URL of the embedded PostgreSQL that keeps its data in `var`."""
    return postgres.url(var)


def kafka_file(var: Path) -> Path:
    return var / "kafka.address"


def kafka(var: Path) -> str:
    """`host:port` of the embedded broker that runs, or the empty string."""
    file = kafka_file(var)
    return file.read_text().strip() if is_held(file) else ""


def secret_key(var: Path) -> str:
    """The secret of this installation, made once, for those who set none."""
    return kept(var / "secret_key", lambda: secrets.token_urlsafe(48))
