"""`ringback openapi`: print the OpenAPI document, without starting anything."""

import click

import ringback
from api.application import openapi_document
from ringback.cli.commands import Command
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_json


@click.command(cls=Command)
@click.option("--json", is_flag=True, expose_value=False, help="Print JSON, which is the default.")
@click.pass_obj
def command(invocation: Invocation) -> None:
    """Print the OpenAPI document, as `/docs/openapi.json` serves it."""
    print_json(openapi_document(ringback.__version__, invocation.settings.public_url))
