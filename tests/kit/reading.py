"""A person who reads, without a page: for the tests of explanations."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from dashboard.languages import Language, language
from schemas.times import UnixMs, from_rfc3339

NOW = from_rfc3339("2026-11-22T14:29:12Z")
UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class SomeReader:
    """Reads English in UTC at NOW, unless said otherwise."""

    language: Language = field(default_factory=lambda: language("en"))
    zone: ZoneInfo = UTC
    now: UnixMs = NOW

    def say(self, text: str, **values: object) -> str:
        return self.language.text(text, **values)


def later(seconds: float) -> UnixMs:
    """A moment after NOW, or before."""
    return UnixMs(NOW + round(seconds * 1000))
