"""The form of one callback: as text, from a callback and into the body of `PUT`. Pure.

Values of headers are never in it: they are kept, replaced or removed by the header's name.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from dashboard.tokens.faults import Say
from dashboard.tokens.sent import Sent
from schemas.errors import Fault
from schemas.tokens.tokens import Callback, OnResume

SPARE_HEADERS = 2
"""Empty rows for further headers. More: a longer form. Fewer: several headers take several saves."""

Faults = dict[str, str]
"""What is wrong, by field: `url`, `headers`, `header.0` for a row of a header; by FORM what concerns
no single field.
"""

FORM = ""


@dataclass(frozen=True, slots=True)
class HeaderRow:
    """One header."""

    name: str = ""
    value: str = ""
    """The new value, as it was typed; empty: the stored one stays."""
    is_stored: bool = False
    """Whether the callback has this header."""
    is_removed: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed."""
        return not self.name and not self.value


_SPARE = (HeaderRow(),) * SPARE_HEADERS


@dataclass(frozen=True, slots=True)
class CallbackForm:
    """What is in the fields."""

    url: str = ""
    is_on: bool = True
    held: str = OnResume.RELEASE
    headers: Sequence[HeaderRow] = _SPARE
    was: str = ""
    """The fingerprint of the callback that the form was made of; empty: there was none."""

    @classmethod
    def of(cls, callback: Callback | None) -> "CallbackForm":
        """Return what the form shows of a callback."""
        if callback is None:
            return cls()
        return cls(
            callback.url,
            callback.enabled,
            callback.on_resume,
            [*_stored(callback), *_SPARE],
            fingerprint(callback),
        )

    @classmethod
    def typed(cls, sent: Sent, callback: Callback | None) -> "CallbackForm":
        """Return what was sent. `callback` is the stored one, which knows its headers."""
        values = sent.getlist("header_value")
        names = [name.strip() for name in sent.getlist("header_name")]
        values += [""] * (len(names) - len(values))  # secrets are lost where a session has ended
        removed = {name.lower() for name in sent.getlist("remove_header")}
        stored = {name.lower() for name in callback.headers} if callback else set()
        rows = [
            HeaderRow(name, value.strip(), name.lower() in stored, name.lower() in removed)
            for name, value in zip(names, values, strict=False)
        ]
        kept = [row for row in rows if not row.is_empty]
        return cls(
            sent.get("url", "").strip(),
            bool(sent.get("enabled", "")),
            sent.get("held", "") or OnResume.RELEASE,
            [*kept, *_SPARE],
            sent.get("was", ""),
        )

    def body(self, callback: Callback | None, say: Say) -> tuple[bytes, Faults]:
        """Return the body of the request that saves the callback, and what is wrong by field.

        What is as it was is left out, so that a callback that only looks the same is not started
        again.
        """
        headers, faults = self._headers(callback, say)
        body: dict[str, object] = {"url": self.url}
        if not callback or callback.enabled != self.is_on:
            body["enabled"] = self.is_on
        if not callback or callback.on_resume != self.held:
            body["held"] = self.held
        if headers is not None:
            body["headers"] = headers
        return msgspec.json.encode(body), faults

    def field_of(self, fault: Fault) -> str:
        """Return the field that a fault of the body is about."""
        first, _, rest = fault.pointer.removeprefix("/").partition("/")
        if first == "headers" and rest:
            name = rest.replace("~1", "/").replace("~0", "~")
            rows = (number for number, row in enumerate(self.headers) if row.name == name)
            return f"header.{next(rows, 0)}"
        return first if first in {"url", "headers", "held", "enabled"} else FORM

    def _headers(self, callback: Callback | None, say: Say) -> tuple[dict[str, str] | None, Faults]:
        """Return all headers that the callback is to have; None: those that it has."""
        faults: Faults = {}
        headers = dict(callback.headers) if callback else {}
        spelled = {name.lower(): name for name in headers}
        given: set[str] = set()
        is_changed = False
        for number, row in enumerate(self.headers):
            name = row.name.lower()
            if row.is_empty or (row.is_stored and not row.value and not row.is_removed):
                continue
            if fault := _row_fault(row, given, say):
                faults[f"header.{number}"] = fault
                continue
            is_changed = True
            if name in spelled:
                headers.pop(spelled.pop(name), None)
            if not row.is_removed:
                given.add(name)
                headers[row.name] = row.value
        return (headers if is_changed else None), faults


def fingerprint(callback: Callback) -> str:
    """Return a short text that differs where what the form shows does, to notice that another
    person changed it.
    """
    shown = [callback.id, callback.url, callback.enabled, callback.on_resume]
    encoded = msgspec.json.encode([*shown, sorted(callback.headers)])
    return hashlib.sha256(encoded).hexdigest()[:32]


def _stored(callback: Callback) -> Iterable[HeaderRow]:
    return [HeaderRow(name, is_stored=True) for name in sorted(callback.headers)]


def _row_fault(row: HeaderRow, given: set[str], say: Say) -> str | None:
    if not row.name:
        return say("Give the header a name, too.")
    if row.is_removed:
        return None
    if row.name.lower() in given:
        return say("This header is given twice.")
    return None if row.value else say("Give the header a value.")
