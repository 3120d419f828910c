"""`ringback listen`: a receiver for the developer's machine. It verifies and prints every webhook,
and can misbehave on purpose.

It needs no settings and no database, only what any receiver has: a URL and a signing secret.
"""

import datetime as dt
import re
import signal
import sys
import threading

import click
import msgspec

from ringback.cli.commands import Command
from ringback.cli.listen_server import Behaviour, Receiver, Webhook
from ringback.cli.parameter_types import DURATION, SIGNING_KEY, FiniteRange
from schemas.errors import RingbackError
from schemas.texts import spelled_out

QUICKSTART_PORT = 9000
"""The port to which the callbacks of the quickstart's token go."""

_SHOWN = (
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "ringback-attempt",
    "ringback-trigger",
    "user-agent",
    "content-type",
)
# JSON does not escape these, and terminals obey them.
_MOVES_THE_CURSOR = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_printing = threading.Lock()


@click.command(cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=QUICKSTART_PORT,
    show_default=True,
    help="The port to listen on, on 127.0.0.1.",
)
@click.option(
    "--secret",
    "keys",
    multiple=True,
    type=SIGNING_KEY,
    help="The signing secret, whsec_…. Repeatable.",
)
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    default=204,
    show_default=True,
    help="The status to answer with.",
)
@click.option(
    "--delay",
    type=DURATION,
    default=dt.timedelta(0),
    show_default="0s",
    help="The delay before each answer.",
)
@click.option(
    "--fail-ratio",
    type=FiniteRange(0, 1),
    default=0.0,
    show_default=True,
    help="The share of requests to answer with 500, from 0 to 1.",
)
def command(
    port: int, keys: tuple[bytes, ...], status: int, delay: dt.timedelta, fail_ratio: float
) -> None:
    """Receive webhooks, verify and print them.

    Prints `verified ID` or `REJECTED ID: reason`, then the webhook. Ctrl-C stops it.
    """
    try:
        receiver = Receiver(
            port, keys, Behaviour(status, delay.total_seconds(), fail_ratio), _print
        )
    except OSError as error:
        raise RingbackError(
            f"cannot bind 127.0.0.1:{port} ({error.strerror}): {advice(port)}"
        ) from None
    _serve(receiver)


def advice(port: int) -> str:
    """Return what to do about a port in use. On another port the quickstart's webhooks do not
    arrive.
    """
    if port == QUICKSTART_PORT:
        return (
            f"stop what uses it, as the quickstart's callbacks go to port {port}; for other "
            "callbacks choose another port with --port"
        )
    return "choose another port with --port"


def _serve(receiver: Receiver) -> None:
    """Answer until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        click.echo(f"listening on http://127.0.0.1:{receiver.server_port}")
        sys.stdout.flush()
        receiver.serve_forever()
    except KeyboardInterrupt:
        click.echo()
    finally:
        receiver.server_close()


def _print(webhook: Webhook) -> None:
    """Print a webhook in one piece, although several may arrive at the same time."""
    name = spelled_out(webhook.id)
    verdict = (
        click.style(f"verified {name}", fg="green")
        if webhook.fault is None
        else click.style(f"REJECTED {name}: {webhook.fault}", fg="red")
    )
    answered = "" if webhook.answer < 300 else f"(answered {webhook.answer})\n"
    headers = "".join(
        f"{header}: {webhook.headers[header]}\n" for header in _SHOWN if header in webhook.headers
    )
    with _printing:
        click.echo(f"{verdict}\n{answered}{headers}{_readable(webhook.body)}\n")
        sys.stdout.flush()


def _readable(body: bytes) -> str:
    """Return JSON indented, with every number spelled as it came. A body that is not JSON may be
    anything, and is shown in ASCII.
    """
    try:
        text = msgspec.json.format(body, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ascii(body)
    return _MOVES_THE_CURSOR.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
