"""A pika connection for the floors that sends many frames by one system call.

pika writes each frame to the socket at once: three per message, one per acknowledgement. Each write
gives up the GIL, and getting it back from busy request threads costs more than the write. It
overrides a protected method, so it is tied to pika 1.4.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pika.adapters.asyncio_connection import AsyncioConnection


class OneWrite(AsyncioConnection):  # type: ignore[misc]  # pika is untyped
    """A connection that sends the frames of a `one_write` block together, at its end. Outside of
    one, the frames of one method are sent together.
    """

    _kept: list[bytes] | None = None

    @contextmanager
    def one_write(self) -> Iterator[None]:
        kept: list[bytes] = []
        self._kept = kept
        try:
            yield
        finally:
            self._kept = None
            if kept:
                self._output_marshaled_frames(kept)

    def _output_marshaled_frames(self, marshaled_frames: list[bytes]) -> None:
        if self._kept is None:
            super()._output_marshaled_frames([b"".join(marshaled_frames)])
        else:
            self._kept += marshaled_frames
