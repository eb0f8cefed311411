"""Serializer fields and base classes for the contract's formats."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db.models import Model
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hyperwatch import formats
from hyperwatch.api.parameters import ADDRESS, reject_unknown
from hyperwatch.db import fields

M = TypeVar("M", bound=Model)

DECIMAL_OPTIONS = ("max_digits", "decimal_places")


class RowsSerializer(serializers.ListSerializer[Any]):
    """A list of row structs, returned unchanged: serializing by field takes eighty times as long."""

    def to_representation(self, data: Any) -> list[Any]:
        return list(data)


class RatioOutputField(serializers.FloatField):
    """A JSON number with 4 places."""

    def __init__(self, **options: Any) -> None:
        # A ModelSerializer passes max_digits and decimal_places, which FloatField does not accept.
        super().__init__(**{name: value for name, value in options.items() if name not in DECIMAL_OPTIONS})


@extend_schema_field(dict(ADDRESS.schema))
class AddressInputField(serializers.CharField):
    """`0x` and 40 hex digits in any case, converted to lower case."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        return checked(formats.address, text)


def checked(check: Callable[[object], str], value: object) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise serializers.ValidationError(str(error)) from None


class BodySerializer(serializers.ModelSerializer[M]):
    """A request body. Read-only fields are ignored, so that a response can be sent back as a whole."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            writable = [name for name, field in self.fields.items() if not field.read_only]
            reject_unknown(data, writable, ignored=self.fields)
            # Null is the same as a missing field.
            data = {name: value for name, value in data.items() if value is not None}
        return super().to_internal_value(data)


class PageSerializer(serializers.Serializer[object]):
    """`pagination` of a list by page number."""

    example = {"page": 1, "page_size": 20, "total": 1, "total_pages": 1, "total_exact": True}

    page = serializers.IntegerField()
    page_size = serializers.IntegerField()
    total = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    total_exact = serializers.BooleanField(help_text="false: there are more rows than counted")


class FactSerializer(serializers.ModelSerializer[Any]):
    """A stored fact: describes the fields for OpenAPI and renders single objects. Lists are row structs."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        fields.RatioField: RatioOutputField,
    }
    seq = serializers.IntegerField(source="id", help_text="its number in the stream")

    class Meta:
        list_serializer_class = RowsSerializer


class HeadSerializer(serializers.Serializer[Any]):
    """Fields of every response that is made from a stream."""

    head = serializers.IntegerField(help_text="the newest seq that the answer takes in: subscribe since it")
    epoch = serializers.CharField(help_text="another epoch means that numbers start anew")
