"""The health of a callback in words."""

from dataclasses import dataclass

from dashboard.explaining.reader import Reader, at
from dashboard.explaining.sentence import disabled_reason
from schemas.tokens.tokens import Callback, CallbackState


@dataclass(frozen=True, slots=True)
class Health:
    """How a callback does."""

    label: str
    colour: str
    """The class of the mark; empty: the quiet one."""
    sentences: list[str]
    can_be_enabled: bool = False
    """Whether a person has to enable it again, after its receiver was mended."""


def health(to: Reader, callback: Callback) -> Health:
    """Return the health of a callback."""
    say = to.say
    if callback.state is CallbackState.OFF:
        said = say("It is switched off: what it would receive is held.")
        return Health(say("Off"), "", [said])
    if callback.state is CallbackState.DISABLED:
        return Health(say("Disabled"), "bad", _disabled(to, callback), can_be_enabled=True)
    if callback.state is CallbackState.FAILING:
        return Health(say("Failing"), "bad", _failing(to, callback))
    if until := callback.health.paused_until(to.now):
        said = say("Its receiver asked to wait until %(at)s.", at=at(to, until))
        return Health(say("Waits"), "warn", [said])
    return Health(say("Healthy"), "good", [])


def _disabled(to: Reader, callback: Callback) -> list[str]:
    say, known = to.say, callback.health
    reason = disabled_reason(to, known.disabled_reason)
    said = say("Ringback calls it no more, because %(reason)s.", reason=reason)
    if known.disabled_at is not None:
        said = say(
            "Ringback calls it no more since %(at)s, because %(reason)s.",
            at=at(to, known.disabled_at),
            reason=reason,
        )
    return [said, say("What it would receive is held.")]


def _failing(to: Reader, callback: Callback) -> list[str]:
    say, known = to.say, callback.health
    said = []
    if known.failing_since is not None:
        said.append(
            say(
                "No attempt has succeeded since %(at)s, %(ago)s.",
                at=at(to, known.failing_since),
                ago=to.language.ago(known.failing_since, to.now),
            )
        )
    if known.probe_at is not None and known.probe_at > to.now:
        said.append(
            say(
                "One delivery at a time tries it, the next at %(at)s, %(in_time)s. The others wait.",
                at=at(to, known.probe_at),
                in_time=to.language.ago(known.probe_at, to.now),
            )
        )
    else:
        said.append(say("One delivery at a time tries it. The others wait."))
    return said
