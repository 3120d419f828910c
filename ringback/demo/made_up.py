"""What the demo makes up: suppliers, how the receiver of each answers, and the conversations of a
chat platform. Every state of a token and of a callback is among them. Called by the other modules
of the demo.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from ringback.cli.listen_server import Behaviour
from schemas.events.samples import JsonObject
from schemas.events.types import EventType
from schemas.ids import new_event_id
from schemas.times import UnixMs, to_rfc3339
from schemas.tokens.permissions import Permission

DAY_S = 24 * 60 * 60.0

_ROUND_S = 75.0
_WORKS_S = 45.0
"""For how long of each round the receiver that breaks works. Longer: who watches waits for it to
break. Shorter: what waited is not all delivered before it breaks again.
"""

_CREATED, _RECEIVED, _STATUS = EventType
_READS = (Permission.CONVERSATIONS_READ, Permission.CUSTOMERS_READ)


@dataclass(frozen=True)
class Answering(Behaviour):
    """Answers as `choose` says, mostly quickly and sometimes slowly."""

    choose: Callable[[], int] = lambda: 200
    slowest_s: float = 0.1

    def next_status(self) -> int:
        """Wait, and return the status of the next answer."""
        time.sleep(self.slowest_s * random.random() ** 3)  # noqa: S311 - no secret
        return self.choose()


def _breaking() -> int:
    return 200 if time.monotonic() % _ROUND_S < _WORKS_S else 503


def _choosy() -> int:
    return 422 if random.random() < 0.05 else 200  # noqa: S311 - no secret


def _answering(choose: Callable[[], int], slowest_s: float) -> Answering:
    return Answering(200, 0.0, 0.0, choose, slowest_s)


_WELL = _answering(lambda: 200, 0.15)
_SLOW = _answering(lambda: 200, 1.8)


@dataclass(frozen=True)
class Supplier:
    """One token, and who receives for it."""

    name: str
    permissions: tuple[Permission, ...] = ()
    types: tuple[EventType, ...] = ()
    """The types that have a callback."""
    receiver: Behaviour | None = None
    """How its receiver answers; None: none listens."""
    channels: frozenset[str] | None = None
    active_in_s: float = -40 * DAY_S
    """When it is activated, from the first start of the demo."""
    expires_in_s: float | None = None
    """When it expires, from there; None: never."""
    is_suspended: bool = False
    is_revoked: bool = False
    off: frozenset[EventType] = frozenset()
    """Callbacks that a person switched off."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


CRM, HELPDESK, WAREHOUSE, CHATBOT, COURIER, BOOKING, SURVEYS, LOYALTY = (
    "Rossi CRM",
    "Nordwind Helpdesk",
    "Delta Data Warehouse",
    "Aurora Chatbot",
    "Corriere Espresso",
    "Orion Booking",
    "Lumen Surveys",
    "Vela Loyalty",
)
BACKEND, GATEWAY = "Chat backend", "API gateway"

SUPPLIERS = (
    Supplier(
        CRM,
        (*_READS, Permission.CUSTOMERS_WRITE, Permission.MESSAGES_SEND),
        (_CREATED, _RECEIVED, _STATUS),
        _WELL,
        headers={"X-Api-Key": "made-up"},
    ),
    Supplier(
        HELPDESK,
        (*_READS, Permission.CONVERSATIONS_STATUS),
        (_CREATED, _RECEIVED),
        _answering(_breaking, 0.3),
    ),
    Supplier(
        WAREHOUSE, (Permission.DATA_EXPORT, Permission.STATS_READ), (_CREATED, _STATUS), _SLOW
    ),
    Supplier(
        CHATBOT,
        (Permission.CONVERSATIONS_READ, Permission.MESSAGES_SEND, Permission.TEMPLATES_SEND),
        (_RECEIVED,),
        _answering(_choosy, 0.4),
    ),
    Supplier(COURIER, (Permission.MESSAGES_SEND,), (_STATUS,), None),
    Supplier(BOOKING, _READS, (_CREATED,), _answering(lambda: 410, 0.1)),
    Supplier(
        SURVEYS,
        (Permission.TEMPLATES_READ, Permission.TEMPLATES_SEND),
        (_CREATED, _STATUS),
        _WELL,
        channels=frozenset({"chn_whatsapp_it", "chn_webchat"}),
        expires_in_s=3 * DAY_S,
    ),
    Supplier(LOYALTY, _READS, (_RECEIVED,), _WELL, off=frozenset({_RECEIVED})),
    Supplier("Sirio Analytics", (Permission.STATS_READ,), (_CREATED,), _WELL, is_suspended=True),
    Supplier("Pilota pilot", _READS, active_in_s=6 * DAY_S, expires_in_s=96 * DAY_S),
    Supplier("Ponte Migration", _READS, (_CREATED,), _WELL, expires_in_s=-2 * DAY_S),
    Supplier("Vecchia Agenzia", _READS, is_revoked=True),
    Supplier(BACKEND, (Permission.EVENTS_PUBLISH,)),
    Supplier(GATEWAY, (Permission.TOKENS_INTROSPECT,)),
)

_OPEN = 12  # conversations at a time
_CHANNELS = (
    {"id": "chn_whatsapp_it", "kind": "whatsapp", "address": "+390200000001", "provider": "meta"},
    {"id": "chn_webchat", "kind": "webchat", "address": "shop.example", "provider": None},
    {"id": "chn_instagram", "kind": "instagram", "address": "@shop", "provider": "meta"},
    {"id": "chn_sms", "kind": "sms", "address": "+390200000009", "provider": "carrier"},
)
_PEOPLE = (
    "Ada Rossi",
    "Bruno Conti",
    "Chiara Moretti",
    "Dario Ferri",
    "Elena Greco",
    "Fabio Serra",
    "Giulia Villa",
    "Jonas Weber",
    "Marta Kowalska",
    "Noah Dubois",
)
_ASKED = (
    "Hello, where is my order?",
    "Can I change the delivery address?",
    "The size does not fit, how do I return it?",
    "Is the blue one back in stock?",
    "I was charged twice 😕",
    "Do you ship to Malta?",
    "Thanks, that helped! 👍",
    "My order arrived open. What now?",
)
_FAILED = {"code": 131026, "title": "Undeliverable", "detail": "The phone was off for a day"}


class Platform:
    """Conversations that go on, some at a time. The same `random` gives the same conversations."""

    def __init__(self, random: Random, first_number: int = 1):
        self._random, self._number = random, first_number
        self._open: list[Iterator[tuple[EventType, JsonObject]]] = []

    def next(self, at: UnixMs) -> JsonObject:
        """Return the next event, as a backend publishes it."""
        while len(self._open) < _OPEN:
            self._open.append(self._conversation(self._number))
            self._number += 1
        place = self._random.randrange(len(self._open))
        found = next(self._open[place], None)
        if found is None:
            del self._open[place]
            return self.next(at)
        event_type, data = found
        return {
            "id": new_event_id(),
            "type": event_type.value,
            "timestamp": to_rfc3339(at),
            "data": data,
        }

    def _conversation(self, number: int) -> Iterator[tuple[EventType, JsonObject]]:
        random = self._random
        name = random.choice(_PEOPLE)
        customer = {
            "id": f"cus_{number % 97:03d}",
            "display_name": name,
            "identities": [{"kind": "phone", "value": f"+3933300{number % 97:05d}"}],
            "locale": "it-IT",
        }
        about = {"channel": random.choices(_CHANNELS, (5, 3, 2, 1))[0], "customer": customer}
        known = {"id": f"cnv_{number:06d}", "status": "open", "origin": "customer"}
        yield EventType.CONVERSATION_CREATED, {"conversation": known, **about}
        for turn in range(random.randint(1, 3)):
            message = {"id": f"msg_{number:06d}_{turn}", "conversation_id": known["id"]}
            text = {"content": {"type": "text", "text": random.choice(_ASKED)}}
            yield EventType.MESSAGE_RECEIVED, {"message": message | text, **about}
            yield from self._reply(number, turn, about)

    def _reply(
        self, number: int, turn: int, about: JsonObject
    ) -> Iterator[tuple[EventType, JsonObject]]:
        message = {"id": f"msg_{number:06d}_{turn}_reply", "conversation_id": f"cnv_{number:06d}"}
        is_lost = self._random.random() < 0.05
        for status in ("sent", "failed") if is_lost else ("sent", "delivered", "read"):
            error = {"error": _FAILED} if status == "failed" else {}
            data = {"message": message, "status": status, **error, **about}
            yield EventType.MESSAGE_STATUS, data
