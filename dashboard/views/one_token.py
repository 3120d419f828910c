"""What the views of one token share."""

from dashboard.visit import Visit
from schemas.ids import TokenId
from schemas.tokens.tokens import Token
from web.models.parsing import from_path
from web.models.queries import IdPath


def token_of_page(visit: Visit, token_id: str) -> Token:
    """Return the token whose id the address has. Raises NotFound."""
    return visit.parts.tokens.get(id_of_page(token_id))


def id_of_page(token_id: str) -> TokenId:
    """Return the id that the address has. Raises NotFound where it cannot be one."""
    return TokenId(from_path(IdPath, {"id": token_id}).id)
