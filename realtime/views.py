from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from hyperwatch.api.views import ApiViewMixin
from realtime.storage import sequences


class NewestSerializer(serializers.Serializer[object]):
    newest = serializers.DateTimeField()


class CoinSerializer(serializers.Serializer[object]):
    coin = serializers.CharField()
    streams = serializers.DictField(child=NewestSerializer())


class CoinsSerializer(serializers.Serializer[object]):
    coins = CoinSerializer(many=True)


class CoinViewSet(ApiViewMixin, ViewSet):
    """The known coins, with the time of the latest fact of each in each stream."""

    serializer_class = CoinsSerializer
    pagination_class = None
    errors = {}

    def list(self, request: Request) -> Response:
        coins = sequences.latest_by_coin()
        return Response({"coins": [{"coin": coin, "streams": streams} for coin, streams in coins.items()]})
