"""What is loaded at the start of a process is not looked at by the garbage collector again."""

import gc

from ringback.processes.interpreter import settle


def test_what_is_there_is_kept_out_of_collections() -> None:
    there = [[]]  # type: ignore[var-annotated]
    try:
        settle()

        assert not any(one is there for one in gc.get_objects())
        assert gc.get_freeze_count() > 10_000, "all that was imported"
    finally:
        gc.unfreeze()
