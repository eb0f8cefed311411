import msgspec
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.exceptions import NotFound
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from hyperwatch.api.csv_table import is_csv
from hyperwatch.api.pagination import numbered_page
from hyperwatch.api.parameters import HASH, invalid_parameter
from hyperwatch.formats import ZERO_HASH, output_time
from realtime.rest.stream_viewset import StreamViewSet
from transactions import filters, serializers
from transactions.models import Position

MAX_FILLS = 1_000
ZERO_HASH_TEXT = (
    "is the all-zero hash, which the venue gives to many transactions: "
    "use /transactions with user_address, coin, start_time and end_time"
)


@extend_schema(tags=["Transactions"])
@extend_schema_view(
    list=extend_schema(
        operation_id="listTransactions",
        summary="List transactions",
        description="Returns transactions that match all filters, newest first. A page has at most 100 rows, and pages "
        "reach to row 10,000; `cursor` reads further. CSV returns all matching rows.",
    )
)
class TransactionViewSet(ListModelMixin, StreamViewSet):
    """Fills, transfers, deposits and withdrawals, newest first."""

    stream = "transactions"
    serializer_class = serializers.TransactionSerializer
    filterset_class = filters.TransactionFilter
    lookup_field = "tx_hash"
    path_parameters = {"tx_hash": HASH}

    def get_serializer_class(self) -> type[serializers.TransactionSerializer]:
        return serializers.FillsSerializer if self.detail else serializers.TransactionSerializer

    @extend_schema(
        operation_id="getTransaction",
        summary="Get a transaction by hash",
        description="Returns the fill with the lowest `seq`, and in `fills` at most 1,000 fills of the same hash, in "
        "order of `seq`. The all-zero hash returns 400, because unrelated transactions share it.",
    )
    def retrieve(self, request: Request, tx_hash: str) -> Response:
        if tx_hash == ZERO_HASH:
            raise invalid_parameter("tx_hash", ZERO_HASH_TEXT)
        fills = self.get_queryset().fills_of(tx_hash)
        rows = self.fetch_rows(fills[:MAX_FILLS])
        if not rows:
            raise NotFound("no transaction has this hash")
        return self.respond(**msgspec.structs.asdict(rows[0]), fills=rows, fills_total=fills.count())


class PositionViewSet(StreamViewSet):
    """Open positions of each coin at its latest summary."""

    stream = "position_summaries"
    serializer_class = serializers.PositionsSerializer
    filterset_class = filters.PositionFilter
    pagination_class = None
    errors = {}

    @extend_schema(
        operation_id="listPositions",
        summary="List open positions",
        description="Returns the open positions of each coin at the time in `as_of`, ordered by coin, wallet and side, "
        "at most 100 a page. CSV returns all.",
        tags=["Transactions"],
    )
    def list(self, request: Request) -> Response:
        as_of = self.filtered().latest_times(self.parameters["coin"])
        positions = Position.objects.in_summaries(as_of, self.parameters["user_address"])
        if is_csv(request):
            return Response({"positions": positions.to_items()})
        page, pagination = numbered_page(positions, self.parameters)
        times = {coin: output_time(time) for coin, time in as_of.items()}
        return Response({"positions": page.to_items(), "as_of": times, "pagination": pagination})
