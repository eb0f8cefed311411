"""Model fields for the contract's formats, and what each looks like on the wire.

`wire()` is how a column is read for a client: as text that PostgreSQL wrote, so that no digit is lost and no
Decimal is made on the way.
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
    """numeric(10, 2): the venue goes to 40x, others to 1000x and more."""

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
        raise ValidationError(f"{str(error).capitalize()}, not {value!r:.60}") from error


class AddressField(models.CharField):  # type: ignore[type-arg]
    """`0x` and 40 hex digits, in lower case."""

    default_validators = [validate_address]

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 42, **options})

    def get_prep_value(self, value: Any) -> Any:
        # Whatever way an address comes in, it is stored and compared in lower case.
        prepared = super().get_prep_value(value)
        return prepared.lower() if isinstance(prepared, str) else prepared


class HashField(models.CharField):  # type: ignore[type-arg]
    """`0x` and 64 hex digits, in lower case; found by `hash_index`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 66, **options})


# In the venue's hashes 10 bytes that look drawn come first, then 04 and the block's number, then the place in it (all
# fills of its node's blocks of 2026-03-15 are so: 0xe9ceeec0f592c513eb48 0437125f09 0202ac00 a69095… is of block
# 923950857, in hex 37125f09). From here on, so far, hashes ascend as facts come.
ASCENDING = (23, 24)


def hash_index(name: str, column: str = "tx_hash") -> models.Index:
    """An index of the part of each hash that ascends. One of whole hashes is written to all over, at twice the size."""
    return models.Index(Substr(column, *ASCENDING), name=name)


@HashField.register_lookup
class HashExact(Exact):
    """Looks for the part that `hash_index` has, then compares the whole."""

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        whole, parameters = super().as_sql(compiler, connection)
        column, of_column = self.process_lhs(compiler, connection)
        value, of_value = self.process_rhs(compiler, connection)
        first, most = ASCENDING
        part = f"SUBSTRING({column}, {first}, {most}) = SUBSTRING({value}, {first}, {most})"
        return f"({part} AND {whole})", [*of_column, *of_value, *parameters]


class JsonTextField(models.JSONField):
    """JSON that is kept as the text it came as (PostgreSQL's `json`): what goes out has the same bytes."""

    def db_type(self, connection: Any) -> str:
        return "json"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        # psycopg2 decodes `json` by itself, unlike `jsonb`.
        return super().from_db_value(value, expression, connection) if isinstance(value, str) else value


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())


def wire(model: type[models.Model], name: str) -> tuple[str | Combinable, Convert | None]:
    """How the column `name` of `model` is selected for a client, and what makes its value of what comes."""
    column = model._meta.get_field(name)
    if isinstance(column, RatioField | JsonTextField):
        return Cast(name, models.TextField()), _raw
    if isinstance(column, models.DecimalField):
        return Cast(name, models.TextField()), None
    return name, None


def not_nan(columns: Iterable[str], table: str) -> list[models.CheckConstraint]:
    """Checks, named, that keep NaN out of numeric columns: PostgreSQL takes it and sums are poisoned for ever."""
    nan = cast(Any, models.Value("NaN", output_field=models.FloatField()))
    return [
        models.CheckConstraint(condition=~models.Q(**{column: nan}), name=f"{table}_{column}_not_nan")
        for column in columns
    ]
