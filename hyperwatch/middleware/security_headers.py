"""What a browser may do with an answer of ours, told in each of them."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

# Scripts are files of ours, never a part of a page, and nothing comes from another host: text that slips into a page
# unescaped is shown and not run.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# ReDoc and DRF's pages bring styles in their markup; ReDoc searches in a worker that it writes itself.
STYLED = f"{POLICY}; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:"
STYLED_PAGES = ("/redoc", "/api/")

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


class SecurityHeadersMiddleware:
    """Around all others: what a middleware answers by itself is an answer too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        for name, value in headers(request.path).items():
            response.headers.setdefault(name, value)
        return response


def headers_of_refusal() -> dict[str, str]:
    """Of an error in its envelope that no middleware sees: what was asked for, and from where, may not be known."""
    by_anybody = {"Access-Control-Allow-Origin": "*"} if settings.CORS_ALLOW_ALL_ORIGINS else {}
    return {**headers("/api/"), **by_anybody, "Content-Type": "application/json"}


def headers(path: str) -> dict[str, str]:
    return {**ALWAYS, "Content-Security-Policy": STYLED if path.startswith(STYLED_PAGES) else POLICY}
