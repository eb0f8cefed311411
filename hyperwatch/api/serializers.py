"""Serializers for what the contract's formats are on the wire."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db.models import Model
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hyperwatch import formats
from hyperwatch.api.parameters import ADDRESS, reject_unknown
from hyperwatch.db import fields

M = TypeVar("M", bound=Model)

DIGITS = ("max_digits", "decimal_places")


class RowsSerializer(serializers.ListSerializer[Any]):
    """A list of finished rows, which go out as they are: field by field would cost eighty times as much."""

    def to_representation(self, data: Any) -> list[Any]:
        return list(data)


class RatioOutputField(serializers.FloatField):
    """A JSON number with 4 places."""

    def __init__(self, **options: Any) -> None:
        # What a ModelSerializer says of a numeric column.
        super().__init__(**{name: told for name, told in options.items() if name not in DIGITS})


@extend_schema_field(dict(ADDRESS.schema))
class AddressInputField(serializers.CharField):
    """`0x` and 40 hex digits in any case, lower case inside."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        return checked(formats.address, text)


def checked(check: Callable[[object], str], value: object) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise serializers.ValidationError(str(error)) from None


class BodySerializer(serializers.ModelSerializer[M]):
    """What a client sends. What was answered may be sent back whole: its read-only fields are passed over."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            written = [name for name, field in self.fields.items() if not field.read_only]
            reject_unknown(data, written, tolerated=self.fields)
        return super().to_internal_value(data)


class FactSerializer(serializers.ModelSerializer[Any]):
    """A stored fact. It describes what goes out and renders single objects; lists go out as finished rows."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        fields.RatioField: RatioOutputField,
    }
    seq = serializers.IntegerField(source="id", help_text="its number in the stream")

    class Meta:
        list_serializer_class = RowsSerializer


class HeadSerializer(serializers.Serializer[Any]):
    """What every answer made from a stream carries."""

    head = serializers.IntegerField(help_text="the newest seq that the answer takes in: subscribe since it")
    epoch = serializers.CharField(help_text="another epoch means that numbers start anew")
