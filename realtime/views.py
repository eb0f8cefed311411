from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from hyperwatch.api.openapi_texts import EXAMPLE_FACT_TIME
from hyperwatch.api.views import ApiViewMixin
from realtime.storage import sequences


class NewestSerializer(serializers.Serializer[object]):
    newest = serializers.DateTimeField()


class CoinSerializer(serializers.Serializer[object]):
    coin = serializers.CharField()
    streams = serializers.DictField(child=NewestSerializer())


class CoinsSerializer(serializers.Serializer[object]):
    example = {
        "coins": [
            {
                "coin": "BTC",
                "streams": {
                    "liquidations": {"newest": EXAMPLE_FACT_TIME},
                    "transactions": {"newest": EXAMPLE_FACT_TIME},
                },
            }
        ]
    }
    coins = CoinSerializer(many=True)


class CoinViewSet(ApiViewMixin, ViewSet):
    """The known coins, with the time of the latest fact of each in each stream."""

    serializer_class = CoinsSerializer
    pagination_class = None
    errors = {}

    @extend_schema(
        operation_id="listCoins",
        summary="List coins",
        description="Returns each coin with stored data, ordered by name, and the newest time in each of its streams.",
        tags=["System"],
    )
    def list(self, request: Request) -> Response:
        coins = sequences.latest_by_coin()
        return Response({"coins": [{"coin": coin, "streams": streams} for coin, streams in coins.items()]})
