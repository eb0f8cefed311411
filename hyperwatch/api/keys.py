"""Who may do what: reads are open, writes need a key or an admin's session."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework_api_key.models import AbstractAPIKey, APIKey
from rest_framework_api_key.permissions import KeyParser

from hyperwatch.concurrency.batching import BatchLoader
from hyperwatch.db.errors import DATABASE_UNAVAILABLE, normalize_db_errors
from hyperwatch.db.executor import DatabaseExecutor

Q = TypeVar("Q")
A = TypeVar("A")

# Its own, so that whoever comes waits for nothing but keys.
_thread = DatabaseExecutor("keys", seconds=settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)

PLAIN_KEY = re.compile(r"[!-~]{1,200}", re.ASCII)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key KEY`. A key that is wrong, revoked or expired is refused, for reads too."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, AbstractAPIKey] | None:
        key = KeyParser().get(request)
        if key is None:
            return None
        try:
            found = APIKey.objects.get_from_key(_plain(key))
        except APIKey.DoesNotExist:
            raise AuthenticationFailed("this key is not known, or was revoked") from None
        if found.has_expired:
            raise AuthenticationFailed("this key has expired")
        return AnonymousUser(), found

    def authenticate_header(self, request: Request) -> str:
        return KeyParser.keyword


def _plain(key: str) -> str:
    # PostgreSQL refuses a NUL with an exception, not with an empty answer.
    if not PLAIN_KEY.fullmatch(key):
        raise APIKey.DoesNotExist
    return key


class AnonymousReadOrApiKey(BasePermission):
    message = "only the bearer of a key may do this, or an admin who may do it in the admin pages"

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS and settings.ALLOW_ANONYMOUS_READS:
            return True
        return isinstance(request.auth, APIKey) or _may(request, view)


def _may(request: Request, view: Any) -> bool:
    """Whether an admin's session does: what may be written is what the admin pages let this one write."""
    user: Any = request.user
    if not (user and user.is_staff):
        return False
    if request.method in SAFE_METHODS:
        return True
    needed = DjangoModelPermissions().get_required_permissions(str(request.method), view.queryset.model)
    return bool(user.has_perms(needed))


class AuthUnavailable(Exception):
    """The database, which knows the keys, does not answer."""


async def can_read(token: str) -> bool:
    """Whether the bearer of a WebSocket's `token` may read; where reads are open, everybody may. Raises AuthUnavailable."""
    return settings.ALLOW_ANONYMOUS_READS or await _tokens.load(token)


async def usable_keys(prefixes: Collection[str]) -> set[str]:
    """Of keys, by their prefixes, those that are neither revoked nor expired. Raises AuthUnavailable."""
    return await _asked(_that_count, prefixes)


def prefix_of(key: str) -> str:
    """What tells which key it is, and opens nothing."""
    return key.partition(".")[0]


async def _asked(ask: Callable[[Q], A], question: Q) -> A:
    try:
        with normalize_db_errors():
            return await _thread.run(ask, question)
    except DATABASE_UNAVAILABLE as error:
        raise AuthUnavailable from error


def _are_valid(tokens: Sequence[str]) -> list[bool]:
    valid = {t: bool(PLAIN_KEY.fullmatch(t)) and APIKey.objects.is_valid(t) for t in set(tokens)}
    return [valid[token] for token in tokens]


# A crowd that comes while a table is locked is told so at once, and not one after the other.
_tokens: BatchLoader[str, bool] = BatchLoader(partial(_asked, _are_valid))


def _that_count(prefixes: Collection[str]) -> set[str]:
    keys = APIKey.objects.get_usable_keys().filter(prefix__in=prefixes)
    return {key.prefix for key in keys if not key.has_expired}
