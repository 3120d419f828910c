"""The published JSON Schema (2020-12) of events: of those that backends post, and of webhooks.

Generated from the models that check events, so that the documents cannot differ from the checks.
Called by the OpenAPI document.
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


def webhook_name(event_type: EventType) -> str:
    """Return the name of the component that describes the body of a webhook of this type."""
    return _SENT.format(DATA_MODELS[event_type].__name__)


def event_components() -> dict[str, Schema]:
    """Return every schema by name: `Event` and `EventBatch`, and for each event type its data, its
    event and its webhook.
    """
    models = [*DATA_MODELS.values(), *dict.fromkeys(CONTENT_MODELS.values())]
    _, components = msgspec.json.schema_components(models, ref_template=COMPONENTS)
    components["Message"]["properties"]["content"] = _content()
    for event_type, model in DATA_MODELS.items():
        components[_PUBLISHED.format(model.__name__)] = _event(event_type)
        components[webhook_name(event_type)] = _webhook(event_type)
    components["Event"] = {
        "oneOf": [ref(_PUBLISHED.format(model.__name__)) for model in DATA_MODELS.values()],
        "discriminator": {
            "propertyName": "type",
            "mapping": {
                event_type.value: COMPONENTS.format(name=_PUBLISHED.format(model.__name__))
                for event_type, model in DATA_MODELS.items()
            },
        },
    }
    components["EventBatch"] = _object(
        {"events": {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": ref("Event")}},
        "events",
    )
    return components


def event_schema(event_type: EventType) -> Schema:
    """Return the self-contained schema of one event type, for other validators."""
    components = {
        name: schema
        for name, schema in event_components().items()
        if not name.endswith(("Event", "Webhook", "EventBatch"))
    }
    text = msgspec.json.encode(_event(event_type) | {"$defs": components}).decode()
    schema: Schema = msgspec.json.decode(text.replace(COMPONENTS.format(name=""), "#/$defs/"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def _event(event_type: EventType) -> Schema:
    properties = {
        "id": _id()
        | {"not": {"type": "string", "pattern": f"^{TEST_EVENT_ID.pattern}$"}}
        | {
            "type": ["string", "null"],
            "description": "The idempotency key; generated when absent. Unique over all backends: "
            "prefix yours. The form of samples, `evt_test_` and 32 characters, is refused.",
        },
        "type": {"const": event_type.value},
        "timestamp": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When the event happened. When absent: when it was accepted.",
        },
        "data": ref(DATA_MODELS[event_type].__name__),
    }
    return _object(properties, "type", "data") | {
        "title": event_type.label,
        "examples": [sample_event(event_type)],
    }


def _webhook(event_type: EventType) -> Schema:
    properties = {
        "id": _id()
        | {
            "description": "The event's id, the same on each retry and in the header webhook-id: "
            "recognize duplicates by it."
        },
        "type": {"const": event_type.value},
        "schema_version": {"const": SCHEMA_VERSION},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": ref(DATA_MODELS[event_type].__name__)
        | {
            "description": "The data as the backend sent it, byte for byte. It may hold fields "
            "that are not described here."
        },
    }
    sample = sample_event(event_type)
    example = {
        "id": "evt_01",
        "type": event_type.value,
        "schema_version": SCHEMA_VERSION,
        "timestamp": sample["timestamp"],
        "data": sample["data"],
    }
    return _object(properties, *properties) | {"title": event_type.label, "examples": [example]}


def _content() -> Schema:
    """Return the schema of a message's content: known types have models, others need a type."""
    of_type = [
        {
            "allOf": [
                ref(model.__name__),
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
            ref(Content.__name__),
            {"properties": {"type": {"not": {"enum": list(CONTENT_MODELS)}}}},
        ]
    }
    return {"oneOf": [*of_type, unknown]}


def _id() -> Schema:
    return {"type": "string", "pattern": f"^{EVENT_ID.pattern}$"}


def _object(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def ref(name: str) -> Schema:
    """Return the reference to the component of this name."""
    return {"$ref": COMPONENTS.format(name=name)}
