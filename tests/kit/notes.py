"""What an operator would read, kept for a test."""

from schemas.log_events import LogEvent
from schemas.observer import NullObserver


class Notes(NullObserver):
    """An observer that keeps its notes, oldest first."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, object]]] = []

    def log(self, event: LogEvent, **fields: object) -> None:
        self.notes.append((event, fields))

    @property
    def said(self) -> list[str]:
        return [what for what, _ in self.notes]

    def of(self, what: str) -> list[dict[str, object]]:
        return [fields for noted, fields in self.notes if noted == what]
