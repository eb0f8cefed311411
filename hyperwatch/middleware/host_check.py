"""ALLOWED_HOSTS for all paths except probes and metrics, which orchestrators and Prometheus request by pod address."""

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

PROBE_PATHS = ("/health", "/health/ready", "/metrics")


class HostCheckMiddleware(CommonMiddleware):
    """Django's CommonMiddleware rejects a request with an unknown Host header."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path in PROBE_PATHS else super().process_request(request)
