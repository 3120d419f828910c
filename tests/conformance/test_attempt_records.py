"""What an attempt met is stored and read back, on both databases."""

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import Attempt, DeliveryState
from schemas.deliveries.phases import NO_PHASES, Phases
from schemas.deliveries.settlement import Settlement
from schemas.times import UnixMs
from store.deliveries.listing import get_attempt
from store.deliveries.settlement import settle
from store.engine.database import Database
from store.tables import attempts
from tests.kit.making import a_delivery, an_attempt

ODD = {"x-odd": 'a\0b "quoted" \\ Müller 😀', "set-cookie": "***"}


def stored(database: Database, *made: Attempt) -> list[Attempt | None]:
    """Each attempt as it is read back."""
    delivery = a_delivery("evt_1")
    with database.write() as connection:
        for attempt in made:
            settle(
                connection,
                [Settlement(delivery, DeliveryState.DELIVERED, attempt=attempt)],
                UnixMs(5),
            )
    with database.read() as connection:
        return [get_attempt(connection, *delivery.key, attempt.id) for attempt in made]


def test_what_an_attempt_met_is_read_back_as_it_was(database: Database) -> None:
    """Any characters, an IPv6 address, and phases that there were not."""
    full = msgspec.structs.replace(
        an_attempt(),
        response_headers=ODD,
        address="[2001:db8::7]:443",
        phases=Phases(dns_ms=1, connect_ms=20, tls_ms=300, wait_ms=4000),
    )
    kept = msgspec.structs.replace(
        an_attempt(),
        response_headers={},
        address="203.0.113.7:443",
        phases=Phases(wait_ms=0),
    )
    none = an_attempt()

    assert stored(database, full, kept, none) == [full, kept, none]


def test_an_attempt_of_an_earlier_version_has_none_of_it(database: Database) -> None:
    """Its rows were written without these columns."""
    (attempt,) = stored(database, an_attempt())
    assert attempt
    new = ("response_headers", "address", "dns_ms", "connect_ms", "tls_ms", "wait_ms")
    with database.write() as connection:
        connection.execute(sa.update(attempts).values(dict.fromkeys(new, None)))

    with database.read() as connection:
        old = get_attempt(connection, *a_delivery("evt_1").key, attempt.id)

    assert old == attempt
    assert (attempt.response_headers, attempt.address, attempt.phases) == (None, None, NO_PHASES)
