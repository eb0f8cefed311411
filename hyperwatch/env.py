"""Typed settings from the environment and `.env`. Reports all invalid ones at once, each by name.

An error shows the value, except for settings that may contain a secret.
"""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from dotenv import dotenv_values
from environs import Env, EnvValidationError, ValidationError
from marshmallow.validate import OneOf, Range, Regexp

from hyperwatch.service_urls import PLACEHOLDER, UNCHANGED, check_database_url, check_redis_url

T = TypeVar("T")


SERVERS = re.compile(r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)
ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9*._-]+)(?::[0-9]{1,5})?|file://|null", re.ASCII | re.IGNORECASE
)
DAYS = re.compile(r"([a-z_]+) *= *([0-9]{1,6}(?:\.[0-9]{1,6})?)", re.ASCII)
# A name this similar to a setting is a typing error; others may be for Docker Compose or for another program.
MISSPELT_RATIO, SUGGESTED_RATIO = 0.8, 0.6
COMPOSE_PREFIXES = ("COMPOSE_", "DOCKER_")
TOPIC = r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z"


class InvalidSettings(SystemExit):
    """Ends the process with a message for the operator, in every program that reads the settings.

    The cause is outside of the code, so a traceback would only hide it.
    """

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        lines = "".join(f"\n  {name} {error}" for name, error in errors.items())
        super().__init__(f"Invalid settings. Fix them in the environment or in .env:{lines}")


class Settings:
    """Each method reads one setting; `check` raises InvalidSettings with all errors."""

    def __init__(self, file: Path, *, is_required: bool) -> None:
        self._env = Env()
        self._file = file
        self._names_in_file: list[str] = []
        self._known: set[str] = set()
        self.errors: dict[str, str] = {}
        if file.is_dir() or (is_required and not file.exists()):
            self.errors["ENV_FILE"] = f"must be an existing file, not {str(file)!r}"
            return
        try:
            self._env.read_env(file, recurse=False)
            self._names_in_file = list(dotenv_values(file, interpolate=False))
        except (OSError, UnicodeDecodeError) as error:
            self.errors["ENV_FILE"] = f"cannot be read: {error}"

    def check(self, also_known: Iterable[str] = ()) -> list[str]:
        """Raises InvalidSettings; returns a warning for each other unknown name in the file.

        Names in the process environment are not checked: a shell has many that belong to other programs.
        """
        self._known.update(also_known)
        warnings = [text for name in self._names_in_file if (text := self._unknown(name))]
        if self.errors:
            raise InvalidSettings(self.errors)
        return warnings

    def _unknown(self, name: str) -> str:
        """A warning about an unknown name, or an empty text; one that looks misspelt is an error instead."""
        if name in self._known or name.startswith(COMPOSE_PREFIXES):
            return ""
        nearest = difflib.get_close_matches(name.upper(), sorted(self._known), 1, SUGGESTED_RATIO)
        problem = f"is not a setting (in {self._file})" + (f"; did you mean {nearest[0]}?" if nearest else "")
        if not difflib.get_close_matches(name.upper(), nearest, 1, MISSPELT_RATIO):
            return f"{name} {problem}"
        self.reject(name, problem)
        return ""

    def reject(self, name: str, error: str) -> None:
        self.errors.setdefault(name, error)

    def integer(self, name: str, default: int, minimum: int, maximum: int) -> int:
        return self._read(
            self._env.int, name, default, f"a whole number from {minimum} to {maximum}", Range(minimum, maximum)
        )

    def number(self, name: str, default: float, minimum: float, maximum: float) -> float:
        return self._read(
            self._env.float, name, default, f"a number from {minimum} to {maximum}", Range(minimum, maximum)
        )

    def decimal(self, name: str, default: Decimal) -> Decimal:
        accepted = "an amount from 0, less than 10^22"
        return self._read(self._env.decimal, name, default, accepted, Range(0, 10**22, max_inclusive=False))

    def boolean(self, name: str, default: bool) -> bool:
        return self._read(self._env.bool, name, default, "true or false")

    def choice(self, name: str, default: str, choices: Iterable[str]) -> str:
        values = list(choices)
        accepted = f"one of {', '.join(filter(None, values))}"
        return self._read(self._env.str, name, default, accepted, OneOf(values))

    def matching(self, name: str, default: str, pattern: str, accepted: str) -> str:
        return self._read(self._env.str, name, default, accepted, Regexp(pattern))

    def host(self, name: str, default: str) -> str:
        return self.matching(name, default, r"[A-Za-z0-9._:%-]{1,253}\Z", "an address or a host name to listen on")

    def topic(self, name: str, default: str) -> str:
        accepted = "a topic name: 1 to 249 letters, digits, dots, dashes, underscores"
        return self.matching(name, default, TOPIC, accepted)

    def rate(self, name: str, default: str) -> str:
        accepted = "a number per second, minute, hour or day, such as 6000/minute"
        return self.matching(name, default, r"[1-9][0-9]{0,8}/(second|minute|hour|day)\Z", accepted)

    def text(self, name: str, default: str = "") -> str:
        """Any text; an empty one counts as unset."""
        self._known.add(name)
        text: str = self._env.str(name, "")
        return text or default

    def secret(self, name: str) -> str:
        secret = self.text(name)
        if secret == PLACEHOLDER:
            self.reject(name, UNCHANGED)
        return secret

    def generated(self, name: str, folder: Path, generate: Callable[[Path], str]) -> str:
        """A value generated once and stored in `folder`, which is the setting `name`."""
        try:
            return generate(folder)
        except OSError as error:
            self.reject(name, f"must be a writable folder, not {str(folder)!r} ({error.strerror})")
            return ""

    def postgres_programs(self, name: str) -> str:
        """Where PostgreSQL's programs are; an empty text means that both places are tried."""
        place = self.text(name)
        if place not in ("", "local", "wheel") and not Path(place, "initdb").exists():
            self.reject(name, f"must be local, wheel, or a folder that contains postgres and initdb, not {place!r}")
        return place

    def existing_path(self, name: str) -> str:
        """A readable file or folder; an empty text counts as unset."""
        path = self.text(name)
        if path and not os.access(path, os.R_OK):
            self.reject(name, f"must be a readable file or folder, not {path!r}")
        return path

    def names(self, name: str, default: Iterable[str] = ()) -> list[str]:
        """Values separated by commas; an empty text is an empty list."""
        self._known.add(name)
        items: list[str] = self._env.list(name, list(default))
        return [text for item in items if (text := item.strip())]

    def days(self, name: str) -> dict[str, float]:
        """Numbers of days by stream: `transactions=30,liquidations=365`."""
        days = {}
        for pair in self.names(name):
            match = DAYS.fullmatch(pair)
            if match is None or not 0 < float(match[2]) <= 36_500:
                self.reject(name, f"must be days by stream, such as transactions=30,liquidations=365, not {pair!r}")
            else:
                days[match[1]] = float(match[2])
        return days

    def origins(self, name: str, default: Iterable[str] = (), *, also: str = "*") -> list[str]:
        """Origins separated by commas; the word `also` is accepted, too."""
        origins = self.names(name, default)
        invalid = [origin for origin in origins if origin != also and not ORIGIN.fullmatch(origin)]
        if invalid:
            self.reject(
                name, f"must be origins such as https://hyperwatch.example.com, separated by commas, not {invalid[0]!r}"
            )
        return origins

    def servers(self, name: str) -> str:
        servers = self.text(name)
        for server in servers.split(",") if servers else []:
            match = SERVERS.fullmatch(server.strip())
            if match is None or not 0 < int(match[1] or 9092) <= 65535:
                self.reject(name, f"must be host:9092, several separated by commas, not {server.strip()!r}")
        return servers

    def database_url(self, name: str) -> str:
        return self._url(name, check_database_url)

    def redis_url(self, name: str) -> str:
        return self._url(name, check_redis_url)

    def _url(self, name: str, check: Callable[[str], None]) -> str:
        """An empty text counts as unset. Errors show no part of the URL, which may contain a password."""
        url = self.text(name)
        try:
            if url:
                check(url)
        except ValidationError as error:
            self.reject(name, str(error.args[0]))
        return url

    def _read(self, read: Callable[..., Any], name: str, default: T, accepted: str, check: Any = None) -> T:
        self._known.add(name)
        try:
            value: T = read(name, default, validate=check)
        except EnvValidationError:
            rejected: str = self._env.str(name, "")
            self.reject(name, f"must be {accepted}, not {rejected[:60]!r}")
            return default
        return value
