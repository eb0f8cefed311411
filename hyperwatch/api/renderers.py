"""Answers become bytes here, and get their envelope: views know nothing of it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer

from hyperwatch.api import clock, envelope


class EnvelopeRenderer(BaseRenderer):
    """JSON in the envelope of rest.md. The data of an error response is {"error", "details"}."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        context = renderer_context or {}
        response = context["response"]
        if response.exception:
            body = envelope.failure(response.status_code, data["error"], data.get("details"))
        else:
            # Who keeps answers finds it here.
            response.draft = envelope.Draft(data, response.status_code)
            body = response.draft.at(clock.now())
        return msgspec.json.format(body, indent=4) if context.get("indent") else body


class BrowsableEnvelopeRenderer(BrowsableAPIRenderer):
    """The same envelope on a page for a browser; its styles and scripts are our own static files."""

    def get_breadcrumbs(self, request: Any) -> Any:
        # The catch-all answers for every path above the page's own, and is no place to go to.
        return [crumb for crumb in super().get_breadcrumbs(request) if crumb[0] != "Unrouted"]
