"""Links to the page that a token's supplier sees: made, shown once, and ended."""

from flask import Response

from dashboard.http import supplier_links
from dashboard.pages import Page, changing, shown
from dashboard.views.supplier.entry import LINK
from dashboard.views.tokens.one_token import id_of_page, token_of_page
from dashboard.visit import Visit
from schemas.errors import Invalid
from schemas.times import UnixMs, parse_duration
from schemas.tokens.supplier_links import OPEN_STATES
from schemas.tokens.tokens import Token
from store.tokens.supplier_links import made_links

LIVES = ("1d", "7d", "30d", "90d")
"""How long a link may last, to choose from. Longer: one that reached the wrong people shows more."""

USUAL_LIFE = "30d"


def token_supplier(visit: Visit, token_id: str) -> Response:
    """The page: a form, and the links that were made."""
    token = token_of_page(visit, token_id)
    with visit.parts.database.read() as connection:
        made = made_links(connection, token.id, visit.now)
    return visit.render(
        "token_supplier.html",
        token=token,
        state=token.state(visit.now),
        may_make=visit.is_admin and token.state(visit.now) in OPEN_STATES,
        lives=_lives(visit, token),
        usual_life=USUAL_LIFE,
        made=made,
    )


def make_supplier_link(visit: Visit, token_id: str) -> Response:
    """Make a link. The answer shows it, once: it has no address of its own, and is not stored."""
    life = visit.form.get("life", USUAL_LIFE)
    if life not in LIVES:
        raise Invalid(f"a link lasts one of {', '.join(LIVES)}")
    parts = visit.parts
    link = parts.supplier_links.make(id_of_page(token_id), parse_duration(life), visit.actor)
    code = supplier_links.signed(link, parts.cookie_keys)
    return visit.render(
        "supplier_link.html",
        token=token_of_page(visit, token_id),
        address=f"{parts.public_url}{LINK}?code={code}",
        until=link.until,
    )


def end_supplier_links(visit: Visit, token_id: str) -> Response:
    """End all links that were made so far."""
    visit.parts.supplier_links.end_all(id_of_page(token_id), visit.actor)
    notice = visit.say("All links to the supplier's page are ended.")
    return visit.go(f"/tokens/{token_id}/supplier", notice)


def _lives(visit: Visit, token: Token) -> dict[str, str]:
    """Return the choices: those within the life of the token, and all of that."""
    say = visit.say
    words = {"1d": say("1 day"), "7d": say("7 days"), "30d": say("30 days"), "90d": say("90 days")}
    choices: dict[str, str] = {}
    for life in LIVES:
        end = UnixMs(visit.now + round(parse_duration(life).total_seconds() * 1000))
        if token.expires_at is not None and end >= token.expires_at:
            return choices | {life: say("until the token ends")}
        choices[life] = words[life]
    return choices


PAGES: tuple[Page, ...] = (
    shown("/tokens/<token_id>/supplier", token_supplier),
    changing("/tokens/<token_id>/supplier", make_supplier_link),
    changing("/tokens/<token_id>/supplier/end", end_supplier_links),
)
