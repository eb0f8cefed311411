"""Renderers: encode response data in the envelope. Views return the bare data."""

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
            # Read by the post-render callback that fills the response cache.
            response.template = envelope.ResponseTemplate(data, response.status_code)
            body = response.template.render(clock.now())
        return msgspec.json.format(body, indent=4) if context.get("indent") else body


class CsvRenderer(EnvelopeRenderer):
    """The only list of a response as CSV, without the envelope. Errors are JSON in the envelope."""

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
        for header, value in csv_table.csv_headers(context["request"], data).items():
            response[header] = value
        return csv_table.header_line(table.columns) + csv_table.data_lines(table.columns, data[table.name])


class BrowsableEnvelopeRenderer(BrowsableAPIRenderer):
    """The envelope on DRF's HTML page; styles and scripts are served from this host."""

    def get_breadcrumbs(self, request: Any) -> Any:
        # Omits the parent paths that only the catch-all NotFoundView serves.
        return [crumb for crumb in super().get_breadcrumbs(request) if crumb[0] != "NotFoundView"]

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        # DRF lists `renderer_classes`, but not every action supports CSV.
        context["available_formats"] = [renderer.format for renderer in renderer_context["view"].get_renderers()]
        return context
