"""The HTTP request of a delivery: headers, signature, and what is recorded of them."""

import time
from collections.abc import Sequence

from dispatcher.http.messages import Request
from schemas.deliveries.deliveries import Delivery
from schemas.signature import sign, webhook_headers
from schemas.times import now_ms
from schemas.tokens.tokens import Callback, Token


class WebhookTarget:
    """The parts of a request that are the same for every attempt at one callback, put together once
    for each version of the callback and its token.
    """

    __slots__ = ("callback", "hidden", "lines", "token")

    def __init__(self, token: Token, callback: Callback, user_agent: str):
        """Put together the header lines that do not depend on the delivery."""
        self.token, self.callback = token, callback
        self.lines = [
            "content-type: application/json",
            f"user-agent: {user_agent}",
            *(f"{k}: {v}" for k, v in callback.headers.items()),
        ]
        self.hidden = dict.fromkeys(callback.headers, "***")

    def is_of(self, token: Token, callback: Callback) -> bool:
        """Return whether the target was made from exactly these objects of the directory."""
        return self.token is token and self.callback is callback

    def request(self, delivery: Delivery) -> tuple[Request, dict[str, str]]:
        """Return the request, and its headers as they are recorded: the values of the headers that
        the administrator set are secrets and become `***`.
        """
        timestamp = int(time.time())
        signature = sign(self._keys(), delivery.event_id, timestamp, delivery.body)
        headers = webhook_headers(
            delivery.event_id, timestamp, signature, delivery.number, delivery.trigger
        )
        lines = [*self.lines, *(f"{name}: {value}" for name, value in headers.items())]
        return Request(self.callback.url, lines, delivery.body), headers | self.hidden

    def _keys(self) -> Sequence[bytes]:
        keys = self.token.signing_keys
        return [keys[0].value] if len(keys) == 1 else self.token.live_signing_keys(now_ms())
