"""What `ringback token create` is given."""

import pytest
from click.testing import CliRunner

from ringback.cli import main

pytestmark = pytest.mark.usefixtures("bare_place")


@pytest.mark.parametrize(
    "callback",
    [
        "message.received:https://u:s3cret@h/",
        "cat.meowed=https://u:s3cret@h/",
        "message.received=https://u:s3cret@crm.example.com/",
    ],
)
def test_a_callback_that_is_refused_is_not_repeated(callback: str) -> None:
    """For many services path and query of a URL are the key, and some people write user and
    password.
    """
    done = CliRunner().invoke(main, ["token", "create", "x", "--callback", callback])

    assert (done.exit_code, "--callback" in done.output) == (2, True), done.output
    assert "s3cret" not in done.output


def test_two_urls_for_one_type_are_wrong_use() -> None:
    """The last of them counted, and no one called the other system."""
    callbacks = [
        "--callback",
        "message.received=https://one.example.com/",
        "--callback",
        "message.received=https://two.example.com/",
    ]

    done = CliRunner().invoke(main, ["token", "create", "x", *callbacks])

    assert (done.exit_code, "--callback" in done.output) == (2, True), done.output
    assert "message.received is given more than once" in done.output
