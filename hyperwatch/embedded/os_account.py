"""The operating system account that runs the embedded PostgreSQL, and the folder of its data.

PostgreSQL refuses to run as root. A normal user runs it under their own account, in `var`. Root runs it under an
existing unprivileged account. If that account has no access to `var` (a clone in root's home), /var/lib holds the
data and `var/postgres.elsewhere` names the folder. Nothing else on the machine is changed.
"""

import hashlib
import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hyperwatch.embedded import CannotStartError

UNPRIVILEGED_USERS = ("postgres", "nobody")
SHARED_DATA_FOLDER = Path("/var/lib")


class Account(NamedTuple):
    """`uid` and `gid` of the server: those of this process unless it runs as root."""

    uid: int
    gid: int

    @property
    def is_current(self) -> bool:
        return self.uid == os.geteuid()

    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess`. The working folder is one that every account can enter."""
        credentials = {} if self.is_current else {"user": self.uid, "group": self.gid, "extra_groups": []}
        return {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}, **credentials}

    def run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, **self.popen_options()
        )

    def can_enter(self, folder: Path) -> bool:
        return self.is_current or self.run(["/bin/sh", "-c", 'cd "$1"', "sh", folder]).returncode == 0

    def create_private(self, folder: Path) -> None:
        """Creates the private `folder`; rejects an existing one with another owner or mode."""
        try:
            folder.mkdir(mode=0o700)
            os.chown(folder, self.uid, self.gid)
        except FileExistsError:
            status = folder.lstat()
            if (status.st_uid, status.st_mode & 0o777) != (self.uid, 0o700) or folder.is_symlink():
                raise CannotStartError(
                    f"{folder} is not a private folder (mode 0700) of user {self.uid}: remove it, or set DATABASE_URL"
                ) from None


def digest(var: Path) -> str:
    """A short hash of the path of `var`, identical in every shell."""
    return hashlib.blake2b(os.fsencode(var.resolve()), digest_size=6).hexdigest()


def account_and_home(var: Path) -> tuple[Account, Path]:
    """The account and its private data folder; `var` must exist."""
    pointer_file = var / "postgres.elsewhere"
    home = Path(pointer_file.read_text().strip()) if pointer_file.exists() else var / "postgres"
    account = _account(home)
    if not pointer_file.exists() and not account.can_enter(var):
        home = SHARED_DATA_FOLDER / f"hyperwatch-{digest(var)}"
        pointer_file.write_text(f"{home}\n")
    account.create_private(home)
    return account, home


def _account(home: Path) -> Account:
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    # Data of a normal user: root runs the server as that user.
    if home.exists() and (status := home.stat()).st_uid != 0:
        return Account(status.st_uid, status.st_gid)
    for name in UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise CannotStartError(
        f"PostgreSQL refuses to run as root, and no unprivileged user exists ({' or '.join(UNPRIVILEGED_USERS)}): "
        "start as another user, or set DATABASE_URL"
    )
