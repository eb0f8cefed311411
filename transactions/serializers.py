"""Response formats T and P of rest.md."""

from rest_framework import serializers

from hyperwatch.api.serializers import FactSerializer, HeadSerializer
from transactions.models import POSITION_FIELDS, Position, Transaction


class TransactionSerializer(FactSerializer):
    class Meta(FactSerializer.Meta):
        model = Transaction
        fields = [
            "seq",
            "tx_hash",
            "block_number",
            "block_timestamp",
            "user_address",
            "coin",
            "side",
            "size",
            "price",
            "leverage",
            "margin",
            "fee",
            "tx_type",
            "raw_data",
        ]


class FillsSerializer(HeadSerializer, TransactionSerializer):
    fills = TransactionSerializer(many=True)
    fills_total = serializers.IntegerField()

    class Meta(TransactionSerializer.Meta):
        fields = [*TransactionSerializer.Meta.fields, "fills", "fills_total", "head", "epoch"]


class PositionSerializer(serializers.ModelSerializer[Position]):
    class Meta:
        model = Position
        fields = POSITION_FIELDS


class PositionsSerializer(serializers.Serializer[object]):
    positions = PositionSerializer(many=True)
    as_of = serializers.DictField(child=serializers.DateTimeField(), help_text="when each coin was summed up last")
