"""JSON Schemas as tables for people: the name of each field, what it holds, whether it is required.
Pure. Called by `guide`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from schemas.json_schema import Schema

Components = Mapping[str, Schema]


class ValueType(NamedTuple):
    """What a value may be."""

    words: str = ""
    """A description of its JSON type, such as `list of text`."""
    objects: tuple[str, ...] = ()
    """The components, by name, of which it may be one."""
    values: tuple[str, ...] = ()
    """The allowed values; empty: any."""
    nullable: bool = False


class Field(NamedTuple):
    """A row of a table."""

    name: str
    """The path from the described object, such as `data.message.id`."""
    type: ValueType
    required: bool
    description: str
    limits: tuple[str, ...]


def fields(schema: Schema, components: Components, *, deep: bool = False) -> Iterator[Field]:
    """Yield the fields of an object in their order. With `deep`, each field that holds one kind of
    object is followed by that object's fields, under their paths.
    """
    for name, described in schema.get("properties", {}).items():
        value_type = value_type_of(described, components)
        yield Field(
            name,
            value_type,
            name in schema.get("required", ()),
            str(described.get("description", "")),
            tuple(_limits(described)),
        )
        if deep and len(value_type.objects) == 1:
            start = name + ("[]." if value_type.words.startswith(_LIST) else ".")
            for inner in fields(components[value_type.objects[0]], components, deep=True):
                yield inner._replace(name=start + inner.name)


_LIST = "list of "


def value_type_of(schema: Schema, components: Components) -> ValueType:
    """Return what a value of this schema may be."""
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _either([value_type_of(option, components) for option in options])
    if "allOf" in schema:
        return value_type_of(schema["allOf"][0], components)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = components[name]
        if "properties" in target or "oneOf" in target:
            return ValueType(objects=(name,))
        return value_type_of(target, components)
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ValueType(values=tuple(str(value) for value in values))
    return _plain(schema, components)


def _either(options: list[ValueType]) -> ValueType:
    given = [option for option in options if option.words != "null"]
    return ValueType(
        " or ".join(dict.fromkeys(option.words for option in given if option.words)),
        tuple(dict.fromkeys(name for option in given for name in option.objects)),
        tuple(value for option in given for value in option.values),
        len(given) < len(options) or any(option.nullable for option in given),
    )


def _plain(schema: Schema, components: Components) -> ValueType:
    names: str | list[str] = schema.get("type", "anything")
    if isinstance(names, list):
        return _either([value_type_of({**schema, "type": name}, components) for name in names])
    if names == "array":
        # `items` is false next to `prefixItems`: a list of fixed length, of anything.
        inner = value_type_of(schema.get("items") or {}, components)
        return inner._replace(words=_LIST + inner.words)
    if names == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        inner = value_type_of(schema["additionalProperties"], components)
        return inner._replace(words="object, its values: " + inner.words, nullable=False)
    return ValueType(_FORMATS.get(schema.get("format"), names))


_FORMATS: Mapping[object, str] = {"date-time": "time", "binary": "file"}


def _limits(schema: Schema) -> Iterator[str]:
    for option in (schema, *schema.get("anyOf", ())):
        yield from _range(option, "minLength", "maxLength", " characters")
        yield from _range(option, "minItems", "maxItems", " items")
        yield from _range(option, "minimum", "maximum", "")
        if pattern := option.get("pattern"):
            yield f"matches `{pattern.removeprefix('^').removesuffix('$')}`"
    if schema.get("default") is not None:
        yield f"default `{schema['default']}`"
    if examples := [example for example in schema.get("examples", ()) if isinstance(example, str)]:
        yield "such as " + ", ".join(f"`{example}`" for example in examples)


def _range(schema: Schema, least: str, most: str, unit: str) -> Iterator[str]:
    low, high = (_number(schema.get(key)) for key in (least, most))
    if low is not None and high is not None:
        yield f"{low} to {high}{unit}"
    elif low is not None:
        yield f"at least {low}{unit}"
    elif high is not None:
        yield f"at most {high}{unit}"


def _number(value: float | None) -> float | None:
    """Return a whole number without a decimal point: the library documents 10 as 10.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
