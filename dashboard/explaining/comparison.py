"""Two attempts side by side: what differed when it began to work, or ceased to. Pure."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dashboard import labels
from dashboard.explaining.reader import Reader
from schemas.deliveries.deliveries import Attempt
from schemas.texts import from_bytes, spelled_out

MOST_LINES = 400
"""Lines of a body that are compared. More: comparing takes longer, as it grows with their square."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing that both attempts have."""

    name: str
    left: str | None
    right: str | None

    @property
    def is_equal(self) -> bool:
        """Whether both are the same."""
        return self.left == self.right


@dataclass(frozen=True, slots=True)
class Part:
    """Some pairs under a heading."""

    title: str
    pairs: list[Pair]

    @property
    def different(self) -> list[Pair]:
        """The pairs that differ."""
        return [pair for pair in self.pairs if not pair.is_equal]

    @property
    def equal(self) -> list[Pair]:
        """The pairs that do not differ."""
        return [pair for pair in self.pairs if pair.is_equal]


def comparison(to: Reader, left: Attempt, right: Attempt, *, with_answers: bool) -> list[Part]:
    """Return two attempts, part by part. Without `with_answers` what receivers answered is left out,
    but for the status.
    """
    parts = [
        Part(to.say("The attempt"), list(_facts(to, left, right, with_answers=with_answers))),
        Part(to.say("Times in ms"), list(_times(to, left, right))),
        Part(to.say("Sent headers"), _headers(left.request_headers, right.request_headers)),
    ]
    if with_answers:
        answered = left.response_headers or {}, right.response_headers or {}
        parts += [
            Part(to.say("Answered headers"), _headers(*answered)),
            Part(to.say("Answered body"), _lines(left.response_body, right.response_body)),
        ]
    return [part for part in parts if part.pairs]


def _facts(to: Reader, left: Attempt, right: Attempt, *, with_answers: bool) -> Iterable[Pair]:
    yield _pair(to.say("Result"), *(labels.outcome(to, one.outcome) for one in (left, right)))
    yield _pair(to.say("Status"), left.status_code, right.status_code)
    if with_answers:
        yield _pair(to.say("What went wrong"), left.error, right.error)
    yield _pair(to.say("Cause"), *(labels.trigger(to, one.trigger) for one in (left, right)))
    yield _pair(
        to.say("Started"),
        *(to.language.moment(one.started_at, to.zone) for one in (left, right)),
    )
    yield _pair(to.say("Address"), left.address, right.address)


def _times(to: Reader, left: Attempt, right: Attempt) -> Iterable[Pair]:
    a, b = left.phases, right.phases
    yield _pair(to.say("Looking up the host"), a.dns_ms, b.dns_ms)
    yield _pair(to.say("Connecting"), a.connect_ms, b.connect_ms)
    yield _pair(to.say("Securing the connection"), a.tls_ms, b.tls_ms)
    yield _pair(to.say("Waiting for the answer"), a.wait_ms, b.wait_ms)
    yield _pair(to.say("Altogether"), left.duration_ms, right.duration_ms)


def _headers(left: Mapping[str, str], right: Mapping[str, str]) -> list[Pair]:
    return [_pair(name, left.get(name), right.get(name)) for name in {**left, **right}]


def _lines(left: bytes, right: bytes) -> list[Pair]:
    """Return the lines of two bodies, those that correspond next to each other."""
    a, b = _split(left), _split(right)
    pairs: list[Pair] = []
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    for _, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        for number in range(max(a_to - a_from, b_to - b_from)):
            i, j = a_from + number, b_from + number
            pairs.append(_pair("", a[i] if i < a_to else None, b[j] if j < b_to else None))
    return pairs


def _split(body: bytes) -> list[str]:
    text = spelled_out(from_bytes(body), keep="\n\t")
    return text.split("\n")[:MOST_LINES] if text else []


def _pair(name: str, left: object, right: object) -> Pair:
    return Pair(name, *(None if one is None else str(one) for one in (left, right)))
