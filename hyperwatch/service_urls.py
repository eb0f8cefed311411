"""Checks of DATABASE_URL and REDIS_URL. Errors show no part of the URL, which may contain a password."""

import re
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import dj_database_url
from environs import ValidationError
from psycopg2 import ProgrammingError
from psycopg2.extensions import make_dsn

PLACEHOLDER = "change-me"
GENERATE_COMMAND = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
UNCHANGED = f"is still the example's {PLACEHOLDER}: replace it with the output of {GENERATE_COMMAND}"
AUTHORITY_END = re.compile(r"[/?#]")
DATABASE_FORMAT = "must be postgresql://user:password@host:5432/name"
REDIS_FORMAT = "must be redis://host:6379/0 (rediss:// for TLS, unix:///path for a socket)"
ENCODING_HINT = "; in a user or password, write / ? # @ : and % as %2F %3F %23 %40 %3A and %25"
DJANGO_OPTIONS = ("isolation_level", "assume_role")
# libpq's values; with several hosts, the first one in this state is used.
SESSION_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
DEFAULT_POSTGRES_PORT = "5432"


def _split(url: str, accepted: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValidationError(f"{accepted}: its host or port is invalid{ENCODING_HINT}") from None
    if port == 0:
        raise ValidationError(f"{accepted}: port 0 does not exist")
    return parts


def parse_database_url(url: str) -> dict[str, Any]:
    """Django's database settings. Several hosts become lists separated by commas, as libpq accepts them."""
    first_url, *other_urls = _urls_by_host(url)
    database: dict[str, Any] = dict(dj_database_url.parse(first_url))
    if other_urls:
        databases = [database, *map(dj_database_url.parse, other_urls)]
        database["PORT"] = ",".join(str(one["PORT"] or DEFAULT_POSTGRES_PORT) for one in databases)
        database["HOST"] = ",".join(str(one["HOST"]) for one in databases)
    return database


def _urls_by_host(url: str) -> list[str]:
    """The URL of each host of a URL with several."""
    scheme, separator, rest = url.partition("://")
    authority = AUTHORITY_END.split(rest, maxsplit=1)[0]
    user, at, hosts = authority.rpartition("@")
    return [f"{scheme}{separator}{user}{at}{host}{rest[len(authority) :]}" for host in hosts.split(",")]


def check_database_url(url: str) -> None:
    parts, *_ = [_split(one, DATABASE_FORMAT) for one in _urls_by_host(url)]
    if not url.startswith(("postgres://", "postgresql://")):
        raise ValidationError(f"{DATABASE_FORMAT}; it has another scheme")
    if unquote(parts.password or "") == PLACEHOLDER:
        raise ValidationError(f"has a password (POSTGRES_PASSWORD) that {UNCHANGED}")
    if "/" in parts.path.strip("/") or not parts.path.strip("/"):
        raise ValidationError(f"{DATABASE_FORMAT}; it contains no database name{ENCODING_HINT}")
    try:
        options = parse_database_url(url).get("OPTIONS", {})
        make_dsn(**{name: value for name, value in options.items() if name not in DJANGO_OPTIONS})
    except (ValueError, ProgrammingError) as error:
        cause = str(error).strip() if isinstance(error, ProgrammingError) else "it is invalid"
        raise ValidationError(f"{DATABASE_FORMAT}; {cause}{ENCODING_HINT}") from None
    if options.get("target_session_attrs", "any") not in SESSION_ATTRIBUTES:
        raise ValidationError(f"{DATABASE_FORMAT}; target_session_attrs is one of {', '.join(SESSION_ATTRIBUTES)}")


def check_redis_url(url: str) -> None:
    parts = _split(url, REDIS_FORMAT)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValidationError(f"{REDIS_FORMAT}; it has another scheme")
    if parts.scheme == "unix":
        if not parts.path:
            raise ValidationError(f"{REDIS_FORMAT}; it contains no socket path")
        return
    if not parts.hostname:
        raise ValidationError(f"{REDIS_FORMAT}; it contains no host")
    numbers = [parts.path.strip("/"), *parse_qs(parts.query).get("db", [])]
    if not all(number.isdecimal() for number in numbers if number):
        raise ValidationError(f"{REDIS_FORMAT}; its database is not a number{ENCODING_HINT}")
