"""Who gets mail about everything."""

import sqlalchemy as sa

from schemas.people import Role
from store.engine.database import Connection
from store.tables import people


def administrators(connection: Connection) -> list[str]:
    """Return the addresses of the administrators who want mail."""
    wanting = sa.and_(people.c.role == Role.ADMIN.value, people.c.wants_mail)
    return list(
        connection.scalars(sa.select(people.c.email).where(wanting).order_by(people.c.email))
    )
