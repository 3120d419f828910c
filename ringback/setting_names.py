"""Names in the environment and in the env file: which are settings of ours misspelt, and which are nobody's slip. Called by `ringback.settings`
and by whoever tells people of it.
"""

import difflib
import re
from collections.abc import Mapping, Sequence

from schemas.errors import UsageError

PREFIX = "RINGBACK_"

_NOT_SETTINGS = frozenset({"TOKEN", "ROOT"})  # `emit` reads the token; the checks of a checkout find it by the root
_LIKE_ENOUGH = 0.8
"""More: slips such as TIMOUT and ALLOW_TARGET are not found. Less: names that others set for programs of their own stop ours."""

# Of a service that is called `ringback`, or `ringback-database`, the kubelet tells every container beside it; and so do Docker's links.
_OF_A_SERVICE = re.compile(r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_PORT_OF_A_SERVICE, _PORT_VALUE = re.compile(r"(\w+_)?PORT"), re.compile(r"(tcp|udp|sctp)://")

Values = Mapping[str, str | None]


def refuse_slips(environment: Values, file: Values, known: Sequence[str]) -> None:
    """A misspelt setting would silently keep its default. `known` are the names without their prefix. Raises UsageError."""
    for name, value in (*environment.items(), *file.items()):
        rest = name.removeprefix(PREFIX)
        if rest == name or rest in known or rest in _NOT_SETTINGS or _is_of_a_service(rest, value or ""):
            continue
        if close := difflib.get_close_matches(rest, known, 1, _LIKE_ENOUGH):
            raise UsageError(f"{name} is not a setting: is {PREFIX}{close[0]} meant?")
    if bare := unread(file, {**environment, **file}, known):
        raise UsageError(f"{bare[0]} in the env file is not read: write {PREFIX}{bare[0]}")


def unread(values: Values, all_values: Values, known: Sequence[str]) -> list[str]:
    """Settings that somebody wrote without their prefix, and did not set with it."""
    return [name for name in values if name in known and PREFIX + name not in all_values]


def _is_of_a_service(rest: str, value: str) -> bool:
    if _OF_A_SERVICE.fullmatch(rest):
        return True
    return bool(_PORT_OF_A_SERVICE.fullmatch(rest) and _PORT_VALUE.match(value))
