"""Redirects a path with a missing or superfluous final slash: `/admin` to `/admin/`, `/api/v1/coins/` to the list."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect
from django.urls import Resolver404, resolve

# Routes that match every path below them and return 404.
CATCH_ALL_ROUTES = ("^api(/|$)", "admin/(?P<url>.*)$")


class SlashRedirectMiddleware:
    """Django's APPEND_SLASH redirects only to the form with the slash, which most paths here do not have."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        match = request.resolver_match
        # 400: an unrouted path with a `format` that the 404 does not have.
        if response.status_code not in (400, 404) or (match and match.route not in CATCH_ALL_ROUTES):
            return response
        path = request.path_info
        other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        if not _is_routed(other):
            return response
        query = request.META.get("QUERY_STRING", "")
        # 308 preserves method and body.
        return HttpResponsePermanentRedirect(f"{other}?{query}" if query else other, preserve_request=True)


def _is_routed(path: str) -> bool:
    try:
        return resolve(path).route not in CATCH_ALL_ROUTES
    except Resolver404:
        return False
