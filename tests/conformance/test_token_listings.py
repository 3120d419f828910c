"""Lists of tokens: paged, by state, searched, the same on SQLite and PostgreSQL."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.events.types import EventType
from schemas.folding import folded
from schemas.times import EARLIEST, LATEST, UnixMs
from schemas.tokens.tokens import Token, TokenState
from store.engine.database import Database
from store.engine.paging import cursor_of
from store.tokens.listing import TokenFilter, TokenPage, TokenSort, list_tokens, page_of_tokens
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.tables import lay_tables
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
HOUR = dt.timedelta(hours=1)
VAULT = Vault(["a-key-for-tests-" * 2])


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


def _key_by(sort: TokenSort) -> Callable[[Token], tuple[object, str]]:
    """A token that never expires does so last; one that was never used was used first."""
    name = sort.removeprefix("-")
    absent = LATEST if name == TokenSort.EXPIRES else EARLIEST

    def key(token: Token) -> tuple[object, str]:
        value = getattr(token, name)
        return (absent if value is None else value), token.id

    return key


@pytest.mark.parametrize("sort", TokenSort)
def test_pages_of_tokens_lead_forth_and_back(
    tokens: Tokens, database: Database, sort: TokenSort
) -> None:
    """The way back is the way there, whatever the order."""
    for number in range(7):
        ends = UnixMs(NOW + number % 2) if number % 3 else None
        fields = replace(token_fields(f"name {number % 3}"), expires_at=ends)
        tokens.create(fields, {}, UnixMs(NOW + number % 2), TESTER)

    def page(cursor: str | None = None, before: str | None = None) -> TokenPage:
        with database.read() as connection:
            return page_of_tokens(
                connection, VAULT, TokenFilter(sort=sort), NOW, 3, cursor, before=before
            )

    first = page()
    second = page(first.next_cursor)
    third = page(second.next_cursor)

    assert [len(one.rows) for one in (first, second, third)] == [3, 3, 1]
    assert (first.previous_cursor, third.next_cursor) == (None, None)
    assert page(before=third.previous_cursor) == second
    again = page(before=second.previous_cursor)
    assert (again.rows, again.previous_cursor) == (first.rows, None)
    assert page(again.next_cursor) == second


def test_a_page_whose_tokens_are_gone_has_no_neighbours(tokens: Tokens, database: Database) -> None:
    """Its address may be old."""
    tokens.create(token_fields(), {}, NOW, TESTER)
    with database.read() as connection:
        cursor = page_of_tokens(connection, VAULT, TokenFilter(), NOW, 1).next_cursor
        far = cursor_of(("zzz", "zzz"))
        page = page_of_tokens(connection, VAULT, TokenFilter(), NOW, 1, far)

    assert cursor is None
    assert page == TokenPage([], None, None)


@pytest.mark.parametrize("sort", TokenSort)
def test_pages_of_tokens_hold_of_tokens_hold_each_token_once_in_order(
    tokens: Tokens, database: Database, sort: TokenSort
) -> None:
    """This holds where names and times are the same, and where there is no time."""
    for number in range(7):
        ends = UnixMs(NOW + number % 2) if number % 3 else None
        fields = replace(token_fields(f"name {number % 3}"), expires_at=ends)
        tokens.create(fields, {}, UnixMs(NOW + number % 2), TESTER)
    listed, cursor = [], None

    while True:
        with database.read() as connection:
            page = list_tokens(connection, VAULT, TokenFilter(sort=sort), NOW, 3, cursor)
        listed += page.rows
        if (cursor := page.next_cursor) is None:
            break

    assert listed == sorted(listed, key=_key_by(sort), reverse=sort.is_descending)
    assert len({token.id for token in listed}) == 7


def test_tokens_are_found_by_state_as_the_token_itself_says_it(
    tokens: Tokens, database: Database
) -> None:
    """The condition in SQL and the rule in Python are one rule. Revoked ones are shown only when
    asked for.
    """
    fields = token_fields()
    kinds = [
        fields,
        replace(fields, enabled=False),
        replace(fields, activates_at=UnixMs(NOW + 1)),
        replace(fields, expires_at=NOW),
    ]
    made = [
        tokens.create(one, {}, NOW, TESTER).token.id
        for one in [*kinds, replace(fields, enabled=False, expires_at=NOW), fields]
    ]
    tokens.revoke(made[-1], NOW, TESTER)

    for state in TokenState:
        with database.read() as connection:
            listed = list_tokens(connection, VAULT, TokenFilter(state=state), NOW, 10).rows
        assert {token.id for token in listed} == {
            token_id for token_id in made if tokens.get(token_id).state(NOW) is state
        }

    with database.read() as connection:
        assert made[-1] not in {
            token.id for token in list_tokens(connection, VAULT, TokenFilter(), NOW, 10).rows
        }


@pytest.mark.parametrize(
    ("text", "names"), [("CRM", {"Acme crm"}), ("100%", {"100%"}), ("_", set())]
)
def test_tokens_are_searched_by_part_of_their_name(
    tokens: Tokens, database: Database, text: str, names: set[str]
) -> None:
    """Whatever its case; signs that SQL gives a meaning have none."""
    for name in ("Acme crm", "100%", "other"):
        tokens.create(token_fields(name), {}, NOW, TESTER)

    with database.read() as connection:
        found = list_tokens(connection, VAULT, TokenFilter(search=text), NOW, 10).rows

    assert {token.name for token in found} == names


NAMES = (
    "zeta",
    "Alpha",
    "ÄRGER AG",
    "alpha-2",
    "MÜLLER GmbH",
    "Iş\u0131k",
    "Straße 1",
    "Ωmega",
    "müller & Söhne",
    "alpha 1",
)
LOCALES = {
    "C": "",
    "en-US": "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
    "tr-TR": "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'",
}


@pytest.fixture(params=["sqlite", *LOCALES])
def somewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database that compares texts in a way of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/ringback.db"
    else:
        url = request.getfixturevalue("postgres").fresh_database(LOCALES[request.param])
    made = Database(url)
    lay_tables(made)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("müller", {"MÜLLER GmbH", "müller & Söhne"}),
        ("MÜLLER", {"MÜLLER GmbH", "müller & Söhne"}),
        ("ärger", {"ÄRGER AG"}),
        ("IŞIK", {"Iş\u0131k"}),
        ("işik", {"Iş\u0131k"}),
        ("STRASSE", {"Straße 1"}),
        ("ω", {"Ωmega"}),
        ("ZETA", {"zeta"}),
    ],
)
def test_letters_have_two_cases_everywhere(somewhere: Database, text: str, names: set[str]) -> None:
    """SQLite knows those of ASCII alone, and PostgreSQL those of its locale: a name must be found
    on each.
    """
    tokens = Tokens(somewhere, VAULT)
    for name in NAMES:
        tokens.create(token_fields(name), {}, NOW, TESTER)

    with somewhere.read() as connection:
        found = list_tokens(connection, VAULT, TokenFilter(search=text), NOW, 10).rows

    assert {token.name for token in found} == names


def test_names_are_sorted_alike_everywhere(somewhere: Database) -> None:
    """By letters without case, page by page; equal ones by what is unique."""
    tokens = Tokens(somewhere, VAULT)
    for name in (*NAMES, "ALPHA", "zeta"):
        tokens.create(token_fields(name), {}, NOW, TESTER)
    listed, cursor = [], None

    while True:
        with somewhere.read() as connection:
            page = list_tokens(connection, VAULT, TokenFilter(), NOW, 3, cursor)
        listed += [token.name for token in page.rows]
        if (cursor := page.next_cursor) is None:
            break

    assert listed == sorted(listed, key=folded)
    assert sorted(listed) == sorted([*NAMES, "ALPHA", "zeta"])


def test_a_token_is_found_by_its_new_name(tokens: Tokens, database: Database) -> None:
    """It is not found by the one before."""
    token_id = tokens.create(token_fields("MÜLLER"), {}, NOW, TESTER).token.id
    tokens.change(token_id, lambda fields: replace(fields, name="ÄRGER"), TESTER)

    with database.read() as connection:
        found = [
            len(list_tokens(connection, VAULT, TokenFilter(search=text), NOW, 10).rows)
            for text in ("müller", "ärger")
        ]

    assert found == [0, 1]
