"""Flows run on the loop that production uses."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, whose readers and writers are what drives libcurl in production."""
    return {"uvloop": uvloop.new_event_loop}
