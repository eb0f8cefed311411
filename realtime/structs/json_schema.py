"""From the structs that read and write frames to JSON schemas, and from a schema to an example."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import FieldInfo

from realtime.structs.input_types import Address, Amount, Coin
from realtime.structs.output_types import ADDRESS_TEXT, AMOUNT_TEXT, COIN_TEXT, JsonOf

REF = "#/components/schemas/"
# The types that are checked where they are read.
CHECKED: dict[Any, dict[str, Any]] = {
    Coin: {**COIN_TEXT, "description": "coin, in any case"},
    Address: {**ADDRESS_TEXT, "pattern": "^0x[0-9a-fA-F]{40}$"},
    Amount: AMOUNT_TEXT,
}

Schema = dict[str, Any]


def schema_name(struct: Any) -> str:
    """The documented name: that of the struct, without the suffix of row structs."""
    return str(struct.__name__).removesuffix("Row")


def const(value: str) -> Any:
    return Annotated[str, Meta(extra_json_schema={"const": value})]


def enum_schema(values: Sequence[str]) -> Any:
    return Annotated[str, Meta(extra_json_schema={"enum": list(values)})]


def server_schema(struct: Any, name: str = "", **types: Any) -> Any:
    """A struct as it goes out: without what is hidden, with what finished JSON is of. `types` say more than it does."""
    hints = get_type_hints(struct, include_extras=True)
    hidden = getattr(struct, "hidden", ())
    shown = [field for field in msgspec.structs.fields(struct) if field.name not in hidden]
    fields = [(field.name, types.get(field.name) or _always(field) or _inside(hints[field.name])) for field in shown]
    return _define(struct, name, fields)


def client_schema(struct: Any, name: str, types: Mapping[str, Any], required: frozenset[str]) -> Any:
    """A struct as a client may send it: with the fields of `types`, most of which may be left out."""
    fields = [
        (field, types[field]) if field in required else (field, types[field] | UnsetType, UNSET)
        for field in struct.__struct_fields__
        if field in types
    ]
    return _define(struct, name, fields)


def schemas(structs: Sequence[Any], enums: Iterable[type[StrEnum]]) -> dict[str, Schema]:
    """The schemas of structs and of all that is in them, by name; the values of `enums` in their own order."""
    _, known = msgspec.json.schema_components(structs, schema_hook=_checked, ref_template=REF + "{name}")
    for enum in enums:
        known[enum.__name__]["enum"] = [member.value for member in enum]
    return known


def example(schema: Schema, known: Mapping[str, Schema]) -> Any:
    """A value that the schema takes; of optional fields it has all."""
    match schema:
        case {"const": value} | {"examples": [value, *_]} | {"enum": [value, *_]}:
            return value
        case {"$ref": ref}:
            return example(known[ref.removeprefix(REF)], known)
        case {"anyOf": [first, *_]} | {"allOf": [first, *_]}:
            return example(first, known)
        case {"properties": fields}:
            return {name: example(field, known) for name, field in fields.items()}
        case {"propertyNames": names, "additionalProperties": values}:
            return {example(names, known): example(values, known)}
        case {"type": "array", "items": items}:
            return [example(items, known)]
        case _:
            return _plain(schema)


def _plain(schema: Schema) -> Any:
    plain = {"object": {}, "string": "text", "boolean": True, "integer": schema.get("minimum", 1)}
    return plain[schema["type"]]


def _checked(kind: Any) -> Schema:
    return {"type": "string", **CHECKED[kind]}


def _always(field: FieldInfo) -> Any:
    """Of a text that nobody changes."""
    return const(field.default) if isinstance(field.default, str) else None


def _inside(hint: Any) -> Any:
    marks = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, JsonOf)]
    return marks[0].type if marks else hint


def _define(struct: Any, name: str, fields: Sequence[Any]) -> Any:
    config = struct.__struct_config__
    return msgspec.defstruct(
        name or schema_name(struct),
        fields,
        namespace={"__doc__": struct.__doc__},
        kw_only=True,
        tag_field=config.tag_field,
        tag=config.tag,
        forbid_unknown_fields=config.forbid_unknown_fields,
    )
