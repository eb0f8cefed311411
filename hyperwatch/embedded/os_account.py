"""As whom the embedded PostgreSQL runs, and where that account can keep its files.

PostgreSQL refuses to run as root. A normal user runs it as themselves, in `var`. Root runs it as an account
that is there already and has no rights; where `var` is closed to that account (a clone under root's home),
its files live outside, in a folder that `var` notes. Nothing else on the machine is changed.
"""

import hashlib
import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hyperwatch.embedded import CannotStartError

UNPRIVILEGED = ("postgres", "nobody")
OUTSIDE = Path("/var/lib")


class Account(NamedTuple):
    """Who runs the server: `uid` and `gid`, which are ours unless we are root."""

    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        return self.uid == os.geteuid()

    def spawning(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess`. The working folder is one that everyone may enter."""
        switch = {} if self.is_ours else {"user": self.uid, "group": self.gid, "extra_groups": []}
        return {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}, **switch}

    def run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, **self.spawning())  # noqa: S603

    def reaches(self, folder: Path) -> bool:
        return self.is_ours or self.run(["/bin/sh", "-c", 'cd "$1"', "sh", folder]).returncode == 0

    def own(self, folder: Path) -> None:
        """Makes the private `folder`, or refuses one that belongs to somebody else."""
        try:
            folder.mkdir(mode=0o700)
            os.chown(folder, self.uid, self.gid)
        except FileExistsError:
            status = folder.lstat()
            if (status.st_uid, status.st_mode & 0o777) != (self.uid, 0o700) or folder.is_symlink():
                raise CannotStartError(
                    f"{folder} is not a private folder of user {self.uid}: remove it, or set DATABASE_URL"
                ) from None


def digest(var: Path) -> str:
    """A short name for `var`, the same in every shell."""
    return hashlib.blake2b(os.fsencode(var.resolve()), digest_size=6).hexdigest()


def account_and_home(var: Path) -> tuple[Account, Path]:
    """The account, and the private folder in which it keeps everything; `var` must exist."""
    note = var / "postgres.elsewhere"
    home = Path(note.read_text().strip()) if note.exists() else var / "postgres"
    account = _account(home)
    if not note.exists() and not account.reaches(var):
        home = OUTSIDE / f"hyperwatch-{digest(var)}"
        note.write_text(f"{home}\n")
    account.own(home)
    return account, home


def _account(home: Path) -> Account:
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    # What a normal user began, root goes on with as that user.
    if home.exists() and (status := home.stat()).st_uid != 0:
        return Account(status.st_uid, status.st_gid)
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise CannotStartError(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as: "
        "start as another user, or set DATABASE_URL"
    )
