"""Needs attention: what fails, grouped by callback and kind, and what a person says about it."""

from dataclasses import dataclass
from http import HTTPStatus

from flask import Response

from dashboard import labels
from dashboard.explaining.sentence import disabled_reason
from dashboard.explaining.values import as_sentence
from dashboard.pages import Page, changing, shown
from dashboard.visit import Visit
from schemas.attention import MAX_NOTE, UNKNOWN_KIND, Trouble
from schemas.deliveries.deliveries import Outcome
from schemas.ids import CallbackId
from schemas.texts import harmful, named
from schemas.tokens.masking import host_of, masked_url
from store.attention.acknowledgements import Acknowledgements
from store.attention.expiring import expiring_tokens
from store.attention.samples import MOST_COUNTED
from store.attention.troubles import list_troubles

_MAX_KIND = 40
"""Characters of a kind of failure, which are short words."""


@dataclass(frozen=True)
class _Refused:
    """A note that was not saved."""

    key: str
    note: str
    fault: str


@dataclass(frozen=True)
class _Row:
    """A trouble as the page shows it."""

    trouble: Trouble
    what: str
    """How the deliveries fail, in words."""
    reason: str | None
    """Why Ringback disabled the callback, in words; None: it did not, or that is said elsewhere."""
    host: str
    url: str
    filter: dict[str, str]
    """The parameters with which lists show the deliveries."""

    @property
    def key(self) -> str:
        """What tells it from all others, as an id of the page."""
        return trouble_key(self.trouble.callback_id, self.trouble.kind)


def attention(visit: Visit) -> Response:
    """The page."""
    return _page(visit)


def acknowledge(visit: Visit) -> Response:
    """Note that a person knows of a failure."""
    callback_id, kind = _asked(visit)
    note = visit.form.get("note", "").strip()
    if fault := _note_fault(visit, note):
        refused = _Refused(trouble_key(callback_id, kind), note, fault)
        return _page(visit, refused)
    Acknowledgements(visit.parts.database).put(callback_id, kind, note, visit.actor)
    return visit.go("/attention", visit.say("Acknowledged."))


def reopen(visit: Visit) -> Response:
    """Take back that a person knows of a failure."""
    callback_id, kind = _asked(visit)
    Acknowledgements(visit.parts.database).drop(callback_id, kind, visit.actor)
    return visit.go("/attention", visit.say("The acknowledgement is taken back."))


def trouble_key(callback_id: CallbackId, kind: str) -> str:
    """Return the id of a trouble's part of the page."""
    return f"{callback_id}-{kind}"


def _page(visit: Visit, refused: _Refused | None = None) -> Response:
    now = visit.parts.directory.now()
    with visit.parts.database.read() as connection:
        troubles = list_troubles(connection, now)
        expiring = expiring_tokens(connection, now)
    rows = [_row(visit, trouble) for trouble in troubles.listed]
    return visit.render(
        "attention.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK,
        open_rows=[row for row in rows if row.trouble.acknowledged is None],
        acknowledged_rows=[row for row in rows if row.trouble.acknowledged is not None],
        left_out=troubles.left_out,
        shared=troubles.shared,
        expiring=expiring,
        lacking=visit.parts.readiness().lacking,
        dead_letters=int(_number(visit.parts.gauges().get("dead_letters"))),
        names_of=lambda outcomes: ", ".join(failure_words(visit, one) for one in outcomes),
        refused=refused,
        most_counted=MOST_COUNTED,
        max_note=MAX_NOTE,
    )


def _row(visit: Visit, trouble: Trouble) -> _Row:
    kind = trouble.kind
    by_kind = {"status_code": kind} if kind.isdigit() else {"error": kind} if kind else {}
    return _Row(
        trouble,
        failure_words(visit, kind),
        trouble.reason and as_sentence(disabled_reason(visit, trouble.reason)),
        host_of(trouble.url),
        masked_url(trouble.url),
        {"token": trouble.token_id, "type": trouble.type.value, **by_kind},
    )


def failure_words(visit: Visit, kind: str) -> str:
    """Return how deliveries fail, in words."""
    if kind == UNKNOWN_KIND:
        return visit.say("Unknown: the answers are no longer stored")
    if kind.isdigit():
        return visit.say("Answered with status %(status)s", status=kind)
    return labels.outcome(visit, Outcome(kind)) if kind in set(Outcome) else kind


def _asked(visit: Visit) -> tuple[CallbackId, str]:
    """Return the callback and the kind that a form is about."""
    return CallbackId(visit.form.get("callback_id", "")), visit.form.get("kind", "")[:_MAX_KIND]


def _note_fault(visit: Visit, note: str) -> str | None:
    if len(note) > MAX_NOTE:
        return visit.language.plural(
            "A note has at most %(number)s character.",
            "A note has at most %(number)s characters.",
            MAX_NOTE,
        )
    if character := harmful(note.replace("\r", "").replace("\n", " ")):
        return visit.say(
            "This character cannot be stored: %(character)s.", character=named(character)
        )
    return None


def _number(value: object) -> float:
    return value if isinstance(value, float | int) else 0


PAGES: tuple[Page, ...] = (
    shown("/attention", attention),
    changing("/attention/acknowledge", acknowledge),
    changing("/attention/reopen", reopen),
)
