"""OpenAPI generation: wraps response schemas in the envelope and adds error responses, headers and examples."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Literal, cast

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.settings import api_settings

from hyperwatch.api import csv_table, envelope, openapi_texts
from hyperwatch.api.filters import ParameterFilter
from hyperwatch.api.parameters import Parameter, reject_unknown
from hyperwatch.api.serializers import BodySerializer

EVERYWHERE = (400, 401, 429, 500, 503)
OF_WRITES = (403,)
OF_BODIES = (413, 415)

ParameterLocation = Literal["path", "query"]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "hyperwatch.api.keys.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Api-Key KEY`, with a key created in the admin. "
            f"Required for {'writes only' if settings.ALLOW_ANONYMOUS_READS else 'reads and writes'}.",
        }


class EnvelopeSchema(AutoSchema):
    """Reads the views' `path_parameters`, filter sets, paginators, serializers, and `errors` by action."""

    view: Any

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            success = operation["responses"]["200"]
            table = csv_table.table_for(self.view)
            data = self._example_data()
            success["content"] = {
                media_type: _csv_content(table, data)
                if table and media_type == csv_table.MEDIA_TYPE
                else _json_content(content["schema"], data)
                for media_type, content in success["content"].items()
            }
            if "parameters" in operation:
                operation["parameters"] = [openapi_texts.parameter_text(one) for one in operation["parameters"]]
            success["description"] = success["description"] or envelope.SUCCESS
            has_version = self.method == "GET" and hasattr(self.view, "stream")
            success["headers"] = HEADERS | (OF_CSV if table else {}) | (OF_VERSION if has_version else {})
            if has_version:
                operation["responses"]["304"] = {
                    "description": "Not modified: the `ETag` in `If-None-Match` is current"
                }
            operation["responses"].update(self._error_responses())
        return operation

    def _example_data(self) -> Any:
        """`data` of the example response, from the serializer's attribute `example`."""
        get_class = getattr(self.view, "get_serializer_class", lambda: self.view.serializer_class)
        example: Any = get_class().example
        is_paged = self.view.action == "list" and self.view.pagination_class is not None
        return openapi_texts.page_example(example) if is_paged else example

    def get_response_serializers(self) -> Any:
        """POST and DELETE return 200 too, with the created or deleted object."""
        return {200: super().get_response_serializers()}

    def get_filter_backends(self) -> list[Any]:
        """Disabled: `get_override_parameters` documents the filter sets."""
        return []

    def get_override_parameters(self) -> list[Any]:
        paths: dict[str, Parameter[Any]] = self.view.path_parameters
        names = [name for name in paths if f"{{{name}}}" in self.path]
        return [
            *(_parameter(name, paths[name], "path", True) for name in names),
            *(
                _parameter(name, field.parameter, "query", field.extra["required"])
                for name, field in self._filters()
                if isinstance(field, ParameterFilter)
            ),
            *([FORMAT] if csv_table.table_for(self.view) else []),
        ]

    def _is_list_view(self, serializer: Any = None) -> bool:
        # Without pagination the response is an object that contains the list under its name.
        return self.view.pagination_class is not None and bool(super()._is_list_view(serializer))

    def get_operation_id(self) -> str:
        name = str(super().get_operation_id())
        return name.replace("_retrieve", "_list") if self.view.action == "list" else name

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if "description" in schema and not vars(type(serializer)).get("__doc__"):
            # drf-spectacular takes an inherited docstring, which is not written for API users.
            del schema["description"]
        is_body = direction == "request" and isinstance(serializer, BodySerializer)
        return {**schema, "additionalProperties": False} if is_body else schema

    def get_auth(self) -> list[dict[str, Any]]:
        """Marks the key as optional if anonymous reads are allowed."""
        keys: list[dict[str, Any]] = super().get_auth()
        return [{}, *keys] if self.method in SAFE_METHODS and settings.ALLOW_ANONYMOUS_READS else keys

    def _filters(self) -> Iterable[tuple[str, Any]]:
        filterset = getattr(self.view, "filterset_class", None)
        if filterset is None or self.view.detail or self.method != "GET":
            return []
        filters: Iterable[tuple[str, Any]] = filterset.base_filters.items()
        return filters

    def _error_responses(self) -> dict[str, Any]:
        statuses = {*EVERYWHERE, *self.view.errors.get(self.view.action, ())}
        if self.method not in SAFE_METHODS:
            statuses.update(OF_WRITES)
        if self.method in ("POST", "PATCH"):
            statuses.update(OF_BODIES)
        error = self._component("Error", ERROR)
        responses = {str(status): _error_response(status, error) for status in sorted(statuses)}
        responses["400"]["content"]["application/json"]["example"] = self._invalid_example()
        return responses

    def _invalid_example(self) -> dict[str, Any]:
        """A 400 that the operation really returns: a bad filter, else a bad path or an unknown name."""
        filters = {name: one.parameter for name, one in self._filters() if isinstance(one, ParameterFilter)}
        paths = {name: one for name, one in self.view.path_parameters.items() if f"{{{name}}}" in self.path}
        for name, parameter in (filters | paths).items():
            return openapi_texts.invalid_example(name, f"{name} takes {parameter.takes}")
        try:
            reject_unknown(["symbol"], self.view.query_parameters())
        except ValidationError as error:
            return openapi_texts.invalid_example("symbol", str(cast(Any, error.detail)["symbol"][0]))
        raise ValueError(f"{self.path} accepts the parameter `symbol`: use another name for the example")

    def _component(self, name: str, schema: dict[str, Any]) -> dict[str, str]:
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            name, ResolvedComponent.SCHEMA, schema=schema, object=name
        )
        self.registry.register_on_missing(component)
        ref: dict[str, str] = component.ref
        return ref


def _parameter(name: str, parameter: Parameter[Any], place: ParameterLocation, required: bool) -> OpenApiParameter:
    takes = parameter.takes[0].upper() + parameter.takes[1:]
    return OpenApiParameter(
        name, type=dict(parameter.schema), location=place, required=required, description=f"{takes}."
    )


def _json_content(data: dict[str, Any], example: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["code", "message", "data", "timestamp"],
        "properties": {
            "code": {"type": "integer", "enum": [200]},
            "message": {"type": "string", "enum": [envelope.SUCCESS]},
            "data": data,
            "timestamp": TIMESTAMP,
        },
    }
    return {"schema": schema, "example": openapi_texts.success_example(example)}


def _csv_content(table: csv_table.Table, data: Any) -> dict[str, Any]:
    header = ",".join(table.columns)
    lines = csv_table.header_line(table.columns) + csv_table.data_lines(table.columns, data[table.name])
    schema = {"type": "string", "description": f"Header line `{header}`, then one line per row."}
    return {"schema": schema, "example": lines.decode()}


def _error_response(status: int, error: dict[str, str]) -> dict[str, Any]:
    headers = {"headers": {"Retry-After": _seconds("until the next request is accepted")}} if status == 429 else {}
    example = openapi_texts.error_example(status) if status != 400 else {}
    content = {"application/json": {"schema": error, "example": example}}
    return {"description": HTTPStatus(status).phrase, "content": content, **headers}


def _seconds(what: str) -> dict[str, Any]:
    return {"description": f"Seconds {what}", "schema": {"type": "integer"}}


FORMAT = OpenApiParameter(
    str(api_settings.URL_FORMAT_OVERRIDE),
    type={"type": "string", "enum": ["json", csv_table.FORMAT], "default": "json"},
    description="Response format. `csv` returns all matching rows as a file, with the same values as JSON.",
)
TIMESTAMP = {"type": "string", "format": "date-time"}
HEADERS = {
    "X-RateLimit-Limit": {"description": "Requests allowed per window", "schema": {"type": "integer"}},
    "X-RateLimit-Remaining": {"description": "Requests left in the current window", "schema": {"type": "integer"}},
    "X-RateLimit-Reset": _seconds("until the next window"),
}
OF_VERSION = {
    "ETag": {
        "description": "Version of the response; changes when the stream has new rows",
        "schema": {"type": "string"},
    },
}
OF_CSV = {
    csv_table.HEAD_HEADER: {
        "description": "`head` of the stream that the rows were read from",
        "schema": {"type": "integer"},
    },
    csv_table.EPOCH_HEADER: {
        "description": "`epoch` of the stream that the rows were read from",
        "schema": {"type": "string"},
    },
}
ERROR = {
    "type": "object",
    "required": ["code", "message", "error", "timestamp"],
    "properties": {
        "code": {"type": "integer", "description": "HTTP status"},
        "message": {"type": "string"},
        "error": {"type": "string", "description": "cause of the error"},
        "details": {
            "type": "object",
            "description": "reasons by invalid field",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "timestamp": TIMESTAMP,
    },
    "example": openapi_texts.invalid_example("side", "side takes LONG or SHORT"),
}
