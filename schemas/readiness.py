"""The readiness of a process, as `/readyz` reports it."""

from collections.abc import Mapping
from typing import NamedTuple


class Readiness(NamedTuple):
    """Whether a process can do its work, and what is missing."""

    ready: bool
    """Whether the process can do its work, even if something is missing."""

    lacking: Mapping[str, str]
    """What is missing, as a text for each part."""
