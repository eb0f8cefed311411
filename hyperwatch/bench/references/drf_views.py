"""References on the same daphne: static bytes without middleware, and lists of plain DRF."""

from functools import cache
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, resolve
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ModelViewSet

from realtime.streams import get_stream

STREAM = "liquidations"
LIST_URL = f"/api/v1/{STREAM}"


def bare() -> None:
    settings.MIDDLEWARE = []
    _serve()


def drf() -> None:
    """With all middleware of the project."""
    _serve()


def _serve() -> None:
    settings.ROOT_URLCONF = __name__
    call_command("serve")


def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"")


def static_bytes(request: HttpRequest, size: int) -> HttpResponse:
    # Without CommonMiddleware the header is missing, and the response would be chunked.
    return HttpResponse(_bytes(size), content_type="application/json", headers={"Content-Length": str(size)})


@cache
def _bytes(size: int) -> bytes:
    return b"x" * size


class PagePagination(PageNumberPagination):
    page_size_query_param = "page_size"
    max_page_size = 100


class KeysetPagination(CursorPagination):
    page_size_query_param = "page_size"
    max_page_size = 100
    ordering = ("-block_timestamp", "-id")


def _serializer() -> type[serializers.ModelSerializer[Any]]:
    stream = get_stream(STREAM)
    field_names = [name for name in stream.row.__struct_fields__ if name not in (*stream.row.hidden, "seq")]

    class ReferenceSerializer(serializers.ModelSerializer[Any]):
        class Meta:
            model = stream.model
            fields = ["id", *field_names]

    return ReferenceSerializer


class PagedViewSet(ModelViewSet[Any]):
    serializer_class = _serializer()
    queryset = get_stream(STREAM).model._default_manager.order_by("-block_timestamp", "-id")
    filterset_class = resolve(LIST_URL, "hyperwatch.urls").func.cls.filterset_class  # type: ignore[attr-defined]
    filter_backends = [DjangoFilterBackend]
    pagination_class: Any = PagePagination
    renderer_classes = [JSONRenderer]
    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = []


class CursorViewSet(PagedViewSet):
    pagination_class = KeysetPagination


router = SimpleRouter(trailing_slash=False)
router.register("pages", PagedViewSet, "pages")
router.register("cursor", CursorViewSet, "cursor")

urlpatterns: list[URLPattern | URLResolver] = [
    path("health", health),
    path("bytes/<int:size>", static_bytes),
    path("", include(router.urls)),
]
