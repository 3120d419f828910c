"""Arguments that a slip leaves empty, or doubles. Every option and argument is tried, by click's
own list of them: one that is added is covered.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

from ringback.cli import main
from ringback.cli.parameter_types import TEXT

SAMPLES = {
    "event_type": "message.received",
    "file": "all.xlsx",
    "number": "1",
    "since": "2026-12-01T00:00:00Z",
}


class Case(NamedTuple):
    """A call in which one argument is empty, and its name in the error text."""

    arguments: list[str]
    expected: str


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if found := command.get_command(context, name):
                yield from commands(found, (*path, name))


def cases(slip: str = "", kind: click.ParamType | None = None) -> Iterator[Case]:
    """One for each option and argument, of that kind if one is given,
    with the slip as its value.
    """
    for path, command in commands(main):
        takers = [
            one
            for one in command.params
            if not (isinstance(one, click.Option) and (one.is_flag or not one.expose_value))
        ]
        for wrong in takers:
            if kind is not None and wrong.type is not kind:
                continue
            arguments = [*path]
            for one in takers:
                if one is wrong or one.required:
                    value = slip if one is wrong else SAMPLES.get(one.name or "", "x")
                    arguments += [one.opts[0], value] if isinstance(one, click.Option) else [value]
            if not path:  # options of the program itself stand before a subcommand
                arguments += ["token", "list"]
            yield Case(
                arguments,
                wrong.opts[0]
                if isinstance(wrong, click.Option)
                else wrong.make_metavar(click.Context(command)),
            )


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: " ".join(case.arguments))
def test_an_empty_argument_is_wrong_use(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--token "$TOKEN"` with a variable that is not set would send again to every token."""
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(main, case.arguments)

    assert done.exit_code == 2, done.output
    assert case.expected.strip("[].") in done.output
    assert list(tmp_path.iterdir()) == []


def test_all_of_these_are_found() -> None:
    """A change of click's lists must not leave the test above without cases."""
    found = [" ".join(case.arguments) for case in cases()]

    assert "deliveries recover --since 2026-12-01T00:00:00Z --token " in found
    assert len(list(cases("x", TEXT))) > 10
    assert {
        "token revoke ",
        "token create x --channel ",
        "emit message.received --url ",
        "--env-file  token list",
    } <= set(found)


@pytest.mark.parametrize(
    "case", list(cases("x\udcff", TEXT)), ids=lambda case: ascii(" ".join(case.arguments))
)
def test_bytes_that_are_no_text_are_wrong_use(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They reached the database's driver, and what it said of codecs and surrogates was no help."""
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(main, case.arguments, env={"RINGBACK_TOKEN": "rbk_x"})

    assert done.exit_code == 2, done.output
    assert case.expected.strip("[].") in done.output
    assert "this is not UTF-8" in done.output


def test_a_signing_secret_of_other_characters_is_reported_like_any_other_bad_one() -> None:
    """What was said were Python's words."""
    done = CliRunner().invoke(main, ["listen", "--secret", "whsec_é"])

    assert (done.exit_code, "a signing secret is whsec_ followed by base64" in done.output) == (
        2,
        True,
    ), done.output


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "arguments", [["emit", "message.received", "--rate"], ["listen", "--fail-ratio"]]
)
def test_what_is_no_number_is_within_no_bounds(arguments: list[str], number: str) -> None:
    """`nan` is neither below nor above anything, and was taken."""
    done = CliRunner().invoke(main, [*arguments, number])

    assert (done.exit_code, arguments[-1] in done.output) == (2, True), done.output


def doubled() -> Iterator[Case]:
    for path, command in commands(main):
        once = [
            one
            for one in command.params
            if isinstance(one, click.Option) and not one.multiple and one.expose_value
        ]
        for option in once:
            name = option.opts[0]
            given = [name] if option.is_flag else [name, "1"]
            yield Case([*path, *given, *given, *(() if path else ("token", "list"))], name)


@pytest.mark.parametrize("case", list(doubled()), ids=lambda case: " ".join(case.arguments))
def test_an_option_that_is_given_twice_is_wrong_use(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--token A --token B` would send again to B alone, and `--count 1 --count 3` send three: the
    last counted, without a word.
    """
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(main, case.arguments)

    assert done.exit_code == 2, done.output
    assert f"'{case.expected}'" in done.output
    assert "given more than once" in done.output
    assert list(tmp_path.iterdir()) == []


def test_all_doubles_are_found() -> None:
    """A change of click's lists must not leave the test above without cases."""
    found = [" ".join(case.arguments) for case in doubled()]

    assert {
        "deliveries list --state 1 --state 1",
        "token list --json --json",
        "--env-file 1 --env-file 1 token list",
    } <= set(found)
    assert len(found) > 30


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help", "--help"],
        ["--version", "--version"],
        ["token", "list", "--json", "--json", "--help"],
    ],
)
def test_who_asks_for_help_is_given_it(arguments: list[str]) -> None:
    """However often."""
    assert CliRunner().invoke(main, arguments).exit_code == 0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({"RINGBACK_TOKEN": ""}, "RINGBACK_TOKEN is empty"), ({}, "RINGBACK_TOKEN is not set")],
)
def test_an_empty_token_is_not_replaced_by_another(
    environment: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sets it means that one, and not what lies in a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RINGBACK_TOKEN", raising=False)
    if environment:
        (tmp_path / "ringback.env").write_text("RINGBACK_TOKEN=rbk_of_somebody_else\n")

    done = CliRunner().invoke(main, ["emit", "message.received"], env=environment)

    assert (done.exit_code, expected in done.output) == (2, True), done.output
