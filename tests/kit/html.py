"""What a page says: its text, its links and its forms, read by the parser of the standard library."""

from html.parser import HTMLParser

_VOID = {"input", "img", "meta", "link", "br", "hr", "option"}


class Html(HTMLParser):
    """A page that was parsed."""

    def __init__(self, source: str):
        super().__init__()
        self.links: list[str] = []
        self.fields: list[dict[str, str]] = []
        """The attributes of fields and buttons."""
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._texts: list[str] = []
        self._within: list[str] = []
        self.feed(source)

    @property
    def text(self) -> str:
        """What is read, with single blanks."""
        return " ".join(" ".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in {"input", "select", "textarea", "button"}:
            self.fields.append(given)
        if tag not in _VOID:
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._within:
            while self._within.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style", "head"} & set(self._within):
            self._texts.append(data)
