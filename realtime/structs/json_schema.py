"""JSON schemas of the structs that decode and encode frames, and examples that match the schemas."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import FieldInfo

from realtime.structs.input_types import Address, Amount, Coin
from realtime.structs.output_types import ADDRESS_TEXT, AMOUNT_TEXT, COIN_TEXT, JsonOf

REF = "#/components/schemas/"
# Schemas of the checked types of input_types.py, as clients may send them.
INPUT_SCHEMAS: dict[Any, dict[str, Any]] = {
    Coin: {**COIN_TEXT, "description": "coin, in any case"},
    Address: {**ADDRESS_TEXT, "pattern": "^0x[0-9a-fA-F]{40}$"},
    Amount: AMOUNT_TEXT,
}

Schema = dict[str, Any]


def schema_name(struct: Any) -> str:
    """The documented name: that of the struct without the suffix `Row`."""
    return str(struct.__name__).removesuffix("Row")


def const(value: str) -> Any:
    return Annotated[str, Meta(extra_json_schema={"const": value})]


def enum_schema(values: Sequence[str]) -> Any:
    return Annotated[str, Meta(extra_json_schema={"enum": list(values)})]


def server_schema(struct: Any, name: str = "", **types: Any) -> Any:
    """The documented form of a struct that the server sends: a new struct without hidden fields.

    A field with `JsonOf` has the type of its JSON. `types` replaces the types of fields, by name.
    """
    hints = get_type_hints(struct, include_extras=True)
    hidden = getattr(struct, "hidden", ())
    visible = [field for field in msgspec.structs.fields(struct) if field.name not in hidden]
    fields = [
        (field.name, types.get(field.name) or _constant_text(field) or _json_content(hints[field.name]))
        for field in visible
    ]
    return _define(struct, name, fields)


def client_schema(struct: Any, name: str, types: Mapping[str, Any], required: frozenset[str]) -> Any:
    """The documented form of a struct that clients send: the fields of `types`; all but `required` are optional."""
    fields = [
        (field, types[field]) if field in required else (field, types[field] | UnsetType, UNSET)
        for field in struct.__struct_fields__
        if field in types
    ]
    return _define(struct, name, fields)


def schemas(structs: Sequence[Any], enums: Iterable[type[StrEnum]]) -> dict[str, Schema]:
    """The schemas of structs and of their nested types, by name; values of `enums` in the order of definition."""
    _, definitions = msgspec.json.schema_components(structs, schema_hook=_input_schema, ref_template=REF + "{name}")
    for enum in enums:
        definitions[enum.__name__]["enum"] = [member.value for member in enum]
    return definitions


def example(schema: Schema, definitions: Mapping[str, Schema]) -> Any:
    """A value that matches the schema, with all optional fields."""
    match schema:
        case {"const": value} | {"examples": [value, *_]} | {"enum": [value, *_]}:
            return value
        case {"$ref": ref}:
            return example(definitions[ref.removeprefix(REF)], definitions)
        case {"anyOf": [first, *_]} | {"allOf": [first, *_]}:
            return example(first, definitions)
        case {"properties": fields}:
            return {name: example(field, definitions) for name, field in fields.items()}
        case {"propertyNames": names, "additionalProperties": values}:
            return {example(names, definitions): example(values, definitions)}
        case {"type": "array", "items": items}:
            return [example(items, definitions)]
        case _:
            return _primitive_example(schema)


def _primitive_example(schema: Schema) -> Any:
    examples = {"object": {}, "string": "text", "boolean": True, "integer": schema.get("minimum", 1)}
    return examples[schema["type"]]


def _input_schema(checked_type: Any) -> Schema:
    return {"type": "string", **INPUT_SCHEMAS[checked_type]}


def _constant_text(field: FieldInfo) -> Any:
    """A constant type for a field with a default text, such as `message` of `subscribed`: the text never varies."""
    return const(field.default) if isinstance(field.default, str) else None


def _json_content(hint: Any) -> Any:
    annotations = [item for item in getattr(hint, "__metadata__", ()) if isinstance(item, JsonOf)]
    return annotations[0].type if annotations else hint


def _define(struct: Any, name: str, fields: Sequence[Any]) -> Any:
    config = struct.__struct_config__
    return msgspec.defstruct(
        name or schema_name(struct),
        fields,
        namespace={"__doc__": inspect.cleandoc(struct.__doc__ or "") or None},
        kw_only=True,
        tag_field=config.tag_field,
        tag=config.tag,
        forbid_unknown_fields=config.forbid_unknown_fields,
    )
