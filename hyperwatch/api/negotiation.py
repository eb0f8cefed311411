"""Which renderer answers: JSON, unless a browser asks for its page or somebody for CSV."""

from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from hyperwatch.api.parameters import invalid_parameter

# What programs accept, for which nothing need be weighed.
FIRST = ("*/*", "application/json")


class JsonUnlessBrowser(DefaultContentNegotiation):
    """An Accept header that we cannot serve gets JSON; a `?format=` that we cannot serve is refused by name."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        asked = request.query_params.get("format")
        formats = [renderer.format for renderer in renderers]
        if asked and asked not in formats:
            raise invalid_parameter("format", f"takes {', '.join(formats[:-1])} or {formats[-1]}")
        if not asked and request.headers.get("Accept", "*/*") in FIRST:
            return _first(renderers)
        try:
            selected: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
            return selected
        except NotAcceptable:
            return _first(renderers)


def _first(renderers: Sequence[BaseRenderer]) -> tuple[BaseRenderer, str]:
    return renderers[0], str(renderers[0].media_type)
