"""What to change when an attempt failed, in one sentence for each kind of failure."""

from typing import Protocol

from dashboard.explaining.reader import Reader
from dashboard.languages import to_say
from schemas.deliveries.deliveries import Outcome

_ADVICE = {
    Outcome.HTTP_3XX: to_say(
        "The receiver has moved: save the address that it moved to, as redirects are never"
        " followed."
    ),
    Outcome.HTTP_5XX: to_say(
        "The receiver met an error of its own: look for the webhook's id in its log."
    ),
    Outcome.GONE: to_say(
        "The receiver says that it wants no more events: ask its owner, or save another address."
    ),
    Outcome.THROTTLED: to_say(
        "The receiver asks to wait: test it again later, or have its limit raised."
    ),
    Outcome.TIMEOUT: to_say(
        "The receiver took too long: it should answer first, and do its work afterwards."
    ),
    Outcome.TOO_SLOW: to_say(
        "The answer began but did not end in time: the receiver should send a short one at once."
    ),
    Outcome.CONNECT: to_say(
        "Nothing answers at this address: check host and port, that the receiver runs, and"
        " that its firewall lets Ringback in."
    ),
    Outcome.TLS: to_say(
        "No secure connection came about: have the receiver's certificate renewed, for the"
        " host in the address and with its whole chain."
    ),
    Outcome.DNS: to_say(
        "The host of the address is not known: check how it is spelled, and that its name is"
        " published."
    ),
    Outcome.PROTOCOL: to_say(
        "What came back is no answer of a web server: check the port, and the receiver's log."
    ),
    Outcome.BLOCKED: to_say(
        "The address leads into a private network, where Ringback calls no one: save a public"
        " one, or have the operator allow it."
    ),
}

_BY_STATUS = {
    400: to_say("The receiver did not understand the event: its log should say what it expected."),
    401: to_say("The receiver asks who calls: add its key as a header of this callback."),
    403: to_say(
        "The receiver does not let Ringback in: check the headers of this callback, and the"
        " receiver's firewall."
    ),
    404: to_say("The receiver has nothing at this path: check the end of the address."),
    405: to_say("The receiver takes no POST at this path: check the end of the address."),
    413: to_say("The event is too large for the receiver: have its limit raised to 300 KB."),
    415: to_say("The receiver takes no JSON at this path: check the end of the address."),
    422: to_say("The receiver did not accept the event: its log should say what it expected."),
}

_REFUSED = to_say("The receiver refused the event: its answer, or its log, should say why.")


class Met(Protocol):
    """What an attempt met, or the last attempt of a delivery."""

    @property
    def outcome(self) -> Outcome | None: ...
    @property
    def status_code(self) -> int | None: ...


def advice(to: Reader, met: Met) -> str | None:
    """Return what to do about an attempt; None: nothing, it delivered, or there was none."""
    if met.outcome is None or met.outcome is Outcome.DELIVERED:
        return None
    if met.outcome is Outcome.HTTP_4XX:
        return to.say(_BY_STATUS.get(met.status_code or 0, _REFUSED))
    return to.say(_ADVICE[met.outcome])
