"""Names in the environment and in the env file: which are settings of ours misspelt, and which are
nobody's slip. Upper and lower case are one, as for whoever reads the values. Called by
`ringback.settings` and by whoever tells people of it.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from schemas.errors import UsageError

PREFIX = "RINGBACK_"

_NOT_SETTINGS = frozenset(
    {"TOKEN", "ROOT", "URL"}
)  # `emit` reads the token; checks find a checkout by the root; our examples call the URL
_LIKE_ENOUGH = 0.8
"""More: slips such as TIMOUT and ALLOW_TARGET are not found. Less: names that others set for
programs of their own stop ours.
"""

_LIKE = 0.6
"""Of what is only told, and stops nothing. More: DB_URL is not recognised. Less: people are sent to
settings of another kind.
"""

_LATER = frozenset(
    [
        "EGRESS_PROXY", "LOCAL_SIGN_IN", "MAIL_FROM", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_ISSUER", "PAUSED", "PAYLOAD_RETENTION",
        "SMTP_URL", "SOURCE_IPS", "TARGET_CA_FILE", "TOKEN_MAX_LIFE", "VIEWERS_SEE_PAYLOADS",
    ]
)  # fmt: skip
"""Promised, and not there yet: nobody's slip, but whoever sets one must not think that it does
something.
"""

_NEVER_EMPTY = {
    PREFIX + "DATABASE_URL": "a file of SQLite",
    PREFIX + "BROKER_URL": "the database alone, past every broker",
}

# Of a service that is called `ringback`, or `ringback-database`, the kubelet tells every container
# beside it; and so do Docker's links.
_OF_A_SERVICE = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_PORT_OF_A_SERVICE, _PORT_VALUE = re.compile(r"(\w+_)?PORT"), re.compile(r"(tcp|udp|sctp)://")

Values = Mapping[str, str | None]


def refuse_slips(environment: Values, file: Values, known: Sequence[str]) -> None:
    """A misspelt setting would silently keep its default. `known` are the names without their
    prefix. Raises UsageError.
    """
    for name, rest in (*_strangers(environment, known), *_strangers(file, known)):
        if rest not in _LATER and (
            close := difflib.get_close_matches(rest, known, 1, _LIKE_ENOUGH)
        ):
            raise UsageError(f"{name} is not a setting: is {PREFIX}{close[0]} meant?")
    if bare := unread(file, {**environment, **file}, known):
        raise UsageError(f"{bare[0]} in the env file is not read: write {PREFIX}{bare[0]}")


def refuse_empty(environment: Values, file: Values) -> None:
    """An unset variable in a compose file leaves nothing here. Raises UsageError."""
    for name, value in (*environment.items(), *file.items()):
        if name.upper() in _NEVER_EMPTY and not value:
            raise UsageError(
                f"{name.upper()} is set, and empty: give it a value, or do not set it at all. Without it events go to"
                f" {_NEVER_EMPTY[name.upper()]}, and nothing here tells whether that is meant"
            )


def refuse_doubles(environment: Values, known: Sequence[str]) -> None:
    """Settings are found in either case, and of two only one would count. Raises UsageError."""
    seen: dict[str, str | None] = {}
    for name, value in environment.items():
        if (
            name.upper().removeprefix(PREFIX) in known
            and name.upper().startswith(PREFIX)
            and seen.setdefault(name.upper(), value) != value
        ):
            raise UsageError(
                f"{name.upper()} is set twice, in capitals and in small letters: take one away"
            )


def told(environment: Values, file: Values, known: Sequence[str]) -> list[str]:
    """What is set, looks like a setting, and is not read: in words. Others may mean something by
    it, so it stops nothing.
    """
    lines = [
        f"{name} is set, and is not read: is {PREFIX}{name} meant?"
        for name in unread(environment, {**environment, **file}, known)
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


def unread(values: Values, all_values: Values, known: Sequence[str]) -> list[str]:
    """Settings that somebody wrote without their prefix, and did not set with it."""
    return [
        name
        for name in values
        if name in known and PREFIX + name not in {one.upper() for one in all_values}
    ]


def _strangers(values: Values, known: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names with our prefix that are neither ours nor of a service: as they are written, and in
    capitals without the prefix.
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
