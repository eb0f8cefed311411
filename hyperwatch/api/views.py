"""What every view of the API has in common, and the answer where there is none."""

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
from hyperwatch.api.pagination import TAKES as PAGING
from hyperwatch.api.pagination import reject_pages
from hyperwatch.api.parameters import Parameter, reject_unknown
from hyperwatch.api.parsers import DepthCheckedJSONParser
from hyperwatch.api.renderers import CsvRenderer


class ApiViewMixin(APIView):
    """Throttles before permissions, methods before keys, checked paths, the throttle's headers.

    `path_parameters` says what the variable parts of the path take; `errors` which statuses an action gives
    besides those that every one gives. `parameters` is what was asked for, checked by the view's filter set.
    """

    parser_classes = [DepthCheckedJSONParser]
    path_parameters: ClassVar[Mapping[str, Parameter[Any]]] = {}
    errors: ClassVar[Mapping[str, tuple[int, ...]]] = {"list": (404,), "retrieve": (404,)}
    filterset_class: type[StrictFilterSet] | None = None
    parameters: Mapping[str, Any] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # The handler is called with this very dict.
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
        """Raises NotFound where there is nothing to answer about, whatever is asked of it."""

    def get_renderers(self) -> list[BaseRenderer]:
        """CSV too for whatever is a list."""
        return [*super().get_renderers(), *([CsvRenderer()] if csv_table.table_for(self) else [])]

    def query_parameters(self) -> list[str]:
        """What the query may name, by any method: a browser writes to the address of the list that it looks at."""
        known = [str(api_settings.URL_FORMAT_OVERRIDE)]
        if getattr(self, "detail", True):
            return known
        filters = self.filterset_class.base_filters if self.filterset_class else {}
        paging = PAGING if getattr(self, "pagination_class", None) else {}
        return [*filters, *paging, *known]

    def perform_authentication(self, request: Request) -> None:
        # Whoever is refused counts too, so this does not wait for permissions as DRF does.
        try:
            super().perform_authentication(request)
        finally:
            super().check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """Done with the authentication."""

    def check_permissions(self, request: Request) -> None:
        # A method that nobody may use is a 405, with a key or without.
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
    """Any path under /api/ that leads nowhere, by any method."""

    schema = None
    authentication_classes = []

    def check_permissions(self, request: Request) -> NoReturn:
        raise NotFound(f"there is nothing at {request.path}")
