"""Values of the operation log, as they stand in a sentence. Pure."""

from dashboard.explaining.reader import Reader
from schemas.texts import shortened, spelled_out
from schemas.times import from_rfc3339


def shown(value: object) -> str:
    """Return a value as people wrote it, cut off when it is long; what would turn the sentence
    around is spelled out.
    """
    return shortened(spelled_out(str(value)))


def as_sentence(text: str) -> str:
    """Return a text of Ringback's own that begins like a part of a sentence, as a whole one."""
    return text[:1].upper() + text[1:]


def or_none(to: Reader, value: object) -> str:
    """Return a value, or the word for none."""
    return to.say("none") if value is None or value == "" else shown(value)


def moment(to: Reader, value: object) -> str:
    """Return a time that the log holds as text; None is never."""
    if value is None:
        return to.say("never")
    try:
        return to.language.moment(from_rfc3339(str(value)), to.zone)
    except ValueError:
        return shown(value)


def listed(values: object) -> list[str]:
    """Return a list's texts; none for what is no list."""
    return [str(value) for value in values] if isinstance(values, list | tuple) else []
