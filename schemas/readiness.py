"""Whether a process can do its work, and what it lacks. Called by what answers `/readyz`."""

from collections.abc import Mapping
from typing import NamedTuple


class Readiness(NamedTuple):
    """`lacking`: what is missing, by part, in words. `ready`: whether the process does its work all
    the same.
    """

    ready: bool
    lacking: Mapping[str, str]
