"""The permissions, spelled out: programs know the scopes, administrators the labels, and neither
ever changes.
"""

from schemas.tokens.permissions import Permission

PROMISED = {
    "conversations:read": "Read conversations",
    "locations:read": "Read locations",
    "data:export": "Data export",
    "messages:send": "Send chat messages",
    "customers:read": "Read customers",
    "locations:write": "Write locations",
    "templates:read": "Read template messages",
    "templates:send": "Send template messages",
    "customers:write": "Write customers",
    "stats:read": "Stats",
    "conversations:status": "Set conversation status",
    "events:publish": "Publish events",
    "tokens:introspect": "Check tokens",
    "platform:admin": "Administer Ringback",
}


def test_the_permissions_are_those_that_are_promised() -> None:
    """Each with its label, in the order in which they are shown."""
    assert [(one.value, one.label) for one in Permission] == list(PROMISED.items())
