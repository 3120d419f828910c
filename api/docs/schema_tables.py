"""JSON Schemas as rows for people: what a field is called, what it holds, whether it must be there.
Pure. Called by `guide`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Schema = Mapping[str, Any]
Components = Mapping[str, Schema]


class Kind(NamedTuple):
    """What a value is: words, the objects (components, by name) that it may be, the values that are
    allowed.
    """

    words: str = ""
    objects: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    nullable: bool = False


class Field(NamedTuple):
    """One row. `name` is a path from where one started, such as `data.message.id`."""

    name: str
    kind: Kind
    required: bool
    description: str
    limits: tuple[str, ...]


def fields(schema: Schema, components: Components, *, deep: bool = False) -> Iterator[Field]:
    """Of an object, in its order; `deep` with those of the objects in it, under their paths."""
    for name, described in schema.get("properties", {}).items():
        kind = kind_of(described, components)
        description = str(described.get("description", ""))
        yield Field(
            name, kind, name in schema.get("required", ()), description, tuple(_limits(described))
        )
        if deep and len(kind.objects) == 1:
            start = name + ("[]." if kind.words.startswith(_LIST) else ".")
            for inner in fields(components[kind.objects[0]], components, deep=True):
                yield inner._replace(name=start + inner.name)


_LIST = "list of "


def kind_of(schema: Schema, components: Components) -> Kind:
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _either([kind_of(option, components) for option in options])
    if "allOf" in schema:
        return kind_of(schema["allOf"][0], components)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = components[name]
        return (
            Kind(objects=(name,))
            if "properties" in target or "oneOf" in target
            else kind_of(target, components)
        )
    if "const" in schema or "enum" in schema:
        return Kind(values=tuple(str(value) for value in schema.get("enum", [schema.get("const")])))
    return _plain(schema, components)


def _either(options: list[Kind]) -> Kind:
    given = [option for option in options if option.words != "null"]
    return Kind(
        " or ".join(dict.fromkeys(option.words for option in given if option.words)),
        tuple(dict.fromkeys(name for option in given for name in option.objects)),
        tuple(value for option in given for value in option.values),
        len(given) < len(options) or any(option.nullable for option in given),
    )


def _plain(schema: Schema, components: Components) -> Kind:
    names: str | list[str] = schema.get("type", "anything")
    if isinstance(names, list):
        return _either([kind_of({**schema, "type": name}, components) for name in names])
    if names == "array":
        inner = kind_of(
            schema.get("items") or {}, components
        )  # false beside `prefixItems`: of so many places, whatever is in them
        return inner._replace(words=_LIST + inner.words)
    if names == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        inner = kind_of(schema["additionalProperties"], components)
        return inner._replace(words="object, its values: " + inner.words, nullable=False)
    return Kind(_FORMATS.get(schema.get("format"), names))


_FORMATS: Mapping[object, str] = {"date-time": "time", "binary": "file"}


def _limits(schema: Schema) -> Iterator[str]:
    for option in (schema, *schema.get("anyOf", ())):
        yield from _range(option, "minLength", "maxLength", " characters")
        yield from _range(option, "minItems", "maxItems", " of them")
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
    """Whole ones without a point: the library makes 10.0 of 10."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
