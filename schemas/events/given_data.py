"""Data of an event that a person sends to test a callback: read and checked as published events
are, and passed on byte for byte. Called by `web.callback_tests`.
"""

import msgspec

from schemas.errors import Fault, InvalidEvent
from schemas.events.events import Event, parse_event
from schemas.events.full_reading import object_in
from schemas.events.json_text import DUPLICATE_NAME, decoded, step_of
from schemas.events.samples import sample_body
from schemas.events.types import EventType
from schemas.ids import new_test_event_id

_DATA = "data"


def given_data(body: bytes) -> bytes | None:
    """Return the data in `{"data": {…}}`, byte for byte; None when it is null or left out. Raises
    InvalidEvent.
    """
    try:
        decoded(body)
        tree, spelled = object_in(body, "")
    except ValueError as error:
        raise InvalidEvent([Fault(str(error), "")], malformed=True) from None
    except RecursionError:
        raise InvalidEvent([Fault("the JSON is nested too deeply", "")], malformed=True) from None
    faults = [
        Fault("there is no such field", f"/{step_of(name)}") for name in tree if name != _DATA
    ]
    if _DATA in tree.duplicates:
        faults.append(Fault(DUPLICATE_NAME.format(name=_DATA), f"/{_DATA}"))
    if faults:
        raise InvalidEvent(faults)
    return None if tree.get(_DATA) is None else spelled[_DATA]


def event_to_test(event_type: EventType, data: bytes | None) -> Event:
    """Return a test's event with this data, which `given_data` found, or else with the sample's.
    Raises InvalidEvent with pointers that begin with `/data`.
    """
    body = (
        sample_body(event_type)
        if data is None
        else b'{"type":"%s","data":%s}' % (event_type.encode(), data)
    )
    return msgspec.structs.replace(parse_event(body), id=new_test_event_id(), given_timestamp=None)
