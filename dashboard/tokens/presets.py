"""Ready-made choices for a new token, from which people go on. Pure."""

from dataclasses import dataclass, replace

from dashboard.languages import to_say
from dashboard.tokens.access import ALL, SOME
from dashboard.tokens.faults import Say
from schemas.tokens.permissions import Permission

NOTHING = "nothing"
"""The preset without anything. For permissions alone it is the same as webhooks only."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A choice of permissions, and of what is seen."""

    name: str
    """As it stands in addresses."""
    label: str
    explanation: str
    permissions: frozenset[Permission]
    sees: str
    """ALL, or SOME without any channel."""


_PRESETS = (
    Preset(
        "webhooks",
        to_say("Webhooks only"),
        to_say("Its callbacks are called, for all channels. It may ask for nothing by itself."),
        frozenset(),
        ALL,
    ),
    Preset(
        "read",
        to_say("Read only"),
        to_say("Reads conversations, customers, locations, templates and figures of all channels."),
        frozenset(
            {
                Permission.CONVERSATIONS_READ,
                Permission.CUSTOMERS_READ,
                Permission.LOCATIONS_READ,
                Permission.TEMPLATES_READ,
                Permission.STATS_READ,
            }
        ),
        ALL,
    ),
    Preset(
        "gateway",
        to_say("Gateway"),
        to_say("Asks Ringback whether other tokens are valid. It sees no channel."),
        frozenset({Permission.TOKENS_INTROSPECT}),
        SOME,
    ),
    Preset(
        "publisher",
        to_say("Publisher"),
        to_say("Hands events to Ringback: for chat backends. It sees no channel."),
        frozenset({Permission.EVENTS_PUBLISH}),
        SOME,
    ),
    Preset(
        NOTHING,
        to_say("Nothing"),
        to_say("No permission and no channel, to begin with."),
        frozenset(),
        SOME,
    ),
)


def presets(say: Say) -> list[Preset]:
    """Return the presets in a person's language."""
    return [
        replace(one, label=say(one.label), explanation=say(one.explanation)) for one in _PRESETS
    ]


def preset(name: str, say: Say) -> Preset | None:
    """Return the preset of this name; None if there is none."""
    return next((found for found in presets(say) if found.name == name), None)


def own_explanations(say: Say) -> dict[Permission, str]:
    """Return what Ringback's own permissions allow."""
    return {
        Permission.EVENTS_PUBLISH: say(
            "Hands over events, which Ringback then delivers. For the backends of the chat"
            " platform, not for suppliers."
        ),
        Permission.TOKENS_INTROSPECT: say(
            "Asks whether other tokens are valid, and what they may do. For the chat platform's own"
            " API and for gateways."
        ),
        Permission.PLATFORM_ADMIN: say(
            "Changes everything here: tokens, callbacks, deliveries. For your own automation only."
        ),
    }
