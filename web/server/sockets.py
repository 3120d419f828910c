"""Listening sockets, and who is at the other end of an accepted one."""

import asyncio
import errno
import socket

from schemas.errors import RingbackError

_BACKLOG = 1024

_UNSENT_BYTES = 128 * 1024
"""What the kernel takes of an answer before it has a place on the way. More: every slow client
holds so much memory of the kernel (4 MB without a limit), and is seen to take something only when
half of it has gone. Less: large answers take more system calls.
"""

_SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel keeps of an answer for one client, sent or not. More: more of a download is made
at once for clients that read slowly; without this limit too, 200 of them took 13 MB more of the
process. Fewer: a download over a long line is slower.
"""


class CannotListen(RingbackError):
    """An address cannot be bound: another process uses it, or it is not allowed."""

    def __init__(self, address: str, setting: str, error: OSError):
        remedy = f"set {setting} to another host:port"
        super().__init__(
            f"{address} is in use: stop what listens there, or {remedy}"
            if error.errno == errno.EADDRINUSE
            else f"cannot bind {address} ({error.strerror or error}): {remedy}"
        )


def listen(host: str, port: int, setting: str, count: int = 1) -> list[socket.socket]:
    """Return so many sockets that listen at one address, between which the kernel distributes
    connections: one for each process. Raises CannotListen, which names the setting.
    """
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    bound: list[socket.socket] = []
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if count > 1:  # one that shares no port first: another process could share it, too
            _bind(family, kind, protocol, target, shares_port=False).close()
        for _ in range(count):
            made = _bind(family, kind, protocol, target, shares_port=count > 1)
            bound.append(made)
            target = made.getsockname()  # all at one port, also where the kernel chooses it
            made.listen(_BACKLOG)
    except OSError as error:
        for made in bound:
            made.close()
        raise CannotListen(shown, setting, error) from error
    return bound


def peer_address(transport: asyncio.BaseTransport) -> str:
    """Return the IP address of the client, or "" if it has gone. That of IPv4 is the same on a
    socket that also takes IPv6.
    """
    peer = transport.get_extra_info("peername")
    return str(peer[0]).removeprefix("::ffff:") if isinstance(peer, tuple) else ""


def _bind(
    family: int, kind: int, protocol: int, target: object, *, shares_port: bool
) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if shares_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # accepted sockets inherit it
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        made.setblocking(False)
        made.bind(target)  # type: ignore[arg-type]  # as getaddrinfo returned it
    except OSError:
        made.close()
        raise
    return made
