"""From the bodies of requests about tokens to their fields. Called by the API and the pages."""

from dataclasses import replace

from schemas.times import UnixMs
from schemas.tokens.fields import TokenFields
from web.models.bodies import CreateToken, PatchToken


def new_fields(body: CreateToken, now: UnixMs) -> TokenFields:
    """Return the fields of a token that is to be created."""
    return TokenFields(
        name=body.name,
        activates_at=now if body.activates_at is None else body.activates_at,
        expires_at=body.expires_at,
        enabled=body.enabled is not False,
        permissions=frozenset(body.permissions or ()),
        channels=_channels(body),
        contact=body.contact,
    )


def edited(fields: TokenFields, body: PatchToken) -> TokenFields:
    """Apply a patch. Null leaves a field unchanged, except for `expires_at` and `contact`, which
    may be none.
    """
    given = body.model_fields_set
    return replace(
        fields,
        name=fields.name if body.name is None else body.name,
        activates_at=fields.activates_at if body.activates_at is None else body.activates_at,
        expires_at=body.expires_at if "expires_at" in given else fields.expires_at,
        enabled=fields.enabled if body.enabled is None else body.enabled,
        permissions=fields.permissions if body.permissions is None else frozenset(body.permissions),
        channels=fields.channels if body.visibility is None else _channels(body),
        contact=body.contact if "contact" in given else fields.contact,
    )


def _channels(body: CreateToken | PatchToken) -> frozenset[str] | None:
    if body.visibility is None or body.visibility.channels is None:
        return None
    return frozenset(body.visibility.channels)
