"""Payloads as pages show them: laid out for reading, and as they were sent. Pure."""

from dataclasses import dataclass

from dashboard.explaining.folded_json import FoldedJson, folded, on_page
from dashboard.explaining.json_tokens import Piece, pieces
from schemas.texts import from_bytes

_LINES, _BYTES, _SENT_BYTES = 2000, 22_000, 6000
"""How much of a payload is shown next to other things: bytes of the page. More: larger pages."""

_ALL_LINES, _ALL_BYTES = 20_000, 4_000_000
"""How much is shown on the payload's own page. More: pages on which browsers become slow."""


@dataclass(frozen=True, slots=True)
class ShownPayload:
    """A payload on a page."""

    layout: FoldedJson
    sent: str
    """The beginning of it as it was sent, or all."""
    is_sent_cut: bool
    size: int
    """Its bytes."""

    @property
    def sent_pieces(self) -> list[Piece]:
        """What was sent, as a page writes it."""
        return pieces(self.sent)


def shown_payload(body: bytes, *, whole: bool = False) -> ShownPayload:
    """Return a payload, or with `whole` as much as a page of its own can show."""
    text = from_bytes(body)
    if whole:
        return ShownPayload(folded(text, _ALL_LINES, _ALL_BYTES), text, False, len(body))
    sent = _beginning(text)
    return ShownPayload(folded(text, _LINES, _BYTES), sent, len(sent) < len(text), len(body))


def _beginning(text: str) -> str:
    """Return as much of a text as _SENT_BYTES of a page hold, about."""
    sent = text[:_SENT_BYTES]
    return sent[: len(sent) * _SENT_BYTES // max(on_page(sent), _SENT_BYTES)]
