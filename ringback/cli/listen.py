"""`ringback listen`: a receiver for one's own machine. Verifies and prints every webhook, and
misbehaves when told to.

Needs no settings and no database: it knows what any receiver knows, its URL and its signing secret.
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
"""That of `ringback.quickstart`, which is not imported here: the whole server would come with it.
"""

_SHOWN = (
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "ringback-attempt",
    "ringback-trigger",
    "user-agent",
    "content-type",
)
_MOVES_THE_CURSOR = re.compile(
    "[\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
)  # raw in JSON, though terminals obey them
_printing = threading.Lock()


@click.command(cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=QUICKSTART_PORT,
    show_default=True,
    help="Where to listen, on 127.0.0.1.",
)
@click.option(
    "--secret",
    "keys",
    multiple=True,
    type=SIGNING_KEY,
    help="The signing secret, whsec_…; repeatable.",
)
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    default=204,
    show_default=True,
    help="What to answer.",
)
@click.option(
    "--delay",
    type=DURATION,
    default=dt.timedelta(0),
    show_default="0s",
    help="How long to wait before each answer.",
)
@click.option(
    "--fail-ratio",
    type=FiniteRange(0, 1),
    default=0.0,
    show_default=True,
    help="Of all, how many to answer with 500.",
)
def command(
    port: int, keys: tuple[bytes, ...], status: int, delay: dt.timedelta, fail_ratio: float
) -> None:
    """Receive webhooks here, verify and print them.

    Prints `verified ID` or `REJECTED ID: reason`, then the webhook. Ctrl-C ends it.
    """
    try:
        receiver = Receiver(
            port, keys, Behaviour(status, delay.total_seconds(), fail_ratio), _print
        )
    except OSError as error:
        raise RingbackError(
            f"127.0.0.1:{port} cannot be listened on ({error.strerror}): {advice(port)}"
        ) from None
    _serve(receiver)


def advice(port: int) -> str:
    """On another port the newcomer would wait in vain."""
    if port == QUICKSTART_PORT:
        return f"stop what is there, as the quickstart's callbacks go to port {port}; for others choose another with --port"
    return "choose another with --port"


def _serve(receiver: Receiver) -> None:
    """Until Ctrl-C or SIGTERM, which both are how one ends it."""
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
    """In one piece, whatever comes at the same time."""
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
    """Indented, with every number spelled as it came. What is not JSON is shown in ASCII: it could
    be anything.
    """
    try:
        text = msgspec.json.format(body, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ascii(body)
    return _MOVES_THE_CURSOR.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
