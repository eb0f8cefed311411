"""Base of all API views, and the 404 view of unrouted paths."""

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from rest_framework.exceptions import NotFound
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from hyperwatch.api import csv_table
from hyperwatch.api.filters import StrictFilterSet
from hyperwatch.api.pagination import QUERY_PARAMETERS as PAGINATION_PARAMETERS
from hyperwatch.api.pagination import reject_pages
from hyperwatch.api.parameters import Parameter, reject_unknown
from hyperwatch.api.parsers import DepthCheckedJSONParser
from hyperwatch.api.renderers import CsvRenderer


class ApiViewMixin(APIView):
    """Checks in this order: authentication, throttles, method, permissions, path parameters, query parameters.

    `path_parameters` validates the variable parts of the path. `errors` has the statuses of each action beyond
    the common ones, for OpenAPI. `parameters` has the query's values, as read by the filter set.
    """

    parser_classes = [DepthCheckedJSONParser]
    path_parameters: ClassVar[Mapping[str, Parameter[Any]]] = {}
    errors: ClassVar[Mapping[str, tuple[int, ...]]] = {"list": (404,), "retrieve": (404,)}
    filterset_class: type[StrictFilterSet] | None = None
    parameters: Mapping[str, Any] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # DRF calls the handler with this dict.
        for name in self.path_parameters.keys() & self.kwargs.keys():
            self.kwargs[name] = self.path_parameters[name].from_path(name, self.kwargs[name])
        reject_unknown(
            request.query_params, self.query_parameters(), getattr(self.filterset_class, "ignored_params", ())
        )
        if csv_table.is_csv(request):
            reject_pages(request.query_params)
        self.ensure_exists()
        if self.filterset_class and not self.detail:  # type: ignore[attr-defined]
            self.parameters = self.filterset_class.read(request.query_params)

    def ensure_exists(self) -> None:
        """Override to raise NotFound before the query parameters are read."""

    def get_renderers(self) -> list[BaseRenderer]:
        """Adds CSV for lists."""
        return [*super().get_renderers(), *([CsvRenderer()] if csv_table.table_for(self) else [])]

    def query_parameters(self) -> list[str]:
        """Accepted query parameters of every method: the browsable page posts to its list URL, with the query."""
        known = [str(api_settings.URL_FORMAT_OVERRIDE)]
        if getattr(self, "detail", True):
            return known
        filters = self.filterset_class.base_filters if self.filterset_class else {}
        pagination = PAGINATION_PARAMETERS if getattr(self, "pagination_class", None) else {}
        return [*filters, *pagination, *known]

    def perform_authentication(self, request: Request) -> None:
        # DRF throttles after the permissions. Here rejected requests count, too.
        try:
            super().perform_authentication(request)
        finally:
            super().check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """Does nothing: `perform_authentication` checks the throttles."""

    def check_permissions(self, request: Request) -> None:
        # An unsupported method is a 405 even without a key.
        if request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)
        super().check_permissions(request)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        allowance = getattr(request, "allowance", None)
        if allowance is not None:
            for header, value in allowance.headers().items():
                final[header] = value
        return final


class NotFoundView(ApiViewMixin):
    """404 for every unrouted path under /api/ and every method."""

    schema = None
    authentication_classes = []

    def check_permissions(self, request: Request) -> NoReturn:
        raise NotFound(f"no resource at {request.path}")
