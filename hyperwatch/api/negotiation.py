"""Content negotiation: JSON, unless the client accepts HTML or selects CSV."""

from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from hyperwatch.api.parameters import invalid_parameter

JSON = "application/json"
# The usual Accept headers of programs: answered without a comparison of weights.
USUAL_ACCEPT_HEADERS = ("*/*", JSON)


class JsonUnlessBrowser(DefaultContentNegotiation):
    """An unsupported Accept header gets JSON; an unsupported `?format=` is a 400 that names the parameter."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        format_param = request.query_params.get("format")
        formats = [renderer.format for renderer in renderers]
        if format_param and format_param not in formats:
            raise invalid_parameter("format", f"takes {', '.join(formats[:-1])} or {formats[-1]}")
        accept = request.headers.get("Accept", "*/*")
        if not format_param and accept in USUAL_ACCEPT_HEADERS:
            return _first([one for one in renderers if one.media_type == accept] or renderers)
        try:
            selected: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
            return selected
        except NotAcceptable:
            return _first([one for one in renderers if one.format == format_param] or renderers)


def _first(renderers: Sequence[BaseRenderer]) -> tuple[BaseRenderer, str]:
    return renderers[0], str(renderers[0].media_type)
