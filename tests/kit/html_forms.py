"""Forms of a page as a browser would send them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"input"}


@dataclass
class Form:
    """A form with what is in its fields."""

    action: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    """The values that would be sent, by name. Boxes that are not ticked send none."""

    def one(self, name: str) -> str:
        """The only value of a field."""
        (value,) = self.fields[name]
        return value

    def filled(self, **changed: str | list[str] | None) -> dict[str, list[str]]:
        """What is sent once some fields are changed; None empties a box. `was__name` is `was.name`."""
        sent = dict(self.fields)
        for name, value in changed.items():
            key = name.replace("__", ".")
            sent.pop(key, None)
            if value is not None:
                sent[key] = [value] if isinstance(value, str) else value
        return sent


def forms(page: str) -> list[Form]:
    """Every form of a page."""
    reader = _Reader()
    reader.feed(page)
    return reader.found


def form(page: str, action: str) -> Form:
    """The form that is sent to this address."""
    (found,) = [one for one in forms(page) if one.action == action]
    return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._open: Form | None = None
        self._area: str | None = None
        self._select: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(given.get("action", ""))
            self.found.append(self._open)
        elif self._open is not None:
            self._field(tag, given)

    def _field(self, tag: str, given: dict[str, str]) -> None:
        name = given.get("name", "")
        if tag == "input" and name:
            ticks = given.get("type") in {"checkbox", "radio"}
            if not ticks or "checked" in given:
                self._add(name, given.get("value", "on" if ticks else ""))
        elif tag == "textarea":
            self._area, self._text = name, ""
        elif tag == "select":
            self._select = name
        elif (
            tag == "option"
            and self._select
            and ("selected" in given or self._select not in self._values())
        ):
            self._values()[self._select] = [given.get("value", "")]

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "textarea" and self._area:
            self._add(self._area, self._text)
            self._area = None
        elif tag == "select":
            self._select = None

    def _values(self) -> dict[str, list[str]]:
        assert self._open is not None, "a field stands in a form"
        return self._open.fields

    def _add(self, name: str, value: str) -> None:
        self._values().setdefault(name, []).append(value)
