"""Response formats W and A of rest.md."""

from typing import Any

from django.db import IntegrityError
from rest_framework import serializers

from hyperwatch.api.errors import Conflict
from hyperwatch.api.openapi_texts import EXAMPLE_FACT_TIME, EXAMPLE_HASH, EXAMPLE_WALLET
from hyperwatch.api.serializers import AddressInputField, BodySerializer, FactSerializer, PageSerializer
from whales.models import WhaleActivity, WhaleWatch


class WhaleSerializer(BodySerializer[WhaleWatch]):
    """A watched wallet. New activities are recorded while `is_active` is true."""

    example = {
        "id": 1,
        "wallet_address": EXAMPLE_WALLET,
        "alias": "Market maker 1",
        "description": "Quotes BTC and ETH",
        "is_active": True,
        "created_at": EXAMPLE_FACT_TIME,
    }

    # No uniqueness validator: two concurrent requests would both pass it. The unique constraint rejects the second.
    wallet_address = AddressInputField(max_length=42, validators=[])

    class Meta:
        model = WhaleWatch
        fields = ["id", "wallet_address", "alias", "description", "is_active", "created_at"]
        read_only_fields = ["id", "created_at"]
        # Initial value of the browsable API's form.
        extra_kwargs = {"is_active": {"initial": True}}

    def validate_wallet_address(self, address: str) -> str:
        if self.instance is not None and address != self.instance.wallet_address:
            raise serializers.ValidationError("cannot change: create another whale for the other wallet")
        return address

    def create(self, validated_data: Any) -> WhaleWatch:
        try:
            return super().create(validated_data)
        except IntegrityError as error:
            raise Conflict("this wallet is watched already") from error


class WhalesSerializer(serializers.Serializer[object]):
    example = {"whales": [WhaleSerializer.example], "pagination": PageSerializer.example}
    whales = WhaleSerializer(many=True)
    pagination = PageSerializer()


class WhaleActivitySerializer(FactSerializer):
    """An activity of a watched wallet: OPEN or CLOSE of a position, LARGE_TRADE, or LIQUIDATION."""

    example = {
        "seq": 1234,
        "id": 1234,
        "whale_id": 1,
        "wallet_address": EXAMPLE_WALLET,
        "alias": "Market maker 1",
        "activity_type": "OPEN",
        "tx_hash": EXAMPLE_HASH,
        "coin": "BTC",
        "size": "0.50000000",
        "value_usd": "22500.25000000",
        "timestamp": EXAMPLE_FACT_TIME,
        "details": {"side": "LONG", "price": "45000.50000000", "dir": "Open Long"},
    }

    class Meta(FactSerializer.Meta):
        model = WhaleActivity
        fields = [
            "seq",
            "id",
            "whale_id",
            "wallet_address",
            "alias",
            "activity_type",
            "tx_hash",
            "coin",
            "size",
            "value_usd",
            "timestamp",
            "details",
        ]
