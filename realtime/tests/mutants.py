"""Values and bytes that are almost right, for fuzzing: something valid, changed in a few places."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as some

odd_texts = some.sampled_from(
    ["", " ", "\0", "\ud800", "NaN", "-Infinity", "1e400", "1e-400", "-0", "1_0", "٣", "0x", "0x" + "G" * 40, "LONG ",
     "2026-13-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9" * 31, "0." + "1" * 30, "x" * 5_000]
)  # fmt: skip
odd_numbers = some.sampled_from([-1, 0, 2**31, 2**63, 10**40, -(10**40), 1e308, 0.1, float("nan"), float("inf")])
values = some.recursive(
    some.none() | some.booleans() | odd_numbers | odd_texts | some.text(max_size=10),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


class Change(NamedTuple):
    """At a place, counted around: the byte there gives way or has a new neighbour, the field gives way or goes."""

    place: int
    what: Any
    gives_way: bool


field_changes = some.builds(Change, some.integers(0, 100), values, some.booleans())
byte_changes = some.builds(Change, some.integers(0, 2_000), some.binary(max_size=3), some.booleans())


def fields_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value with a key of it."""
    keys = range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else []
    for key in keys:
        yield value, key
        yield from fields_of(value[key])


def with_other_fields(raw: bytes, changes: Iterable[Change]) -> bytes:
    """A JSON object in which some fields, however deep, have another value or are gone."""
    value = json.loads(raw)
    for change in changes:
        fields = list(fields_of(value))
        if not fields:
            break
        holder, key = fields[change.place % len(fields)]
        if change.gives_way:
            holder[key] = change.what
        else:
            del holder[key]
    return json.dumps(value).encode()


def with_other_bytes(raw: bytes, changes: Iterable[Change]) -> bytes:
    for change in changes:
        at = change.place % (len(raw) + 1)
        raw = raw[:at] + change.what + raw[at + change.gives_way :]
    return raw
