"""What is loaded at the start of a process is not looked at by the garbage collector again."""

import gc
import sys
from collections.abc import Iterator

import pytest

from ringback.processes.interpreter import SWITCH_INTERVAL_S, settle


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    interval = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval)
    gc.unfreeze()


def test_what_is_there_is_kept_out_of_collections() -> None:
    there = [[]]  # type: ignore[var-annotated]

    settle()

    assert not any(one is there for one in gc.get_objects())
    assert gc.get_freeze_count() > 10_000, "all that was imported"


def test_no_thread_keeps_the_others_waiting_for_long() -> None:
    settle()

    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
