"""Secrets of this installation, kept in `var` for those who set none."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def read_or_create(file: Path, make: Callable[[], str]) -> str:
    """What `file` keeps, which only its owner may read; made where there is none yet."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(file, make())
        # Of two commands that start at once in a new clone, the first one's stands.
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
        draft.unlink()
    return file.read_text().strip()


def write_secret(file: Path, secret: str) -> None:
    _draft(file, secret).replace(file)


def _draft(file: Path, secret: str) -> Path:
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(f"{secret}\n")
    return draft
