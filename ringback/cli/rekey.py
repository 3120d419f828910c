"""`ringback rekey`: encrypt what is encrypted in the database again, with the last of the secret
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
"""Tokens that an error names; --json has them all. More: a line too long to read. Fewer: --json is
needed more often.
"""


@click.command(cls=Command)
@as_json
@click.pass_obj
def command(invocation: Invocation, as_json: bool) -> None:
    """Encrypt all signing secrets and callback headers again, with the last of several
    RINGBACK_SECRET_KEYs.

    Afterwards the older keys can be removed. It may run while other processes run. If it is
    interrupted, run it again.
    """
    tally = Tally()
    with opened(invocation.settings) as database:
        total = rekey.count(database)
        with progress("re-encrypting", total) as bar:
            for tally in rekey.rekey(database, vault(invocation.settings)):
                bar.show(tally.checked, total)
    unreadable = sorted(tally.unreadable)
    if as_json:
        print_json(
            {
                "re_encrypted": tally.re_encrypted,
                "right_already": tally.right_already,
                "unreadable": unreadable,
            }
        )
    else:
        print_facts(
            {"re-encrypted": str(tally.re_encrypted), "right already": str(tally.right_already)}
        )
    if unreadable:
        named = ", ".join(unreadable[:_NAMED]) + (
            f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        )
        raise RingbackError(
            f"the secrets of {named} cannot be read: put the key that encrypted them into "
            "RINGBACK_SECRET_KEY, before the newer keys, or revoke them; then run this again "
            "before a key is removed"
        )
