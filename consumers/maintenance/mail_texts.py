"""The texts of mail: one mail for everything that a recipient is to know at the time. Pure.

No secret and no payload: a callback is named by its host.
"""

from collections.abc import Sequence

from schemas.mail import Notice, NoticeKind
from schemas.times import UnixMs, to_rfc3339

_FOOT = "You get this mail because {why}."
_ADMIN = "you administer Ringback; your account's page turns it off"
_CONTACT = "you are the contact of this API access token"


def subject(notices: Sequence[Notice]) -> str:
    """Return the subject: the first notice, and how many more there are."""
    first = _headline(notices[0])
    return first if len(notices) == 1 else f"{first}, and {len(notices) - 1} more"


def body(notices: Sequence[Notice], public_url: str, *, to_admin: bool) -> str:
    """Return the text. Only administrators get links: contacts cannot sign in."""
    parts = []
    for notice in notices:
        lines = [_headline(notice) + ".", _details(notice)]
        if to_admin:
            lines.append(_link(notice, public_url))
        parts.append("\n".join(line for line in lines if line))
    parts.append(_FOOT.format(why=_ADMIN if to_admin else _CONTACT))
    return "\n\n".join(parts) + "\n"


def _headline(notice: Notice) -> str:
    what = notice.token_name
    if notice.type is not None:
        what = f"{notice.type.label} of {notice.token_name}"
    return {
        NoticeKind.FAILING: f"{what} has been failing for an hour",
        NoticeKind.DISABLING: f"{what} will be disabled",
        NoticeKind.DISABLED: f"{what} was disabled",
        NoticeKind.RECOVERED: f"{what} works again",
        NoticeKind.GIVEN_UP: f"deliveries to {what} were given up",
        NoticeKind.EXPIRING: f"{what} expires on {_time(notice.since)}",
    }[notice.kind]


def _details(notice: Notice) -> str:
    where = f"Webhooks go to {notice.host}. " if notice.host else ""
    until = _time(notice.until) if notice.until is not None else ""
    return (
        where
        + {
            NoticeKind.FAILING: f"None has arrived since {_time(notice.since)}. What fails is tried"
            " again by itself. Look at the last answers, and ask the people who run the receiver.",
            NoticeKind.DISABLING: f"None has arrived since {_time(notice.since)}. If that goes on, the"
            f" callback is disabled on {until}: then nothing is sent, and deliveries are held.",
            NoticeKind.DISABLED: f"Disabled on {_time(notice.since)}: {notice.reason or 'it failed'}."
            " Deliveries are held until the callback is enabled again.",
            NoticeKind.RECOVERED: "What waited is sent now.",
            NoticeKind.GIVEN_UP: "They are listed with the state exhausted, and can be recovered.",
            NoticeKind.EXPIRING: "From then on it is refused, and its callbacks get nothing. Set a later"
            " date, or agree on a new token.",
        }[notice.kind]
    )


def _link(notice: Notice, public_url: str) -> str:
    token = f"{public_url.rstrip('/')}/tokens/{notice.token_id}"
    if notice.kind is NoticeKind.EXPIRING:
        return token
    if notice.kind is NoticeKind.GIVEN_UP:
        return f"{public_url.rstrip('/')}/deliveries?token={notice.token_id}&state=exhausted"
    return f"{token}/callbacks"


def _time(at: UnixMs) -> str:
    return to_rfc3339(at)[:16].replace("T", " ") + " UTC"
