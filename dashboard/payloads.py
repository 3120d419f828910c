"""Payloads as pages show them: laid out for reading, and as they were sent. Pure."""

from dataclasses import dataclass

from dashboard.explaining.folded_json import FoldedJson, folded
from schemas.texts import from_bytes

_LINES, _CHARACTERS, _SENT_CHARACTERS = 2000, 24_000, 6000
"""How much of a payload is shown next to other things. More: larger pages."""

_ALL_LINES, _ALL_CHARACTERS = 20_000, 1_000_000
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


def shown_payload(body: bytes, *, whole: bool = False) -> ShownPayload:
    """Return a payload, or with `whole` as much as a page of its own can show."""
    text = from_bytes(body)
    layout = (
        folded(text, _ALL_LINES, _ALL_CHARACTERS) if whole else folded(text, _LINES, _CHARACTERS)
    )
    sent = text if whole else text[:_SENT_CHARACTERS]
    return ShownPayload(layout, sent, len(sent) < len(text), len(body))
