"""Reads settings from the environment and `.env`, and refuses what cannot be: all of it at once, each by name.

A value is told with its refusal unless it may hold a secret.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import dj_database_url
from environs import Env, EnvValidationError, ValidationError
from marshmallow.validate import OneOf, Range, Regexp
from psycopg2 import ProgrammingError
from psycopg2.extensions import make_dsn

T = TypeVar("T")

PLACEHOLDER = "change-me"
MAKES_ONE = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
UNCHANGED = f"is still the example's {PLACEHOLDER}: put one of your own, made by {MAKES_ONE}"

A_DATABASE = "takes postgresql://user:password@host:5432/name"
A_REDIS = "takes redis://host:6379/0 (rediss:// with TLS, unix:///path for a socket)"
ENCODED = "; in a user or password, / ? # @ : and % are written as %2F %3F %23 %40 %3A and %25"
SERVERS = re.compile(r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)
ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9*._-]+)(?::[0-9]{1,5})?|file://|null", re.ASCII | re.IGNORECASE
)
OPTIONS_OF_DJANGO = ("isolation_level", "assume_role")
DAYS = re.compile(r"([a-z_]+) *= *([0-9]{1,6}(?:\.[0-9]{1,6})?)", re.ASCII)
TOPIC = r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z"


class SettingsRefused(SystemExit):
    """Ends the process with a message for the person at the terminal, whoever reads the settings: manage.py,
    daphne, a test run. What has to be mended is outside of the code, so a traceback would only hide it."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        self.wrong = dict(wrong)
        lines = "".join(f"\n  {name} {reason}" for name, reason in wrong.items())
        super().__init__(f"These settings cannot be. Mend them in the environment or in .env:{lines}")


class Settings:
    """Each method reads one setting; `check` raises SettingsRefused for all that could not be."""

    def __init__(self, file: Path, *, is_asked_for: bool) -> None:
        self._env = Env()
        self.wrong: dict[str, str] = {}
        if file.is_dir() or (is_asked_for and not file.exists()):
            self.wrong["ENV_FILE"] = f"takes a file that is there, not {str(file)!r}"
            return
        try:
            self._env.read_env(file, recurse=False)
        except (OSError, UnicodeDecodeError) as error:
            self.wrong["ENV_FILE"] = f"cannot be read: {error}"

    def check(self) -> None:
        if self.wrong:
            raise SettingsRefused(self.wrong)

    def refuse(self, name: str, reason: str) -> None:
        self.wrong.setdefault(name, reason)

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        return self._read(self._env.int, name, default, f"a whole number from {least} to {most}", Range(least, most))

    def number(self, name: str, default: float, least: float, most: float) -> float:
        return self._read(self._env.float, name, default, f"a number from {least} to {most}", Range(least, most))

    def amount(self, name: str, default: Decimal) -> Decimal:
        takes = "an amount from 0, of less than 10^22"
        return self._read(self._env.decimal, name, default, takes, Range(0, 10**22, max_inclusive=False))

    def flag(self, name: str, default: bool) -> bool:
        return self._read(self._env.bool, name, default, "true or false")

    def choice(self, name: str, default: str, choices: Iterable[str]) -> str:
        named = list(choices)
        return self._read(self._env.str, name, default, f"one of {', '.join(named)}", OneOf(named))

    def matching(self, name: str, default: str, pattern: str, takes: str) -> str:
        return self._read(self._env.str, name, default, takes, Regexp(pattern))

    def host(self, name: str, default: str) -> str:
        return self.matching(name, default, r"[A-Za-z0-9._:%-]{1,253}\Z", "an address or a host's name to listen on")

    def topic(self, name: str, default: str) -> str:
        return self.matching(
            name, default, TOPIC, "a topic's name: 1 to 249 letters, digits, dots, dashes, underscores"
        )

    def rate(self, name: str, default: str) -> str:
        takes = "a number of requests by second, minute, hour or day, like 6000/minute"
        return self.matching(name, default, r"[1-9][0-9]{0,8}/(second|minute|hour|day)\Z", takes)

    def text(self, name: str, default: str = "") -> str:
        """Anything; an empty one is as none."""
        text: str = self._env.str(name, "")
        return text or default

    def secret(self, name: str) -> str:
        secret = self.text(name)
        if secret == PLACEHOLDER:
            self.refuse(name, UNCHANGED)
        return secret

    def kept(self, name: str, folder: Path, keep: Callable[[Path], str]) -> str:
        """What is made once and kept in `folder`, which is the setting `name`."""
        try:
            return keep(folder)
        except OSError as error:
            self.refuse(name, f"takes a folder that can be written to, not {str(folder)!r} ({error.strerror})")
            return ""

    def programs(self, name: str) -> str:
        """Where PostgreSQL's programs are; an empty text leaves it to whoever looks for them."""
        place = self.text(name)
        if place not in ("", "local", "wheel") and not Path(place, "initdb").exists():
            self.refuse(name, f"takes local, wheel, or a folder with postgres and initdb in it, not {place!r}")
        return place

    def names(self, name: str, default: Iterable[str] = ()) -> list[str]:
        """What stands between commas; an empty text is an empty list."""
        given: list[str] = self._env.list(name, list(default))
        return [text for one in given if (text := one.strip())]

    def days(self, name: str) -> dict[str, float]:
        """Numbers of days by names: `transactions=30,liquidations=365`."""
        days = {}
        for pair in self.names(name):
            match = DAYS.fullmatch(pair)
            if match is None or not 0 < float(match[2]) <= 36_500:
                self.refuse(name, f"takes days for streams, like transactions=30,liquidations=365, not {pair!r}")
            else:
                days[match[1]] = float(match[2])
        return days

    def origins(self, name: str, default: Iterable[str] = (), *, also: str = "*") -> list[str]:
        """Origins, or the word `also`."""
        origins = self.names(name, default)
        wrong = [origin for origin in origins if origin != also and not ORIGIN.fullmatch(origin)]
        if wrong:
            self.refuse(name, f"takes origins, like https://hyperwatch.example.com, with commas, not {wrong[0]!r}")
        return origins

    def servers(self, name: str) -> str:
        servers = self.text(name)
        for server in servers.split(",") if servers else []:
            match = SERVERS.fullmatch(server.strip())
            if match is None or not 0 < int(match[1] or 9092) <= 65535:
                self.refuse(name, f"takes host:9092, or several with commas, not {server.strip()!r}")
        return servers

    def database(self, name: str) -> str:
        return self._url(name, _database)

    def redis(self, name: str) -> str:
        return self._url(name, _redis)

    def _url(self, name: str, check: Callable[[str], None]) -> str:
        """An empty text is none. It may hold a password, so nothing of it is told."""
        url = self.text(name)
        try:
            if url:
                check(url)
        except ValidationError as error:
            self.refuse(name, str(error.args[0]))
        return url

    def _read(self, read: Callable[..., Any], name: str, default: T, takes: str, check: Any = None) -> T:
        try:
            value: T = read(name, default, validate=check)
        except EnvValidationError:
            given: str = self._env.str(name, "")
            self.refuse(name, f"takes {takes}, not {given[:60]!r}")
            return default
        return value


def _split(url: str, takes: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValidationError(f"{takes}: its host or port cannot be read{ENCODED}") from None
    if port == 0:
        raise ValidationError(f"{takes}: there is no port 0")
    return parts


def _database(url: str) -> None:
    parts = _split(url, A_DATABASE)
    if not url.startswith(("postgres://", "postgresql://")):
        raise ValidationError(f"{A_DATABASE}; it begins otherwise")
    if unquote(parts.password or "") == PLACEHOLDER:
        raise ValidationError(f"has a password (POSTGRES_PASSWORD) that {UNCHANGED}")
    if "/" in parts.path.strip("/") or not parts.path.strip("/"):
        raise ValidationError(f"{A_DATABASE}; it names no database{ENCODED}")
    try:
        options = dj_database_url.parse(url).get("OPTIONS", {})
        make_dsn(**{name: value for name, value in options.items() if name not in OPTIONS_OF_DJANGO})
    except (ValueError, ProgrammingError) as error:
        what = str(error).strip() if isinstance(error, ProgrammingError) else "it cannot be read"
        raise ValidationError(f"{A_DATABASE}; {what}{ENCODED}") from None


def _redis(url: str) -> None:
    parts = _split(url, A_REDIS)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValidationError(f"{A_REDIS}; it begins otherwise")
    if parts.scheme == "unix":
        if not parts.path:
            raise ValidationError(f"{A_REDIS}; it names no socket")
        return
    if not parts.hostname:
        raise ValidationError(f"{A_REDIS}; it names no host")
    numbers = [parts.path.strip("/"), *parse_qs(parts.query).get("db", [])]
    if not all(number.isdecimal() for number in numbers if number):
        raise ValidationError(f"{A_REDIS}; its database is no number{ENCODED}")
