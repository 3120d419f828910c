"""`ringback user …`: the people who may sign in to the pages. A change is in force in every
process at once.
"""

import sys

import click

from ringback.cli.commands import Group
from ringback.cli.database_access import opened
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_facts, print_json, print_table
from ringback.cli.parameter_types import Parsed, as_json, one_of
from ringback.settings import Settings
from schemas.errors import Invalid
from schemas.passwords import password_fault, password_hash
from schemas.people import Person, Role, read_email, sign_in_address
from schemas.times import to_rfc3339
from schemas.tokens.audit_log import COMMAND_LINE
from store.engine.database import Database
from store.people.links import LINK_VALID_MS, SignInLinks
from store.people.people import People
from store.people.sessions import Sessions

_email = click.argument("email", metavar="EMAIL", type=Parsed("e-mail", read_email))


@click.group(cls=Group)
def command() -> None:
    """Manage the people who may sign in to the pages."""


@command.command()
@_email
@click.option(
    "--role",
    type=one_of(Role),
    default=Role.VIEWER,
    show_default="viewer",
    help="What the person may do: admin changes everything, viewer only sees.",
)
@as_json
@click.pass_obj
def add(invocation: Invocation, email: str, role: Role, as_json: bool) -> None:
    """Add a person, and print a link with which they set their password.

    The link is good once, and for a day.
    """
    with opened(invocation.settings) as database:
        person = People(database).add(email, role, COMMAND_LINE)
        _print_link(invocation.settings, database, person, as_json)


@command.command()
@_email
@as_json
@click.pass_obj
def link(invocation: Invocation, email: str, as_json: bool) -> None:
    """Print another link for a person who lost theirs, or forgot the password."""
    with opened(invocation.settings) as database:
        _print_link(invocation.settings, database, People(database).get(email), as_json)


@command.command("list")
@as_json
@click.pass_obj
def list_(invocation: Invocation, as_json: bool) -> None:
    """List the people who may sign in, by e-mail address."""
    with opened(invocation.settings) as database:
        everyone, now = People(database).all(), database.time()
        shown = [(one, len(Sessions(database).of(one.email, now))) for one in everyone]
    if as_json:
        print_json([_described(person) | {"sessions": sessions} for person, sessions in shown])
    else:
        print_table(
            ["EMAIL", "ROLE", "PASSWORD", "SESSIONS", "ADDED"],
            [_row(person, sessions) for person, sessions in shown],
        )


@command.command("set-password")
@_email
@click.pass_obj
def set_password(invocation: Invocation, email: str) -> None:
    """Set a person's password, and end their sessions.

    It is asked for twice without showing it. If standard input is no terminal, it is the first line
    there.
    """
    with opened(invocation.settings) as database:
        People(database).get(email)  # who is not there is asked for no password
        password = _read_password()
        if fault := password_fault(password):
            raise Invalid(fault)
        People(database).set_password_hash(email, password_hash(password), COMMAND_LINE)
    click.echo(f"{email} has a new password, and is signed out everywhere")


@command.command()
@_email
@click.pass_obj
def remove(invocation: Invocation, email: str) -> None:
    """Remove a person, and end their sessions."""
    with opened(invocation.settings) as database:
        People(database).remove(email, COMMAND_LINE)
    click.echo(f"{email} is removed")


def _read_password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _print_link(settings: Settings, database: Database, person: Person, as_json: bool) -> None:
    secret = SignInLinks(database).create(person.email, LINK_VALID_MS, COMMAND_LINE)
    url = sign_in_address(settings.public_url, secret)
    if as_json:
        print_json(_described(person) | {"link": url})
    else:
        print_facts({"email": person.email, "role": person.role, "link, good once": url})


def _described(person: Person) -> dict[str, object]:
    return {
        "email": person.email,
        "role": person.role,
        "has_password": person.password_hash is not None,
        "created_at": to_rfc3339(person.created_at),
    }


def _row(person: Person, sessions: int) -> list[str | None]:
    return [
        person.email,
        person.role,
        "set" if person.password_hash is not None else "not set",
        str(sessions),
        to_rfc3339(person.created_at),
    ]
