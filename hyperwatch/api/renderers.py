"""Answers become bytes here, and get their envelope: views know nothing of it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer

from hyperwatch.api import clock, csv_table, envelope


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
            body = envelope.error_body(response.status_code, data["error"], data.get("details"))
        else:
            # Who keeps answers finds it here.
            response.draft = envelope.ResponseTemplate(data, response.status_code)
            body = response.draft.render(clock.now())
        return msgspec.json.format(body, indent=4) if context.get("indent") else body


class CsvRenderer(EnvelopeRenderer):
    """The one list of an answer as CSV, without an envelope; an error stays what it is everywhere."""

    media_type = csv_table.MEDIA_TYPE
    format = csv_table.FORMAT

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        context = renderer_context or {}
        response, table = context["response"], csv_table.table_for(context["view"])
        if response.exception or table is None:
            response["Content-Type"] = EnvelopeRenderer.media_type
            return super().render(data, accepted_media_type, renderer_context)
        for header, value in csv_table.headers(context["request"], data).items():
            response[header] = value
        return csv_table.header_line(table.columns) + csv_table.data_lines(table.columns, data[table.name])


class BrowsableEnvelopeRenderer(BrowsableAPIRenderer):
    """The same envelope on a page for a browser; its styles and scripts are our own static files."""

    def get_breadcrumbs(self, request: Any) -> Any:
        # The catch-all answers for every path above the page's own, and is no place to go to.
        return [crumb for crumb in super().get_breadcrumbs(request) if crumb[0] != "NotFoundView"]

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        # DRF names those of the class, whatever is asked for.
        context["available_formats"] = [renderer.format for renderer in renderer_context["view"].get_renderers()]
        return context
