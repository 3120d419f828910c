"""The arguments of `ringback emit`: a token or a URL that cannot go into a request is wrong use,
and the error text does not repeat it.
"""

import pytest
from click.testing import CliRunner, Result

from ringback.cli import main
from ringback.cli.emit_client import EmitTarget, read_url

pytestmark = pytest.mark.usefixtures("bare_place")


def emitted(token: str, url: str = "http://127.0.0.1:1") -> Result:
    return CliRunner().invoke(
        main, ["emit", "message.received", "--url", url], env={"RINGBACK_TOKEN": token}
    )


@pytest.mark.parametrize(
    "token",
    [
        "„rbk_s3cret“",
        "rbk_s3\ncret",
        "rbk s3cret",
        "rbk_s3cret\x7f",
        "rbk_s3cret\udcff",
        "rbk_s3cret\u00a0x",
    ],
)
def test_a_token_that_no_header_may_hold_is_refused_without_showing_it(token: str) -> None:
    """It came with a traceback, and the traceback with the token:
    into the log of whatever ran it.
    """
    done = emitted(token)

    assert done.exit_code == 2, done.output
    assert done.output.count("\n") == 1
    assert "RINGBACK_TOKEN contains" in done.output
    assert "s3" not in done.output


@pytest.mark.parametrize("token", ["rbk_s3cret\n", " rbk_s3cret\r\n"])
def test_a_line_s_end_around_a_token_is_no_part_of_it(token: str) -> None:
    """A Secret that was made with `echo … | base64` ends in one."""
    done = emitted(token)

    assert (done.exit_code, "no answer from 127.0.0.1:1" in done.output) == (1, True), done.output


@pytest.mark.parametrize(
    "url",
    [
        "http://h/s3cret-ä", "http://s3cret-ä/", "http://s3cret b/", "http://h/s3cret b",
        "http://h/\ts3cret", "http://h/s3cret?a",
        "http://h/#s3cret", "http://u:s3cret@h/", "ftp://u:s3cret@h/", "http://u:s3cret/w@h/",
        "http://u:1/s3cret@h/", "http://h:s3cret/",
        "http://h:99999/s3cret", "http://[s3cret/", "http://s3cret..h/",
        f"http://s3cret{'x' * 64}/", "s3cret", "http:///s3cret", "//s3cret",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_asked_is_wrong_use(url: str) -> None:
    """Some ended in a traceback, some were taken for another URL. None is repeated: there may be a
    password in it.
    """
    done = emitted("rbk_x", url)

    assert done.exit_code == 2, done.output
    assert "--url" in done.output
    assert "s3cret" not in done.output


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8080", EmitTarget(False, "127.0.0.1", 8080, "")),
        (
            " https://ringback.example.com/api/\n",
            EmitTarget(True, "ringback.example.com", None, "/api"),
        ),
        ("http://[::1]:80/", EmitTarget(False, "::1", 80, "")),
        ("http://xn--hf-uia.example/%20", EmitTarget(False, "xn--hf-uia.example", None, "/%20")),
    ],
)
def test_others_are_taken_apart(url: str, address: EmitTarget) -> None:
    """With a path too: a gateway may serve the API under one."""
    assert read_url(url) == address
