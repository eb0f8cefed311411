"""Every error of the API in its envelope; what went wrong inside is logged and never shown."""

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
from hyperwatch.db.errors import is_unavailable

log = logging.getLogger(__name__)

DATABASE_UNAVAILABLE_TEXT = "the database does not answer; try again in a moment"
BROKEN = "something went wrong on our side; it is logged"
WHOLE = "non_field_errors"


class Conflict(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "this exists already"


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE


class ServiceUnavailable(exceptions.APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = DATABASE_UNAVAILABLE_TEXT


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Any exception of a view as a response whose data is {"error", "details"}."""
    response = drf_exception_handler(_known(error), dict(context))
    if response is None:
        log.error("%s failed", _where(context), exc_info=error)
        set_rollback()
        response = Response(status=status.HTTP_500_INTERNAL_SERVER_ERROR, data={"detail": BROKEN})
    response.data = _told(response.data)
    return response


def _known(error: Exception) -> Exception:
    if is_unavailable(error):
        log.warning("the database does not answer: %s", str(error).strip())
        return ServiceUnavailable()
    if isinstance(error, RequestDataTooBig):
        return TooLarge(f"the body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes")
    if isinstance(error, Http404):
        # Django's text names the model.
        return exceptions.NotFound()
    return exceptions.ParseError() if isinstance(error, SuspiciousOperation) else error


def _where(context: Mapping[str, Any]) -> str:
    request = context.get("request")
    return f"{request.method} {request.path}" if request else "a request"


def _told(data: Any) -> dict[str, Any]:
    """What a client is told: the first reason, and the reasons by field where fields are at fault."""
    if isinstance(data, dict) and set(data) == {"detail"}:
        return {"error": str(data["detail"])}
    details = data if isinstance(data, dict) else {WHOLE: data}
    flat = {str(name): _reasons(reasons) for name, reasons in details.items()}
    return {"error": _first(flat), "details": flat}


def _reasons(reasons: Any) -> list[str]:
    if isinstance(reasons, dict):
        return [f"{name}: {reason}" for name, inner in reasons.items() for reason in _reasons(inner)]
    if isinstance(reasons, list):
        return [reason for inner in reasons for reason in _reasons(inner)]
    return [str(reasons)]


def _first(details: Details) -> str:
    name, reasons = next(iter(details.items()))
    plain = name == WHOLE or reasons[0].startswith(f"{name} ")
    return reasons[0] if plain else f"{name}: {reasons[0]}"


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler400`: refused before any view, by a middleware."""
    if _is_api(request):
        return error_response(400, "the request is not understood")
    return defaults.bad_request(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler404`."""
    if _is_api(request):
        return error_response(404, f"there is nothing at {request.path}")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`: what no view has caught, a middleware's own failure."""
    away = is_unavailable(sys.exc_info()[1])
    if _is_api(request):
        return error_response(503, DATABASE_UNAVAILABLE_TEXT) if away else error_response(500, BROKEN)
    return defaults.server_error(request)
