"""Names in the environment and in the env file: which are settings, which are misspelt settings,
and which belong to other programs.

Upper and lower case are the same here, as they are for pydantic, which reads the values. Called by
`ringback.settings`.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from schemas.errors import UsageError

PREFIX = "RINGBACK_"

# `emit` reads the token, checks find a checkout by the root, examples call the URL.
_NOT_SETTINGS = frozenset({"TOKEN", "ROOT", "URL"})

_LIKE_ENOUGH = 0.8
"""How similar a name must be to a setting's to stop the start. Larger: slips such as TIMOUT and
ALLOW_TARGET are not found. Smaller: names that belong to other programs stop Ringback.
"""

_LIKE = 0.6
"""How similar a name must be to be mentioned with a suggestion, which stops nothing. Larger: DB_URL
is not recognised. Smaller: the suggestion is an unrelated setting.
"""

_LATER = frozenset(
    {
        "EGRESS_PROXY",
        "MAIL_FROM",
        "PAUSED",
        "PAYLOAD_RETENTION",
        "SMTP_URL",
        "SOURCE_IPS",
        "TARGET_CA_FILE",
        "TOKEN_MAX_LIFE",
        "VIEWERS_SEE_PAYLOADS",
    }
)
"""Settings of a later version: no slips, but a person who sets one must learn that it has no
effect.
"""

_NEVER_EMPTY = {
    PREFIX + "DATABASE_URL": "a SQLite file",
    PREFIX + "BROKER_URL": "the database, past every broker",
}
"""What events would use instead of a setting that must not be empty."""

# The kubelet and Docker's links set these in every container next to a service that is called
# `ringback` or `ringback-database`.
_OF_A_SERVICE = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_PORT_OF_A_SERVICE, _PORT_VALUE = re.compile(r"(\w+_)?PORT"), re.compile(r"(tcp|udp|sctp)://")

Values = Mapping[str, str | None]
"""Variables by name, as they are written."""


def variable(field: str) -> str:
    """Return the environment variable of a field of `Settings`."""
    return PREFIX + field.upper()


def refuse_slips(environment: Values, file: Values, known: Sequence[str]) -> None:
    """Refuse a misspelt setting, which would silently keep its default. `known` are the names
    without their prefix. Raises UsageError.
    """
    for name, rest in (*_strangers(environment, known), *_strangers(file, known)):
        if rest not in _LATER and (
            close := difflib.get_close_matches(rest, known, 1, _LIKE_ENOUGH)
        ):
            raise UsageError(f"{name} is not a setting: is {PREFIX}{close[0]} meant?")
    if bare := without_prefix(file, {**environment, **file}, known):
        raise UsageError(f"{bare[0]} in the env file is not read: write {PREFIX}{bare[0]}")


def refuse_empty(environment: Values, file: Values) -> None:
    """Refuse a setting that an unset variable in a compose file left empty. Raises UsageError."""
    for name, value in (*environment.items(), *file.items()):
        if name.upper() in _NEVER_EMPTY and not value:
            raise UsageError(
                f"{name.upper()} is set, and empty: give it a value, or do not set it at all. "
                f"Without it events go to {_NEVER_EMPTY[name.upper()]}, which may not be meant"
            )


def refuse_doubles(environment: Values, known: Sequence[str]) -> None:
    """Refuse a setting that is in the environment in capitals and in small letters with two values:
    only one would count. Raises UsageError.
    """
    seen: dict[str, str | None] = {}
    for name, value in environment.items():
        if (
            name.upper().removeprefix(PREFIX) in known
            and name.upper().startswith(PREFIX)
            and seen.setdefault(name.upper(), value) != value
        ):
            raise UsageError(
                f"{name.upper()} is set twice, in capitals and in small letters: remove one"
            )


def ignored_names(environment: Values, file: Values, known: Sequence[str]) -> list[str]:
    """Return a line for each name that looks like a setting and is not read. Another program may
    use it, so it stops nothing.
    """
    lines = [
        f"{name} is set, and is not read: is {PREFIX}{name} meant?"
        for name in without_prefix(environment, {**environment, **file}, known)
    ]
    for name, rest in dict((*_strangers(environment, known), *_strangers(file, known))).items():
        close = difflib.get_close_matches(rest, known, 1, _LIKE)
        meant = f": is {PREFIX}{close[0]} meant?" if close else ""
        lines.append(
            f"{name} is set, and is not read by this version"
            if rest in _LATER
            else f"{name} is set, and is not read{meant}"
        )
    return lines


def without_prefix(values: Values, all_values: Values, known: Sequence[str]) -> list[str]:
    """Return the settings that are written without their prefix, and not with it too."""
    given = {name.upper() for name in all_values}
    return [name for name in values if name in known and PREFIX + name not in given]


def _strangers(values: Values, known: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield names with the prefix that are neither settings nor variables of a service: as they are
    written, and in capitals without the prefix.
    """
    for name, value in values.items():
        rest = name.upper().removeprefix(PREFIX)
        if (
            rest != name.upper()
            and rest not in known
            and rest not in _NOT_SETTINGS
            and not _is_of_a_service(rest, value or "")
        ):
            yield name, rest


def _is_of_a_service(rest: str, value: str) -> bool:
    if _OF_A_SERVICE.fullmatch(rest):
        return True
    return bool(_PORT_OF_A_SERVICE.fullmatch(rest) and _PORT_VALUE.match(value))
