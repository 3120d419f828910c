"""`ringback rekey`: what is encrypted in the database, encrypted anew with the last of the secret
keys.
"""

import click

from ringback.cli.commands import Command
from ringback.cli.database_access import opened, vault
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_facts, print_json
from ringback.cli.parameter_types import as_json
from ringback.cli.progress import progress
from schemas.errors import RingbackError
from store.maintenance import rekey
from store.maintenance.rekey import Tally

_NAMED = 20
"""Tokens that an error names. More: a line that nobody reads; --json has them all."""


@click.command(cls=Command)
@as_json
@click.pass_obj
def command(invocation: Invocation, as_json: bool) -> None:
    """Encrypt all signing secrets and callback headers anew, with the last of several
    RINGBACK_SECRET_KEYs.

    Afterwards the older keys can be dropped. Safe beside running processes; when it is interrupted,
    start it again.
    """
    found = Tally()
    with opened(invocation.settings) as database:
        total = rekey.count(database)
        with progress("re-encrypting", total) as bar:
            for found in rekey.rekey(database, vault(invocation.settings)):
                bar.show(found.looked_at, total)
    unreadable = sorted(found.unreadable)
    if as_json:
        print_json(
            {
                "re_encrypted": found.re_encrypted,
                "right_already": found.right_already,
                "unreadable": unreadable,
            }
        )
    else:
        print_facts(
            {"re-encrypted": str(found.re_encrypted), "right already": str(found.right_already)}
        )
    if unreadable:
        named = ", ".join(unreadable[:_NAMED]) + (
            f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        )
        raise RingbackError(
            f"the secrets of {named} cannot be read: give RINGBACK_SECRET_KEY the key that encrypted them, before the newer ones, or"
            " revoke them; then run this again before a key is dropped"
        )
