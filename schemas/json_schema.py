"""The published JSON Schema (2020-12) of events: what a backend posts, and what a receiver is sent.

Made from the models that check events, so that the documents cannot say something else. Called by
the API's document.
"""

from typing import Any

import msgspec

from schemas.events.data import CONTENT_MODELS, DATA_MODELS, Content
from schemas.events.events import MAX_BATCH, SCHEMA_VERSION
from schemas.events.samples import sample_event
from schemas.events.types import EventType
from schemas.ids import EVENT_ID, TEST_EVENT_ID

Schema = dict[str, Any]

COMPONENTS = "#/components/schemas/{name}"

_PUBLISHED, _SENT = "{}Event", "{}Webhook"


def webhook_name(kind: EventType) -> str:
    """The component that describes the body of a webhook of this type."""
    return _SENT.format(DATA_MODELS[kind].__name__)


def event_components() -> dict[str, Schema]:
    """Every schema by name: `Event` and `EventBatch`, and for each type its data, its event and its
    webhook.
    """
    models = [*DATA_MODELS.values(), *dict.fromkeys(CONTENT_MODELS.values())]
    _, components = msgspec.json.schema_components(models, ref_template=COMPONENTS)
    components["Message"]["properties"]["content"] = _content()
    for kind, model in DATA_MODELS.items():
        components[_PUBLISHED.format(model.__name__)] = _event(kind)
        components[webhook_name(kind)] = _webhook(kind)
    components["Event"] = {
        "oneOf": [_ref(_PUBLISHED.format(model.__name__)) for model in DATA_MODELS.values()],
        "discriminator": {
            "propertyName": "type",
            "mapping": {
                kind.value: COMPONENTS.format(name=_PUBLISHED.format(model.__name__))
                for kind, model in DATA_MODELS.items()
            },
        },
    }
    components["EventBatch"] = _object(
        {"events": {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": _ref("Event")}},
        "events",
    )
    return components


def event_schema(kind: EventType) -> Schema:
    """One type's event, self-contained, for validators outside."""
    components = {
        name: schema
        for name, schema in event_components().items()
        if not name.endswith(("Event", "Webhook", "EventBatch"))
    }
    text = msgspec.json.encode(_event(kind) | {"$defs": components}).decode()
    schema: Schema = msgspec.json.decode(text.replace(COMPONENTS.format(name=""), "#/$defs/"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def _event(kind: EventType) -> Schema:
    properties = {
        "id": _id()
        | {"not": {"type": "string", "pattern": f"^{TEST_EVENT_ID.pattern}$"}}
        | {
            "type": ["string", "null"],
            "description": "The idempotency key; made when absent. Unique over all backends: prefix yours. A sample's, `evt_test_` and 32 characters, is refused.",
        },
        "type": {"const": kind.value},
        "timestamp": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When it happened; when absent, when it was accepted.",
        },
        "data": _ref(DATA_MODELS[kind].__name__),
    }
    return _object(properties, "type", "data") | {
        "title": kind.label,
        "examples": [sample_event(kind)],
    }


def _webhook(kind: EventType) -> Schema:
    properties = {
        "id": _id()
        | {
            "description": "The same on each retry, and in the header webhook-id: tell duplicates by it."
        },
        "type": {"const": kind.value},
        "schema_version": {"const": SCHEMA_VERSION},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": _ref(DATA_MODELS[kind].__name__)
        | {
            "description": "As the backend sent it, byte for byte; it may hold fields not described here."
        },
    }
    sample = sample_event(kind)
    example = {
        "id": "evt_01",
        "type": kind.value,
        "schema_version": SCHEMA_VERSION,
        "timestamp": sample["timestamp"],
        "data": sample["data"],
    }
    return _object(properties, *properties) | {"title": kind.label, "examples": [example]}


def _content() -> Schema:
    """Each known type by its model; any other passes as long as it names its type."""
    of_type = [
        {
            "allOf": [
                _ref(model.__name__),
                {
                    "properties": {
                        "type": {
                            "enum": [
                                name for name, other in CONTENT_MODELS.items() if other is model
                            ]
                        }
                    }
                },
            ]
        }
        for model in dict.fromkeys(CONTENT_MODELS.values())
    ]
    unknown = {
        "allOf": [
            _ref(Content.__name__),
            {"properties": {"type": {"not": {"enum": list(CONTENT_MODELS)}}}},
        ]
    }
    return {"oneOf": [*of_type, unknown]}


def _id() -> Schema:
    return {"type": "string", "pattern": f"^{EVENT_ID.pattern}$"}


def _object(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _ref(name: str) -> Schema:
    return {"$ref": COMPONENTS.format(name=name)}
