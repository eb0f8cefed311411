"""Security headers for browsers, in every response."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

# Only scripts from files of this host run, no inline scripts: injected text is displayed, not executed.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# ReDoc and DRF's pages have inline styles; ReDoc's search runs in a worker from a blob.
INLINE_STYLE_POLICY = f"{CONTENT_SECURITY_POLICY}; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:"
INLINE_STYLE_PATHS = ("/redoc", "/api/")

COMMON_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


class SecurityHeadersMiddleware:
    """The outermost middleware, so that responses of other middleware get the headers, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        for name, value in security_headers(request.path).items():
            response.headers.setdefault(name, value)
        return response


def error_headers() -> dict[str, str]:
    """Headers of an error that bypasses the middleware; the path and the origin may be unknown."""
    cors_headers = {"Access-Control-Allow-Origin": "*"} if settings.CORS_ALLOW_ALL_ORIGINS else {}
    return {**security_headers("/api/"), **cors_headers, "Content-Type": "application/json"}


def security_headers(path: str) -> dict[str, str]:
    return {
        **COMMON_HEADERS,
        "Content-Security-Policy": INLINE_STYLE_POLICY
        if path.startswith(INLINE_STYLE_PATHS)
        else CONTENT_SECURITY_POLICY,
    }
