"""The signing secret of a token: shown on request, which is recorded, and replaced."""

from flask import Response

from dashboard.callbacks.signing import USUAL_OVERLAP, also_signs_until
from dashboard.confirming import ask_password
from dashboard.pages import Page, changing
from dashboard.views.tokens.one_token import token_of_page
from dashboard.visit import Visit
from schemas.tokens.tokens import Token
from web.models.bodies import RotateSigningSecret
from web.models.parsing import from_form


def show_signing_secret(visit: Visit, token_id: str) -> Response:
    """Show it once. The operation log says who has seen it."""
    token = token_of_page(visit, token_id)
    reason = visit.say("Show the signing secret of “%(name)s”", name=token.name)
    if asked := ask_password(visit, reason):
        return asked
    secret = visit.parts.tokens.signing_secret(token.id, visit.actor)
    return _page(visit, token, secret)


def rotate_signing_secret(visit: Visit, token_id: str) -> Response:
    """Replace it, and show the new one. The previous one goes on for as long as was chosen."""
    token = token_of_page(visit, token_id)
    chosen = from_form(RotateSigningSecret, {"overlap": visit.form.get("overlap", USUAL_OVERLAP)})
    reason = visit.say("Replace the signing secret of “%(name)s”", name=token.name)
    if asked := ask_password(visit, reason):
        return asked
    tokens, now = visit.parts.tokens, visit.parts.database.time()
    secret = tokens.rotate_signing_secret(token.id, chosen.overlap, now, visit.actor)
    return _page(visit, tokens.get(token.id), secret, is_new=True)


def _page(visit: Visit, token: Token, secret: str, *, is_new: bool = False) -> Response:
    return visit.render(
        "signing_secret.html",
        token=token,
        secret=secret,
        is_new=is_new,
        also_until=also_signs_until(token, visit.now),
    )


PAGES: tuple[Page, ...] = (
    changing("/tokens/<token_id>/signing-secret", show_signing_secret),
    changing("/tokens/<token_id>/signing-secret/rotate", rotate_signing_secret),
)
