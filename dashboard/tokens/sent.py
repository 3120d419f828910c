"""What a browser sent: the fields of a form, or the parameters of an address."""

from typing import Protocol


class Sent(Protocol):
    """Values by name, some names several times."""

    def get(self, key: str, default: str, /) -> str: ...
    def getlist(self, key: str, /) -> list[str]: ...
