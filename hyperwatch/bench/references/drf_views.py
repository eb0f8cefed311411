"""References on the same daphne: bytes without middleware, and a list as one writes it with DRF alone."""

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
LIST = f"/api/v1/{STREAM}"


def bare() -> None:
    settings.MIDDLEWARE = []
    _serve()


def drf() -> None:
    """With all the middleware that ours has."""
    _serve()


def _serve() -> None:
    settings.ROOT_URLCONF = __name__
    call_command("serve")


def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"")


def some_bytes(request: HttpRequest, size: int) -> HttpResponse:
    # CommonMiddleware says the length otherwise, and without it the answer goes out in chunks.
    return HttpResponse(_bytes(size), content_type="application/json", headers={"Content-Length": str(size)})


@cache
def _bytes(size: int) -> bytes:
    return b"x" * size


class Pages(PageNumberPagination):
    page_size_query_param = "page_size"
    max_page_size = 100


class Walk(CursorPagination):
    page_size_query_param = "page_size"
    max_page_size = 100
    ordering = ("-block_timestamp", "-id")


def _serializer() -> type[serializers.ModelSerializer[Any]]:
    stream = get_stream(STREAM)
    shown = [name for name in stream.row.__struct_fields__ if name not in (*stream.row.hidden, "seq")]

    class Serializer(serializers.ModelSerializer[Any]):
        class Meta:
            model = stream.model
            fields = ["id", *shown]

    return Serializer


class Paged(ModelViewSet[Any]):
    serializer_class = _serializer()
    queryset = get_stream(STREAM).model._default_manager.order_by("-block_timestamp", "-id")
    filterset_class = resolve(LIST, "hyperwatch.urls").func.cls.filterset_class  # type: ignore[attr-defined]
    filter_backends = [DjangoFilterBackend]
    pagination_class: Any = Pages
    renderer_classes = [JSONRenderer]
    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = []


class Walked(Paged):
    pagination_class = Walk


router = SimpleRouter(trailing_slash=False)
router.register("paged", Paged, "paged")
router.register("walked", Walked, "walked")

urlpatterns: list[URLPattern | URLResolver] = [
    path("health", health),
    path("bytes/<int:size>", some_bytes),
    path("", include(router.urls)),
]
