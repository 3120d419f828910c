"""Changes of a callback in sentences. `kind` is always the name of its event type."""

from collections.abc import Callable, Iterator

from dashboard.explaining.reader import Reader
from dashboard.explaining.values import listed, shown
from schemas.tokens.audit_log import Details
from schemas.tokens.masking import masked_url
from schemas.tokens.tokens import CallbackState, OnResume


def sentences(to: Reader, by: str, kind: str, details: Details) -> list[str]:
    """Return one sentence for each field of a callback that was set, or two where something was
    added and something else removed.
    """
    said: list[str] = []
    for name, field in _FIELDS.items():
        if name in details:
            said += field(to, by, kind, details)
    return said or [to.say("%(by)s changed the callback for %(type)s.", by=by, type=kind)]


def deleted(to: Reader, by: str, kind: str, details: Details) -> str:
    """Return that a callback was deleted, and which address it called."""
    url, _ = details.get("url", (None, None))
    if url is None:
        return to.say("%(by)s deleted the callback for %(type)s.", by=by, type=kind)
    return to.say(
        "%(by)s deleted the callback for %(type)s, which called %(url)s.",
        by=by,
        type=kind,
        url=_masked(url),
    )


def _url(to: Reader, by: str, kind: str, details: Details) -> Iterator[str]:
    before, after = details["url"]
    if before is None:
        yield to.say(
            "%(by)s set the callback for %(type)s to %(after)s.",
            by=by,
            type=kind,
            after=_masked(after),
        )
    elif _masked(before) == _masked(after):
        yield to.say(
            "%(by)s changed the address for %(type)s, in its part that is not shown: %(after)s.",
            by=by,
            type=kind,
            after=_masked(after),
        )
    else:
        yield to.say(
            "%(by)s changed the address for %(type)s from %(before)s to %(after)s.",
            by=by,
            type=kind,
            before=_masked(before),
            after=_masked(after),
        )


def _enabled(to: Reader, by: str, kind: str, details: Details) -> Iterator[str]:
    before, after = details["enabled"]
    if after is False:
        yield to.say("%(by)s switched the callback for %(type)s off.", by=by, type=kind)
    elif before is False:
        yield to.say("%(by)s switched the callback for %(type)s on.", by=by, type=kind)


def _state(to: Reader, by: str, kind: str, details: Details) -> Iterator[str]:
    if details["state"][0] == CallbackState.DISABLED and "enabled" not in details:
        yield to.say("%(by)s enabled the callback for %(type)s again.", by=by, type=kind)


def _held(to: Reader, by: str, kind: str, details: Details) -> Iterator[str]:
    before, after = details["held"]
    if before is None and after == OnResume.RELEASE:
        return  # as for every new callback
    texts = {
        OnResume.RELEASE: lambda: to.say(
            "%(by)s decided that held deliveries for %(type)s are sent.", by=by, type=kind
        ),
        OnResume.KEEP: lambda: to.say(
            "%(by)s decided that held deliveries for %(type)s stay held.", by=by, type=kind
        ),
        OnResume.DISCARD: lambda: to.say(
            "%(by)s decided that held deliveries for %(type)s are cancelled.", by=by, type=kind
        ),
    }
    if after in texts:
        yield texts[OnResume(str(after))]()


def _headers(to: Reader, by: str, kind: str, details: Details) -> Iterator[str]:
    had, has = (listed(names) for names in details["header_names"])
    added, removed = [
        ", ".join(shown(name) for name in names)
        for names in ([n for n in has if n not in had], [n for n in had if n not in has])
    ]
    if added:
        yield to.say(
            "%(by)s added headers to the callback for %(type)s: %(names)s.",
            by=by,
            type=kind,
            names=added,
        )
    if removed:
        yield to.say(
            "%(by)s removed headers of the callback for %(type)s: %(names)s.",
            by=by,
            type=kind,
            names=removed,
        )
    if has and not added and not removed:
        yield to.say("%(by)s changed headers of the callback for %(type)s.", by=by, type=kind)


_FIELDS: dict[str, Callable[[Reader, str, str, Details], Iterator[str]]] = {
    "url": _url,
    "enabled": _enabled,
    "state": _state,
    "held": _held,
    "header_names": _headers,
}


def _masked(url: object) -> str:
    return shown(masked_url(str(url)))
