"""Generated secrets of this installation, stored in `var`, for settings that are unset."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def read_or_create(file: Path, make: Callable[[], str]) -> str:
    """The secret in `file`, which is created with mode 0600 if missing."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(file, make())
        # link(2) fails if the file exists: of two commands that start at once, the first one's secret is used.
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
