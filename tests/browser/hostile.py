"""Texts that would do harm on a page, in a file or in a header, in every field that takes them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from schemas.tokens.fields import MAX_NAME
from tests.browser.scene import add_people
from tests.kit.client import Answer, Client
from tests.kit.platform import MESSAGE, deliveries_of
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

HOSTILE = {
    "markup": "\"'></title></textarea></select></pre><script data-hostile>alert('hostile')</script>"
    "<img data-hostile src=x onerror=alert(1)>",
    "address": "javascript:alert('hostile')//{{7*7}}hostile${7*7}hostile{% raw %} %(name)s %s",
    "override": "\u202ehostile\u200f",
    "isolates": "hostile \u2067\u202b\u2066",
    "formula": '=HYPERLINK("http://hostile.example/","hostile")',
    "sum": "+1+cmd|' /C hostile'!A0 &lt;b data-hostile&gt; \u0301\u0300",
    "four-bytes": "\U0001d525\U0001f469\u200d\U0001f469\u200d\U0001f467 hostile \U0010fffd",
    "nul": "hostile\0<b data-hostile>",
    "lines": "hostile\r\nset-cookie: hostile=1\r\n\r\n<b data-hostile>\u2028",
    "long": "hostile" * 20_000,
}
"""By what they try. Each holds the word, by which a page that shows it is known."""

FIELD = 200
"""Characters that most fields take."""


@dataclass
class Planted:
    """What was created with one text."""

    text: str
    channel: str
    """A channel that only its token sees."""
    token: dict[str, Any]
    event_id: str = ""
    delivery_id: str = ""
    refused: dict[str, int] = field(default_factory=dict)
    """What did not take the text, with the status of its answer."""

    @property
    def short(self) -> str:
        """As much of the text as most fields take."""
        return self.text[:FIELD]

    @property
    def ids(self) -> dict[str, str]:
        """Values for the variable parts of addresses."""
        return {
            "token_id": self.token["id"],
            "broken_id": self.token["id"],
            "empty_id": self.token["id"],
            "event_id": self.event_id,
            "delivery_id": self.delivery_id,
            "failed_id": self.delivery_id,
        }


@dataclass
class Garden:
    """A Ringback in which all of them are."""

    ringback: Ringback
    receiver: Receiver
    planted: dict[str, Planted] = field(default_factory=dict)

    @classmethod
    @contextlib.contextmanager
    def made(cls) -> Iterator["Garden"]:
        with Receiver() as receiver:
            ringback = Ringback(RETRY_SCHEDULE="100ms")
            try:
                add_people(ringback)
                made = cls(ringback, receiver)
                made._plant()
                yield made
            finally:
                ringback.close()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.ringback.port}"

    def _plant(self) -> None:
        for kind, text in HOSTILE.items():
            self.planted[kind] = self._token(kind, text)
        reporter = self.ringback.token("reporter", "tokens:introspect")["token"]
        self.ringback.wait_until_in_force()
        with Client(self.ringback.port, reporter) as client:
            for one in self.planted.values():
                one.event_id = self._publish(one)
                self._log(client, one)
        for one in self.planted.values():
            one.delivery_id = wait_for("it to be given up", lambda one=one: self._given_up(one), 60)

    def _token(self, name: str, text: str) -> Planted:
        """A token with the text in every field that takes it."""
        self.receiver.answer(name, _answer(text))
        url = self.receiver.url(f"/raw/{name}/?key={quote(text[:FIELD], safe='')}")
        own = self.ringback.token(
            f"token {name}", callbacks={MESSAGE: url}, channels=(_own(name),), wait=False
        )
        one = Planted(text, _own(name), own)
        token = f"/v1/tokens/{own['id']}"
        callback = f"{token}/callbacks/{MESSAGE}"
        for what, address, body in (
            ("channels", token, {"visibility": {"channels": [one.short, one.channel]}}),
            ("name", token, {"name": text[:MAX_NAME]}),
            ("contact", token, {"contact": f"{one.short}@example.com"}),
            ("unknown field", token, {one.short: one.short}),
            ("url", callback, {"url": url + one.short}),
            ("header", callback, {"url": url, "headers": {"x-own": one.short}}),
            ("header name", callback, {"url": url, "headers": {one.short: "value"}}),
        ):
            method = "PATCH" if address == token else "PUT"
            self._note(one, what, self.ringback.admin.call(method, address, body))
        return one

    def _publish(self, one: Planted) -> str:
        """An event with the text in all of its fields, or only where any text may be."""
        short, content = one.short, {"type": "text", "text": one.text}
        message = {"id": short, "conversation_id": short, "provider_message_id": short}
        names = {"display_name": short, "locale": short, short: {short: [short]}}
        full = {
            "message": message | {"content": content},
            "channel": {"id": short, "kind": short, "address": short, "provider": short},
            "customer": {"id": short} | names,
        }
        answer = self.ringback.admin.call("POST", "/v1/events", {"type": MESSAGE, "data": full})
        self._note(one, "event", answer)
        if answer.status != HTTPStatus.ACCEPTED:
            some = {
                "message": {"id": "m", "conversation_id": "c", "content": content},
                "channel": {"id": one.channel, "kind": "hostile"},
                "customer": {"id": "c"} | names,
            }
            return self.ringback.admin.publish({"type": MESSAGE, "data": some})
        return str(answer.data["id"])

    def _log(self, reporter: Client, one: Planted) -> None:
        """A request of the token, and one that the chat platform reports."""
        row = dict.fromkeys(("method", "path", "ip", "user_agent", "reason"), one.text)
        report = row | {"token": one.token["id"], "status": 403}
        self._note(one, "report", reporter.call("POST", "/v1/requests", {"requests": [report]}))
        agent = one.short.encode().decode("latin-1")
        with Client(self.ringback.port, one.token["token"]) as client:
            try:
                client.call("GET", f"/v1/{quote(one.short, safe='')}", user_agent=agent)
            except ValueError:  # the standard library sends no line break in a header
                one.refused["user agent"] = 0

    def _note(self, one: Planted, what: str, answer: Answer) -> None:
        if answer.status not in range(200, 300):
            one.refused[what] = answer.status

    def _given_up(self, one: Planted) -> str | None:
        found = [
            delivery["id"]
            for delivery in deliveries_of(self.ringback.admin, one.event_id)
            if (delivery["token_id"], delivery["state"]) == (one.token["id"], "exhausted")
        ]
        return found[0] if found else None


def _own(name: str) -> str:
    return f"chn_{name}"


def _answer(text: str) -> bytes:
    """A response with the text in its status line, a header and its body."""
    line = "".join(" " if character in "\0\r\n" else character for character in text[:FIELD])
    head = f"HTTP/1.1 500 {line}\r\nx-hostile: {line}\r\ncontent-type: text/html\r\n"
    return f"{head}connection: close\r\n\r\n{text}".encode()
