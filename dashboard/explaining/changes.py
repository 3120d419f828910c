"""One row of a token's operation log in sentences: who did what, field by field."""

from collections.abc import Callable

from dashboard import labels
from dashboard.explaining import changed_callbacks, changed_tokens
from dashboard.explaining.reader import Reader
from dashboard.explaining.sentence import disabled_reason
from dashboard.explaining.values import moment, shown
from schemas.tokens.audit_log import COMMAND_LINE, RINGBACK, Action, Change


def change_sentences(to: Reader, change: Change) -> list[str]:
    """Return what was done, as at least one sentence. Holds no secret: neither does the log, and
    the queries of addresses are hidden.
    """
    by = author(to, change)
    return list(_SENTENCES[change.action](to, by, change))


def author(to: Reader, change: Change) -> str:
    """Return who made a change, as the subject of a sentence."""
    actor, say = change.actor, to.say
    if actor.email is not None:
        return shown(actor.email)
    if actor.by == COMMAND_LINE.by:
        return say("Someone at the command line")
    if actor.by == RINGBACK.by:
        return say("Ringback")
    if change.by_name is not None:
        return say("The token “%(name)s”", name=shown(change.by_name))
    return shown(actor.by)


def _suspended(to: Reader, by: str, _: Change) -> list[str]:
    return [to.say("%(by)s suspended this token.", by=by)]


def _resumed(to: Reader, by: str, _: Change) -> list[str]:
    return [to.say("%(by)s resumed this token.", by=by)]


def _revoked(to: Reader, by: str, _: Change) -> list[str]:
    return [to.say("%(by)s revoked this token for good.", by=by)]


def _regenerated(to: Reader, by: str, change: Change) -> list[str]:
    _, hint = change.details.get("token_hint", (None, None))
    said = (
        to.say("%(by)s replaced the token by a new one: %(hint)s.", by=by, hint=shown(hint))
        if hint
        else to.say("%(by)s replaced the token by a new one.", by=by)
    )
    return [said, *_overlap(to, change)]


def _rotated(to: Reader, by: str, change: Change) -> list[str]:
    return [to.say("%(by)s replaced the signing secret.", by=by), *_overlap(to, change)]


def _looked_at(to: Reader, by: str, _: Change) -> list[str]:
    return [to.say("%(by)s looked at the signing secret.", by=by)]


def _overlap(to: Reader, change: Change) -> list[str]:
    _, until = change.details.get("previous_until", (None, None))
    if until is None:
        return [to.say("The previous one was valid no longer.")]
    return [to.say("The previous one stayed valid until %(at)s.", at=moment(to, until))]


def _disabled(to: Reader, by: str, change: Change) -> list[str]:
    _, reason = change.details.get("disabled_reason", (None, None))
    return [
        to.say(
            "%(by)s disabled the callback for %(type)s: %(reason)s.",
            by=by,
            type=_type(to, change),
            reason=disabled_reason(to, reason if isinstance(reason, str) else None),
        )
    ]


def _deleted(to: Reader, by: str, change: Change) -> list[str]:
    return [changed_callbacks.deleted(to, by, _type(to, change), change.details)]


def _acknowledged(to: Reader, by: str, change: Change) -> list[str]:
    _, kind = change.details.get("failure", (None, None))
    _, note = change.details.get("note", (None, None))
    if kind is None:
        return [
            to.say(
                "%(by)s took back the acknowledgement that the callback for %(type)s fails.",
                by=by,
                type=_type(to, change),
            )
        ]
    said = to.say(
        "%(by)s acknowledged that the callback for %(type)s fails.",
        by=by,
        type=_type(to, change),
    )
    return [said, to.say("The note: “%(note)s”", note=shown(note))] if note else [said]


def _link_made(to: Reader, by: str, change: Change) -> list[str]:
    _, until = change.details.get("valid_until", (None, None))
    if until is None:
        return [to.say("%(by)s made a link to the supplier's page.", by=by)]
    return [
        to.say(
            "%(by)s made a link to the supplier's page, valid until %(at)s.",
            by=by,
            at=moment(to, until),
        )
    ]


def _links_ended(to: Reader, by: str, _: Change) -> list[str]:
    return [to.say("%(by)s ended all links to the supplier's page.", by=by)]


def _set(to: Reader, by: str, change: Change) -> list[str]:
    return changed_callbacks.sentences(to, by, _type(to, change), change.details)


def _created(to: Reader, by: str, change: Change) -> list[str]:
    return changed_tokens.created(to, by, change.details)


def _changed(to: Reader, by: str, change: Change) -> list[str]:
    return changed_tokens.sentences(to, by, change.details)


def _type(to: Reader, change: Change) -> str:
    return labels.event_type(to, change.type) if change.type else ""


_SENTENCES: dict[Action, Callable[[Reader, str, Change], list[str]]] = {
    Action.CREATED: _created,
    Action.CHANGED: _changed,
    Action.SUSPENDED: _suspended,
    Action.RESUMED: _resumed,
    Action.REGENERATED: _regenerated,
    Action.REVOKED: _revoked,
    Action.SIGNING_SECRET_ROTATED: _rotated,
    Action.SIGNING_SECRET_SHOWN: _looked_at,
    Action.CALLBACK_SET: _set,
    Action.CALLBACK_DISABLED: _disabled,
    Action.CALLBACK_DELETED: _deleted,
    Action.FAILURE_ACKNOWLEDGED: _acknowledged,
    Action.SUPPLIER_LINK_MADE: _link_made,
    Action.SUPPLIER_LINKS_ENDED: _links_ended,
}
