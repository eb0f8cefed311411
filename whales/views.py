from dataclasses import replace
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from hyperwatch.api.csv_table import is_csv
from hyperwatch.api.filters import Query
from hyperwatch.api.openapi_texts import EXAMPLE_WALLET
from hyperwatch.api.pagination import numbered_page
from hyperwatch.api.parameters import ID
from hyperwatch.api.views import ApiViewMixin
from realtime.rest.stream_viewset import StreamViewSet
from whales import filters, serializers
from whales.models import WhaleWatch, has_activities

WHALE_ID = replace(ID, schema={**ID.schema, "example": 1})


@extend_schema(tags=["Whales"])
@extend_schema_view(
    retrieve=extend_schema(
        operation_id="getWhale", summary="Get a watched wallet", description="Returns one watched wallet."
    )
)
class WhaleViewSet(ApiViewMixin, mixins.RetrieveModelMixin, mixins.UpdateModelMixin, GenericViewSet[WhaleWatch]):
    """Watched wallets."""

    queryset = WhaleWatch.objects.all()
    filterset_class = filters.WhaleFilter
    pagination_class = None
    lookup_url_kwarg = "whale_id"
    path_parameters = {"whale_id": WHALE_ID}
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    errors = {"create": (409,), "retrieve": (404,), "partial_update": (404,), "destroy": (404,)}

    def get_queryset(self) -> QuerySet[WhaleWatch]:
        whales = super().get_queryset()
        # Row lock: concurrent PATCH requests would lose an update, and a PATCH during a DELETE would recreate the row.
        return whales.select_for_update() if self.action in ("partial_update", "destroy") else whales

    def get_serializer_class(self) -> Any:
        return serializers.WhalesSerializer if self.action == "list" else serializers.WhaleSerializer

    @extend_schema(
        operation_id="listWhales",
        summary="List watched wallets",
        description="Returns watched wallets, ordered by id, at most 100 a page. CSV returns all.",
    )
    def list(self, request: Request) -> Response:
        whales = self.filter_queryset(self.get_queryset())
        if is_csv(request):
            return Response({"whales": serializers.WhaleSerializer(whales, many=True).data})
        page, pagination = numbered_page(whales, self.parameters)
        return Response(self.get_serializer({"whales": page, "pagination": pagination}).data)

    @extend_schema(
        operation_id="createWhale",
        summary="Watch a wallet",
        description="Creates a watched wallet and records its activities from now on. Returns 409 if it exists.",
        examples=[
            OpenApiExample(
                "Watch a wallet",
                {"wallet_address": EXAMPLE_WALLET, "alias": "Market maker 1", "description": "Quotes BTC and ETH"},
                request_only=True,
            )
        ],
    )
    @transaction.atomic
    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response(serializer.data)

    @extend_schema(
        operation_id="updateWhale",
        summary="Update a watched wallet",
        description="Changes the given fields. With `is_active` false no new activities are recorded. "
        "`wallet_address` cannot change.",
        examples=[OpenApiExample("Stop recording", {"is_active": False}, request_only=True)],
    )
    @transaction.atomic
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(
        operation_id="deleteWhale",
        summary="Delete a watched wallet",
        description="Deletes the watched wallet and returns it. Its recorded activities remain.",
    )
    @transaction.atomic
    def destroy(self, request: Request, whale_id: int) -> Response:
        whale = self.get_object()
        deleted = self.get_serializer(whale).data
        whale.delete()
        return Response(deleted)


@extend_schema_view(
    list=extend_schema(
        operation_id="listWhaleActivities",
        summary="List activities of a watched wallet",
        description="Returns activities that match all filters, newest first; also of a deleted watch. A page has "
        "at most 100 rows, and pages reach to row 10,000; `cursor` reads further. CSV returns all matching rows.",
        tags=["Whales"],
    )
)
class WhaleActivityViewSet(mixins.ListModelMixin, StreamViewSet):
    """Activities of a watched wallet, newest first; also of a deleted watch."""

    stream = "whale_activities"
    serializer_class = serializers.WhaleActivitySerializer
    filterset_class = filters.ActivityFilter
    cached_actions = frozenset({"list"})
    path_parameters = {"whale_id": WHALE_ID}

    def ensure_exists(self) -> None:
        if has_activities(self.kwargs["whale_id"]):
            return
        # Deleting a watch without activities does not change the stream's version: the response must not be cached.
        self.is_shared = False
        if not WhaleWatch.objects.filter(id=self.kwargs["whale_id"]).exists():
            raise NotFound("no whale with this id")

    def get_queryset(self) -> Query:
        return super().get_queryset().filter(whale_id=self.kwargs["whale_id"])
