"""Response format R of rest.md."""

from rest_framework import serializers

from hyperwatch.api.serializers import FactSerializer, HeadSerializer
from ratios.models import LongShortRatio


class RatioSerializer(FactSerializer):
    class Meta(FactSerializer.Meta):
        model = LongShortRatio
        fields = [
            "seq",
            "coin",
            "timestamp",
            "long_ratio",
            "short_ratio",
            "long_position_value",
            "short_position_value",
            "total_position_value",
            "long_accounts",
            "short_accounts",
        ]


class CurrentRatioSerializer(RatioSerializer):
    age_seconds = serializers.FloatField()

    class Meta(RatioSerializer.Meta):
        fields = [*RatioSerializer.Meta.fields, "age_seconds"]


class CurrentRatiosSerializer(HeadSerializer):
    ratios = CurrentRatioSerializer(many=True)
