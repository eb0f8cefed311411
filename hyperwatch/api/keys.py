"""Authentication by API key, and permissions. Writes need a key or an admin session, reads need none by default."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework_api_key.models import AbstractAPIKey, APIKey
from rest_framework_api_key.permissions import KeyParser

from hyperwatch.concurrency.batching import BatchLoader
from hyperwatch.db.errors import DATABASE_UNAVAILABLE, normalize_db_errors
from hyperwatch.db.executor import DatabaseExecutor

Argument = TypeVar("Argument")
Result = TypeVar("Result")

# Separate from other executors: a WebSocket handshake waits for key queries only.
_executor = DatabaseExecutor("keys", timeout_seconds=settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)

PLAIN_KEY = re.compile(r"[!-~]{1,200}", re.ASCII)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key KEY`. An unknown, revoked or expired key is rejected, for reads too."""

    keyword = KeyParser.keyword

    def authenticate(self, request: Request) -> tuple[AnonymousUser, AbstractAPIKey] | None:
        key = KeyParser().get(request)
        if key is None:
            return None
        try:
            api_key = APIKey.objects.get_from_key(_printable(key))
        except APIKey.DoesNotExist:
            raise AuthenticationFailed("the API key is unknown or revoked") from None
        if api_key.has_expired:
            raise AuthenticationFailed("the API key has expired")
        return AnonymousUser(), api_key

    def authenticate_header(self, request: Request) -> str:
        return self.keyword


def _printable(key: str) -> str:
    # PostgreSQL raises an error for a NUL in a text, instead of finding no row.
    if not PLAIN_KEY.fullmatch(key):
        raise APIKey.DoesNotExist
    return key


class AnonymousReadOrApiKey(BasePermission):
    message = "this needs an API key, or an admin session with permission for it"

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS and settings.ALLOW_ANONYMOUS_READS:
            return True
        return isinstance(request.auth, APIKey) or _has_model_permission(request, view)


def can_read_page(request: HttpRequest) -> bool:
    """The rule of AnonymousReadOrApiKey for a view without DRF. Raises the database's errors."""
    if settings.ALLOW_ANONYMOUS_READS:
        return True
    key = KeyParser().get(request)
    return _are_valid([key])[0] if key else bool(request.user.is_staff)


def _has_model_permission(request: Request, view: Any) -> bool:
    """Whether the admin session has the model permission that the admin pages require for this method."""
    user: Any = request.user
    if not (user and user.is_staff):
        return False
    if request.method in SAFE_METHODS:
        return True
    permissions = DjangoModelPermissions().get_required_permissions(str(request.method), view.queryset.model)
    return bool(user.has_perms(permissions))


class AuthUnavailable(Exception):
    """The database with the keys is unavailable."""


async def can_read(token: str) -> bool:
    """Whether a WebSocket with this `token` may read: always with ALLOW_ANONYMOUS_READS. Raises AuthUnavailable."""
    return settings.ALLOW_ANONYMOUS_READS or await _token_loader.load(token)


async def usable_keys(prefixes: Collection[str]) -> set[str]:
    """The prefixes of keys that are neither revoked nor expired. Raises AuthUnavailable."""
    return await _query_keys(_usable_prefixes, prefixes)


def prefix_of(key: str) -> str:
    """The public part of a key: identifies it and grants nothing."""
    return key.partition(".")[0]


async def _query_keys(query: Callable[[Argument], Result], argument: Argument) -> Result:
    try:
        with normalize_db_errors():
            return await _executor.run(query, argument)
    except DATABASE_UNAVAILABLE as error:
        raise AuthUnavailable from error


def _are_valid(tokens: Sequence[str]) -> list[bool]:
    valid = {token: bool(PLAIN_KEY.fullmatch(token)) and APIKey.objects.is_valid(token) for token in set(tokens)}
    return [valid[token] for token in tokens]


# Concurrent handshakes during a table lock fail together after one timeout, not one after the other.
_token_loader: BatchLoader[str, bool] = BatchLoader(partial(_query_keys, _are_valid))


def _usable_prefixes(prefixes: Collection[str]) -> set[str]:
    keys = APIKey.objects.get_usable_keys().filter(prefix__in=prefixes)
    return {key.prefix for key in keys if not key.has_expired}
