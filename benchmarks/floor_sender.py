"""The floors' sender: libcurl's multi handle on the event loop, and a signature. No target check,
no limits, no verdict.

Called by `floor` and `floor_embedded`, on the thread of their event loop.
"""

import asyncio
import base64
import hmac
import os
import time

import pycurl

_KEY = os.urandom(32)
_TIMEOUT_MS = 15_000


def signed_headers(event_id: str, body: bytes) -> list[str]:
    """Return the headers of one Standard Webhooks attempt, signed now."""
    timestamp = int(time.time())
    mac = hmac.digest(_KEY, b"%s.%d.%s" % (event_id.encode(), timestamp, body), "sha256")
    return [
        "content-type: application/json",
        f"webhook-id: {event_id}",
        f"webhook-timestamp: {timestamp}",
        "webhook-signature: v1," + base64.b64encode(mac).decode(),
    ]


class Sender:
    """A sender. libcurl says which sockets to watch and when to wake it; the loop does so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.Handle | None = None
        self._watched: dict[int, int] = {}
        self._idle: list[pycurl.Curl] = []
        self._in_flight: dict[pycurl.Curl, asyncio.Future[int]] = {}
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def post(self, url: str, headers: list[str], body: bytes) -> asyncio.Future[int]:
        """Return the status code of the answer, 0 when there was none."""
        curl = self._idle.pop() if self._idle else _new_handle()
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.HTTPHEADER, headers)
        curl.setopt(pycurl.POSTFIELDS, body)
        self._in_flight[curl] = answer = self._loop.create_future()
        self._multi.add_handle(curl)
        return answer

    def _set_timer(self, delay_ms: int) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if delay_ms == 0:  # later: libcurl must not be called from its own callback
            self._timer = self._loop.call_soon(self._act, pycurl.SOCKET_TIMEOUT, 0)
        elif delay_ms > 0:
            self._timer = self._loop.call_later(
                delay_ms / 1000, self._act, pycurl.SOCKET_TIMEOUT, 0
            )

    def _watch(self, wanted: int, fd: int, _multi: object, _data: object) -> None:
        wanted = 0 if wanted == pycurl.POLL_REMOVE else wanted
        changed = self._watched.pop(fd, 0) ^ wanted
        if changed & pycurl.POLL_IN:
            if wanted & pycurl.POLL_IN:
                self._loop.add_reader(fd, self._act, fd, pycurl.CSELECT_IN)
            else:
                self._loop.remove_reader(fd)
        if changed & pycurl.POLL_OUT:
            if wanted & pycurl.POLL_OUT:
                self._loop.add_writer(fd, self._act, fd, pycurl.CSELECT_OUT)
            else:
                self._loop.remove_writer(fd)
        if wanted:
            self._watched[fd] = wanted

    def _act(self, fd: int, events: int) -> None:
        self._multi.socket_action(fd, events)
        queued = 1
        while queued:
            queued, answered, failed = self._multi.info_read()
            for curl in answered:
                self._finish(curl, curl.getinfo(pycurl.RESPONSE_CODE))
            for curl, _code, _message in failed:
                self._finish(curl, 0)

    def _finish(self, curl: pycurl.Curl, status: int) -> None:
        self._multi.remove_handle(curl)
        self._idle.append(curl)
        self._in_flight.pop(curl).set_result(status)


def _new_handle() -> pycurl.Curl:
    curl = pycurl.Curl()
    curl.setopt(pycurl.POST, 1)
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.TIMEOUT_MS, _TIMEOUT_MS)
    curl.setopt(pycurl.WRITEFUNCTION, lambda _chunk: None)
    return curl
