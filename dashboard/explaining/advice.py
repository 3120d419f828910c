"""What to change when an attempt failed, in one sentence for each kind of failure."""

from dashboard.explaining.reader import Reader
from schemas.deliveries.deliveries import Attempt, Outcome


def advice(to: Reader, attempt: Attempt) -> str | None:
    """Return what to do about an attempt; None: nothing, it delivered."""
    say = to.say
    if attempt.outcome is Outcome.HTTP_4XX:
        return _refused(to, attempt.status_code)
    return {
        Outcome.DELIVERED: None,
        Outcome.HTTP_3XX: say(
            "The receiver has moved: save the address that it moved to, as redirects are never"
            " followed."
        ),
        Outcome.HTTP_5XX: say(
            "The receiver met an error of its own: look for the webhook's id in its log."
        ),
        Outcome.GONE: say(
            "The receiver says that it wants no more events: ask its owner, or save another"
            " address."
        ),
        Outcome.THROTTLED: say(
            "The receiver asks to wait: test it again later, or have its limit raised."
        ),
        Outcome.TIMEOUT: say(
            "The receiver took too long: it should answer first, and do its work afterwards."
        ),
        Outcome.TOO_SLOW: say(
            "The answer began but did not end in time: the receiver should send a short one at"
            " once."
        ),
        Outcome.CONNECT: say(
            "Nothing answers at this address: check host and port, that the receiver runs, and"
            " that its firewall lets Ringback in."
        ),
        Outcome.TLS: say(
            "No secure connection came about: have the receiver's certificate renewed, for the"
            " host in the address and with its whole chain."
        ),
        Outcome.DNS: say(
            "The host of the address is not known: check how it is spelled, and that its name is"
            " published."
        ),
        Outcome.PROTOCOL: say(
            "What came back is no answer of a web server: check the port, and the receiver's log."
        ),
        Outcome.BLOCKED: say(
            "The address leads into a private network, where Ringback calls no one: save a public"
            " one, or have the operator allow it."
        ),
    }[attempt.outcome]


def _refused(to: Reader, status: int | None) -> str:
    say = to.say
    texts = {
        400: say("The receiver did not understand the event: its log should say what it expected."),
        401: say("The receiver asks who calls: add its key as a header of this callback."),
        403: say(
            "The receiver does not let Ringback in: check the headers of this callback, and the"
            " receiver's firewall."
        ),
        404: say("The receiver has nothing at this path: check the end of the address."),
        405: say("The receiver takes no POST at this path: check the end of the address."),
        413: say("The event is too large for the receiver: have its limit raised to 300 KB."),
        415: say("The receiver takes no JSON at this path: check the end of the address."),
        422: say("The receiver did not accept the event: its log should say what it expected."),
    }
    return texts.get(
        status or 0,
        say("The receiver refused the event: its answer, or its log, should say why."),
    )
