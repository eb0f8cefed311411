"""The API's permission to read, for pages beside it."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponseBase

from hyperwatch.api.envelope import error_response
from hyperwatch.api.errors import DATABASE_UNAVAILABLE_TEXT
from hyperwatch.api.keys import AnonymousReadOrApiKey, ApiKeyAuthentication, can_read_page
from hyperwatch.db.errors import DATABASE_UNAVAILABLE, normalize_db_errors

View = Callable[[HttpRequest], HttpResponseBase]


def needs_read_permission(view: View) -> View:
    """Returns 401 without a key or an admin session where ALLOW_ANONYMOUS_READS is false."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponseBase:
        try:
            with normalize_db_errors():
                is_allowed = can_read_page(request)
        except DATABASE_UNAVAILABLE:
            return error_response(503, DATABASE_UNAVAILABLE_TEXT)
        if is_allowed:
            return view(request)
        response = error_response(401, AnonymousReadOrApiKey.message)
        response["WWW-Authenticate"] = ApiKeyAuthentication.keyword
        return response

    return checked
