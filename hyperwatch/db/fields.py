"""Model fields for the contract's formats, and their conversion for clients.

`wire()` selects decimals as PostgreSQL's text: no digit is lost and no Decimal is created.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Substr
from django.db.models.lookups import Exact

from hyperwatch import formats

Convert = Callable[[Any], Any]


class AmountField(models.DecimalField):  # type: ignore[type-arg]
    """A size, price or value: numeric(30, 8)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 30, "decimal_places": 8, **options})


class LeverageField(models.DecimalField):  # type: ignore[type-arg]
    """numeric(10, 2): the venue allows up to 40x, other exchanges 1000x and more."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 10, "decimal_places": 2, **options})


class RatioField(models.DecimalField):  # type: ignore[type-arg]
    """numeric(10, 4), a JSON number on the wire."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 10, "decimal_places": 4, **options})


class CoinField(models.CharField):  # type: ignore[type-arg]
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 32, **options})


def validate_address(value: object) -> None:
    try:
        formats.address(value)
    except ValueError as error:
        raise ValidationError(str(error)) from error


class AddressField(models.CharField):  # type: ignore[type-arg]
    """`0x` and 40 hex digits, in lower case."""

    default_validators = [validate_address]

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 42, **options})

    def get_prep_value(self, value: Any) -> Any:
        # Stored values and lookups are both in lower case.
        prepared = super().get_prep_value(value)
        return prepared.lower() if isinstance(prepared, str) else prepared


class HashField(models.CharField):  # type: ignore[type-arg]
    """`0x` and 64 hex digits, in lower case; `hash_index` is its index."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 66, **options})


# Start and length of the ascending part of a transaction hash, for SUBSTRING. The venue's hashes begin with 10 bytes
# that look random. Then follow 04, the block number and the position in the block, which ascend in order of arrival:
# 0xe9ceeec0f592c513eb48 0437125f09 0202ac00 a69095… is of block 923950857 (hex 37125f09). Verified with all fills of
# a node's blocks of 2026-03-15.
ASCENDING_PART = (23, 24)


def hash_index(name: str, column: str = "tx_hash") -> models.Index:
    """An index of the ascending part of hashes. An index of whole hashes has random inserts and twice the size."""
    return models.Index(Substr(column, *ASCENDING_PART), name=name)


@HashField.register_lookup
class HashExact(Exact):
    """Compares the part that `hash_index` contains, then the whole hash."""

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        condition, parameters = super().as_sql(compiler, connection)
        column, column_params = self.process_lhs(compiler, connection)
        value, value_params = self.process_rhs(compiler, connection)
        start, length = ASCENDING_PART
        part = f"SUBSTRING({column}, {start}, {length}) = SUBSTRING({value}, {start}, {length})"
        return f"({part} AND {condition})", [*column_params, *value_params, *parameters]


class JsonTextField(models.JSONField):
    """JSON stored as its original text (PostgreSQL's `json`), so that clients receive the same bytes."""

    def db_type(self, connection: Any) -> str:
        return "json"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        # psycopg2 decodes `json` itself; Django registers a plain decoder for `jsonb` only.
        return super().from_db_value(value, expression, connection) if isinstance(value, str) else value


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())


def wire(model: type[models.Model], name: str) -> tuple[str | Combinable, Convert | None]:
    """The expression that selects the column for clients, and a converter of its values if they need one."""
    column = model._meta.get_field(name)
    if isinstance(column, RatioField | JsonTextField):
        return Cast(name, models.TextField()), _raw
    if isinstance(column, models.DecimalField):
        return Cast(name, models.TextField()), None
    if isinstance(column, models.DateTimeField):
        return name, formats.output_time
    return name, None


def not_nan(columns: Iterable[str], table: str) -> list[models.CheckConstraint]:
    """Named check constraints against NaN: PostgreSQL accepts it in numeric columns, and every sum with it is NaN."""
    nan = cast(Any, models.Value("NaN", output_field=models.FloatField()))
    return [
        models.CheckConstraint(condition=~models.Q(**{column: nan}), name=f"{table}_{column}_not_nan")
        for column in columns
    ]
