"""One attempt in a sentence."""

from dashboard.explaining.reader import Reader, nth
from schemas.deliveries.deliveries import Attempt, Outcome


def attempt_sentence(to: Reader, attempt: Attempt) -> str:
    """Return how an attempt ended."""
    say, values = to.say, {"nth": nth(to, attempt.number), "status": attempt.status_code}
    return {
        Outcome.DELIVERED: lambda: say(
            "The %(nth)s attempt delivered it: the receiver answered %(status)s.", **values
        ),
        Outcome.HTTP_3XX: lambda: say(
            "The %(nth)s attempt was redirected (%(status)s), which is never followed.", **values
        ),
        Outcome.HTTP_4XX: lambda: say(
            "The %(nth)s attempt was refused: the receiver answered %(status)s.", **values
        ),
        Outcome.HTTP_5XX: lambda: say(
            "The %(nth)s attempt met an error of the receiver: it answered %(status)s.", **values
        ),
        Outcome.GONE: lambda: say(
            "The %(nth)s attempt was answered %(status)s: the receiver wants no more events.",
            **values,
        ),
        Outcome.THROTTLED: lambda: say(
            "The %(nth)s attempt was answered %(status)s: the receiver asked to wait.", **values
        ),
        Outcome.TIMEOUT: lambda: _timed_out(to, attempt),
        Outcome.TOO_SLOW: lambda: say(
            "The %(nth)s attempt got an answer that came too slowly.", **values
        ),
        Outcome.CONNECT: lambda: say("The %(nth)s attempt got no connection.", **values),
        Outcome.TLS: lambda: say("The %(nth)s attempt got no secure connection.", **values),
        Outcome.DNS: lambda: say("The %(nth)s attempt did not find the host.", **values),
        Outcome.PROTOCOL: lambda: say("The %(nth)s attempt got no proper answer.", **values),
        Outcome.BLOCKED: lambda: say(
            "The %(nth)s attempt was not sent: its address is not allowed.", **values
        ),
    }[attempt.outcome]()


def _timed_out(to: Reader, attempt: Attempt) -> str:
    """Return where an attempt was when its time was over, as far as that is known."""
    say, values = to.say, {"nth": nth(to, attempt.number)}
    phases = attempt.phases
    if phases.wait_ms is not None:
        return say("The %(nth)s attempt timed out waiting for the answer.", **values)
    if phases.tls_ms is not None:
        return say("The %(nth)s attempt timed out setting up a secure connection.", **values)
    if phases.connect_ms is not None:
        return say("The %(nth)s attempt timed out connecting.", **values)
    return say("The %(nth)s attempt timed out.", **values)
