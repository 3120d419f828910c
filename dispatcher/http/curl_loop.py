"""libcurl's multi-socket interface on an event loop: many transfers, one thread, no coroutine per
transfer.

Knows sockets and timers, but not HTTP. Only the sender calls it, on the loop's own thread.
"""

import asyncio
from collections.abc import Callable

import pycurl

OnEnd = Callable[[int, str], None]
"""A callback that gets libcurl's error number (0: the transfer succeeded) and its message."""


class CurlLoop:
    """The driver of libcurl's transfers. libcurl says which sockets and timers to watch, and gets
    each event by `socket_action`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, max_idle_connections: int):
        """Start without transfers. `max_idle_connections` are kept open for later requests."""
        self._loop = loop
        self._timer: asyncio.Handle | None = None
        self._watched: dict[int, int] = {}
        self._ends: dict[pycurl.Curl, OnEnd] = {}
        self._joining: list[pycurl.Curl] = []
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._arm)
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_idle_connections)

    @property
    def in_flight(self) -> int:
        """The number of transfers that have started and not ended."""
        return len(self._ends)

    def start(self, curl: pycurl.Curl, on_end: OnEnd) -> None:
        """Begin a transfer. `on_end` is called once, later, when `curl` is free again.

        The transfer joins libcurl together with the others of this iteration of the event loop.
        Joining one by one takes nearly twice the processor time of a request.
        """
        self._ends[curl] = on_end
        self._joining.append(curl)
        if len(self._joining) == 1:
            self._loop.call_soon(self._join)

    def close(self) -> None:
        """Abort the transfers in flight without calling `on_end`, and close every connection."""
        for curl in self._ends:
            if curl not in self._joining:
                self._multi.remove_handle(curl)
            curl.close()
        self._ends.clear()
        self._joining.clear()
        self._multi.close()
        self._arm(-1)

    def _join(self) -> None:
        joining, self._joining = self._joining, []
        for curl in joining:
            try:
                self._multi.add_handle(curl)
            except pycurl.error as error:  # the other transfers must join all the same
                self._notify(
                    curl, pycurl.E_FAILED_INIT, f"the request could not be started: {error}"
                )

    def _arm(self, ms: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if ms == 0:
            # libcurl must not be called from its own callback
            self._timer = self._loop.call_soon(self._act, pycurl.SOCKET_TIMEOUT, 0)
        elif ms > 0:
            self._timer = self._loop.call_later(ms / 1000, self._act, pycurl.SOCKET_TIMEOUT, 0)

    def _watch(self, wanted: int, fd: int, _multi: pycurl.CurlMulti, _assigned: object) -> None:
        had = self._watched.pop(fd, 0)
        want = 0 if wanted == pycurl.POLL_REMOVE else wanted
        started, stopped = want & ~had, had & ~want
        if started & pycurl.POLL_IN:
            self._loop.add_reader(fd, self._act, fd, pycurl.CSELECT_IN)
        elif stopped & pycurl.POLL_IN:
            self._loop.remove_reader(fd)
        if started & pycurl.POLL_OUT:
            self._loop.add_writer(fd, self._act, fd, pycurl.CSELECT_OUT)
        elif stopped & pycurl.POLL_OUT:
            self._loop.remove_writer(fd)
        if want:
            self._watched[fd] = want

    def _act(self, fd: int, events: int) -> None:
        self._multi.socket_action(fd, events)
        queued = 1
        while queued:
            queued, done, failed = self._multi.info_read()
            for curl in done:
                self._end(curl, 0, "")
            for curl, number, message in failed:
                self._end(curl, number, message)

    def _end(self, curl: pycurl.Curl, number: int, message: str) -> None:
        self._multi.remove_handle(curl)
        self._notify(curl, number, message)

    def _notify(self, curl: pycurl.Curl, number: int, message: str) -> None:
        on_end = self._ends.pop(curl)
        try:
            on_end(number, message)
        except Exception as error:  # noqa: BLE001 - the other transfers of the batch must end
            self._loop.call_exception_handler(
                {"message": "the callback of a transfer failed", "exception": error}
            )
