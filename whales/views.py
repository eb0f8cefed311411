from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from rest_framework import mixins
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from hyperwatch.api.filters import Query
from hyperwatch.api.parameters import ID
from hyperwatch.api.views import ApiViewMixin
from realtime.rest.stream_viewset import StreamViewSet
from whales import filters, serializers
from whales.models import WhaleWatch, has_activities


class WhaleViewSet(ApiViewMixin, mixins.RetrieveModelMixin, mixins.UpdateModelMixin, GenericViewSet[WhaleWatch]):
    """The wallets that are watched."""

    queryset = WhaleWatch.objects.all()
    filterset_class = filters.WhaleFilter
    pagination_class = None
    lookup_url_kwarg = "whale_id"
    path_parameters = {"whale_id": ID}
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    errors = {"create": (409,), "retrieve": (404,), "partial_update": (404,), "destroy": (404,)}

    def get_queryset(self) -> QuerySet[WhaleWatch]:
        whales = super().get_queryset()
        # Row lock: concurrent PATCH requests would lose an update, and a PATCH during a DELETE would recreate the row.
        return whales.select_for_update() if self.action in ("partial_update", "destroy") else whales

    def get_serializer_class(self) -> Any:
        return serializers.WhalesSerializer if self.action == "list" else serializers.WhaleSerializer

    def list(self, request: Request) -> Response:
        """All of them."""
        whales = self.filter_queryset(self.get_queryset())
        return Response(self.get_serializer({"whales": whales}).data)

    @transaction.atomic
    def create(self, request: Request) -> Response:
        """Watches a wallet from now on."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response(serializer.data)

    @transaction.atomic
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Changes the alias or the description, or switches the watch on and off."""
        return super().partial_update(request, *args, **kwargs)

    @transaction.atomic
    def destroy(self, request: Request, whale_id: int) -> Response:
        """Ends the watch; what the wallet did stays. Answers what was deleted."""
        whale = self.get_object()
        deleted = self.get_serializer(whale).data
        whale.delete()
        return Response(deleted)


class WhaleActivityViewSet(mixins.ListModelMixin, StreamViewSet):
    """What a watched wallet did, the newest first; also of a whale that is watched no more."""

    stream = "whale_activities"
    serializer_class = serializers.WhaleActivitySerializer
    filterset_class = filters.ActivityFilter
    cached_actions = frozenset({"list"})
    path_parameters = {"whale_id": ID}

    def ensure_exists(self) -> None:
        if has_activities(self.kwargs["whale_id"]):
            return
        # Deleting a watch without activities does not change the stream's version: the response must not be cached.
        self.is_shared = False
        if not WhaleWatch.objects.filter(id=self.kwargs["whale_id"]).exists():
            raise NotFound("no whale with this id")

    def get_queryset(self) -> Query:
        return super().get_queryset().filter(whale_id=self.kwargs["whale_id"])
