"""What the views of one token share: finding it, and saving it without undoing what another person
saved meanwhile.
"""

from collections.abc import Callable

from dashboard.tokens.days import suggested_ends, zone_names
from dashboard.visit import Visit
from schemas.ids import TokenId
from schemas.tokens.editions import edition
from schemas.tokens.fields import TokenFields
from schemas.tokens.tokens import Token
from store.tokens.rows import ChangedMeanwhile
from web.models.parsing import from_path
from web.models.queries import IdPath

EDITION = "edition"
"""The hidden field with the edition of the token that a form was made of."""


def token_of_page(visit: Visit, token_id: str) -> Token:
    """Return the token whose id the address has. Raises NotFound."""
    return visit.parts.tokens.get(id_of_page(token_id))


def id_of_page(token_id: str) -> TokenId:
    """Return the id that the address has. Raises NotFound where it cannot be one."""
    return TokenId(from_path(IdPath, {"id": token_id}).id)


def day_choices(visit: Visit) -> dict[str, object]:
    """Return what the fields for days offer: last days, zones, and how long a token may live."""
    longest = visit.parts.max_life
    return {
        "ends": suggested_ends(visit.now, visit.zone),
        "zones": zone_names(),
        "longest": visit.language.span(longest.total_seconds()) if longest else "",
    }


def save(
    visit: Visit,
    token_id: str,
    edit: Callable[[TokenFields], TokenFields],
    is_as_shown: Callable[[Token], bool],
) -> Token:
    """Change the token to what `edit` returns, if it still is as the form showed it.

    What other forms changed meanwhile does not matter: `is_as_shown` compares what this one is
    about. Raises ChangedMeanwhile, Invalid, NotFound, and Conflict for a revoked token.
    """
    tokens, found_id = visit.parts.tokens, id_of_page(token_id)
    try:
        return tokens.change(found_id, edit, visit.actor, {visit.form.get(EDITION, "")})
    except ChangedMeanwhile as changed:
        if not is_as_shown(changed.current):
            raise
        return tokens.change(found_id, edit, visit.actor, {edition(changed.current)})
