"""Errors of the API in the envelope. Internal causes are logged and never sent to clients."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler
from rest_framework.views import set_rollback

from hyperwatch.api.envelope import Details, error_response
from hyperwatch.db.errors import close_if_read_only, is_unavailable

log = logging.getLogger(__name__)

DATABASE_UNAVAILABLE_TEXT = "the database is unavailable; try again in a few seconds"
UNAVAILABLE_PAGE = f"<!doctype html><title>Service unavailable</title><h1>503</h1><p>{DATABASE_UNAVAILABLE_TEXT}</p>"
INTERNAL_ERROR_TEXT = "internal server error; the cause is in the server's log"
NON_FIELD_ERRORS = "non_field_errors"


class Conflict(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "the object already exists"


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE


class ServiceUnavailable(exceptions.APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = DATABASE_UNAVAILABLE_TEXT


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Converts an exception of a view into a response with the data {"error", "details"}."""
    response = drf_exception_handler(_as_api_exception(error), dict(context))
    if response is None:
        log.error("%s failed", _request_line(context), exc_info=error)
        set_rollback()
        response = Response(status=status.HTTP_500_INTERNAL_SERVER_ERROR, data={"detail": INTERNAL_ERROR_TEXT})
    response.data = _error_data(response.data)
    return response


def _as_api_exception(error: Exception) -> Exception:
    if is_unavailable(error):
        close_if_read_only(error)
        log.warning("database unavailable: %s", str(error).strip())
        return ServiceUnavailable()
    if isinstance(error, RequestDataTooBig):
        return TooLarge(f"the body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes")
    if isinstance(error, Http404):
        # Django's message contains the model's name.
        return exceptions.NotFound()
    return exceptions.ParseError() if isinstance(error, SuspiciousOperation) else error


def _request_line(context: Mapping[str, Any]) -> str:
    request = context.get("request")
    return f"{request.method} {request.path}" if request else "a request"


def _error_data(data: Any) -> dict[str, Any]:
    """Error data for the client: the first reason, and the reasons by field if fields are invalid."""
    if isinstance(data, dict) and set(data) == {"detail"}:
        return {"error": str(data["detail"])}
    details = data if isinstance(data, dict) else {NON_FIELD_ERRORS: data}
    flat = {str(name): _reasons(reasons) for name, reasons in details.items()}
    return {"error": _first_reason(flat), "details": flat}


def _reasons(reasons: Any) -> list[str]:
    if isinstance(reasons, dict):
        return [f"{name}: {reason}" for name, inner in reasons.items() for reason in _reasons(inner)]
    if isinstance(reasons, list):
        return [reason for inner in reasons for reason in _reasons(inner)]
    return [str(reasons)]


def _first_reason(details: Details) -> str:
    name, reasons = next(iter(details.items()))
    has_name = name == NON_FIELD_ERRORS or reasons[0].startswith(f"{name} ")
    return reasons[0] if has_name else f"{name}: {reasons[0]}"


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler400`: rejected by middleware, before any view."""
    if _is_api(request):
        return error_response(400, "the request is malformed")
    return defaults.bad_request(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler404`."""
    if _is_api(request):
        return error_response(404, f"no resource at {request.path}")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`: exceptions outside of the API views, such as in middleware."""
    error = sys.exc_info()[1]
    is_database_error = is_unavailable(error)
    close_if_read_only(error)
    if _is_api(request):
        if is_database_error:
            return error_response(503, DATABASE_UNAVAILABLE_TEXT)
        return error_response(500, INTERNAL_ERROR_TEXT)
    if is_database_error:
        return HttpResponse(UNAVAILABLE_PAGE, status=503)
    return defaults.server_error(request)
