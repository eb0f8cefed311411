"""The embedded PostgreSQL."""

from pathlib import Path


def url(var: Path) -> str:
    raise NotImplementedError
