"""Changes of a token's own fields in sentences."""

from collections.abc import Callable, Iterator

from dashboard.explaining.reader import Reader
from dashboard.explaining.values import listed, moment, or_none, shown
from schemas.tokens.audit_log import Details
from schemas.tokens.permissions import Permission

MOST_NAMED = 10
"""Channels that a sentence names. More: a row fills the page. Fewer: less is seen at a glance."""


def created(to: Reader, by: str, details: Details) -> list[str]:
    """Return how a token was made: its name, and what it may do that not every token may."""
    after = {name: value for name, (_, value) in details.items()}
    name = shown(after.get("name", ""))
    said = [to.say("%(by)s created this token as “%(name)s”.", by=by, name=name)]
    if permissions := listed(after.get("permissions")):
        names = _permissions(to, permissions)
        said.append(to.say("It may: %(permissions)s.", permissions=names))
    channels = _channels(after.get("visibility"))
    if channels is not None:
        names = _named(to, channels)
        said.append(to.say("It sees only these channels: %(channels)s.", channels=names))
    if after.get("expires_at") is not None:
        said.append(to.say("It ends at %(at)s.", at=moment(to, after["expires_at"])))
    return said


def sentences(to: Reader, by: str, details: Details) -> list[str]:
    """Return one sentence for each field that was changed, or two where something was added and
    something else removed.
    """
    said: list[str] = []
    for name, (before, after) in details.items():
        if field := _FIELDS.get(name):
            said += field(to, by, before, after)
        else:
            said.append(_any(to, by, name, before, after))
    return said or [to.say("%(by)s changed this token.", by=by)]


def _any(to: Reader, by: str, name: str, before: object, after: object) -> str:
    return to.say(
        "%(by)s changed %(field)s from %(before)s to %(after)s.",
        by=by,
        field=shown(name),
        before=or_none(to, before),
        after=or_none(to, after),
    )


def _name(to: Reader, by: str, before: object, after: object) -> Iterator[str]:
    yield to.say(
        "%(by)s changed the name from “%(before)s” to “%(after)s”.",
        by=by,
        before=shown(before),
        after=shown(after),
    )


def _contact(to: Reader, by: str, before: object, after: object) -> Iterator[str]:
    yield to.say(
        "%(by)s changed the contact from %(before)s to %(after)s.",
        by=by,
        before=or_none(to, before),
        after=or_none(to, after),
    )


def _activation(to: Reader, by: str, before: object, after: object) -> Iterator[str]:
    yield to.say(
        "%(by)s moved the activation from %(before)s to %(after)s.",
        by=by,
        before=moment(to, before),
        after=moment(to, after),
    )


def _expiration(to: Reader, by: str, before: object, after: object) -> Iterator[str]:
    yield to.say(
        "%(by)s moved the expiration from %(before)s to %(after)s.",
        by=by,
        before=moment(to, before),
        after=moment(to, after),
    )


def _permission(to: Reader, by: str, before: object, after: object) -> Iterator[str]:
    had, has = listed(before), listed(after)
    if added := [name for name in has if name not in had]:
        names = _permissions(to, added)
        yield to.say("%(by)s switched on: %(permissions)s.", by=by, permissions=names)
    if removed := [name for name in had if name not in has]:
        names = _permissions(to, removed)
        yield to.say("%(by)s switched off: %(permissions)s.", by=by, permissions=names)


def _visibility(to: Reader, by: str, before: object, after: object) -> Iterator[str]:
    had, has = _channels(before), _channels(after)
    if has is None:
        yield to.say("%(by)s let it see all channels.", by=by)
        return
    if had is None:
        names = _named(to, has)
        yield to.say("%(by)s let it see only these channels: %(channels)s.", by=by, channels=names)
        return
    if added := [channel for channel in has if channel not in had]:
        names = _named(to, added)
        yield to.say("%(by)s let it see also these channels: %(channels)s.", by=by, channels=names)
    if removed := [channel for channel in had if channel not in has]:
        names = _named(to, removed)
        yield to.say(
            "%(by)s no longer let it see these channels: %(channels)s.", by=by, channels=names
        )


_FIELDS: dict[str, Callable[[Reader, str, object, object], Iterator[str]]] = {
    "name": _name,
    "contact": _contact,
    "activates_at": _activation,
    "expires_at": _expiration,
    "permissions": _permission,
    "visibility": _visibility,
}


def _permissions(to: Reader, names: list[str]) -> str:
    known = {permission.value: permission.label for permission in Permission}
    return ", ".join(to.say(known[name]) if name in known else shown(name) for name in names)


def _channels(visibility: object) -> list[str] | None:
    channels = visibility.get("channels") if isinstance(visibility, dict) else None
    return None if channels is None else listed(channels)


def _named(to: Reader, channels: list[str]) -> str:
    if not channels:
        return to.say("none")
    named = ", ".join(shown(channel) for channel in channels[:MOST_NAMED])
    if len(channels) <= MOST_NAMED:
        return named
    more = len(channels) - MOST_NAMED
    return to.language.plural(
        "%(names)s and %(number)s more", "%(names)s and %(number)s more", more, names=named
    )
