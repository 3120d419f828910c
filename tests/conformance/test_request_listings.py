"""The request log's lists, on both databases: right by every filter, whole when they are read to
the end, and never long on the way.
"""

from collections.abc import Sequence

import pytest

from schemas.errors import Invalid
from schemas.ids import TokenId, new_request_id
from schemas.observer import NullObserver
from schemas.request_log import Completion, LoggedRequest, RequestFilter, logged_request
from schemas.times import UnixMs
from store.engine import paging
from store.engine.database import Database
from store.request_log import listing as request_listing
from store.request_log.listing import every_request, last_use_addresses, list_requests
from store.request_log.writer import RequestLog
from store.tokens.listing import known_tokens
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.plans import plans
from tests.kit.requests import a_request
from tests.kit.tokens import TESTER, token_fields

TOKEN = TokenId("tok_1")
ALL = RequestFilter()


def write(database: Database, *entries: LoggedRequest | Completion) -> None:
    log = RequestLog(database, pytest.fail, NullObserver())
    for entry in entries:
        log.add(entry)
    log.flush()


def pages(
    database: Database, chosen: RequestFilter = ALL, limit: int = 3
) -> list[list[LoggedRequest]]:
    """To the end."""
    read: list[list[LoggedRequest]] = []
    cursor = None
    while True:
        with database.read() as connection:
            page = list_requests(connection, TOKEN, chosen, limit, cursor)
        read.append(page.rows)
        if (cursor := page.next_cursor) is None:
            return read


def times(requests: Sequence[LoggedRequest]) -> list[int]:
    return [request.at for request in requests]


def test_a_row_is_read_as_it_was_written(database: Database) -> None:
    """Every field of it."""
    one = a_request(status=403, allowed=False, reason="permission-missing")
    write(database, one)

    assert pages(database) == [[one]]


def test_pages_hold_every_request_once_newest_first(database: Database) -> None:
    """This holds where many were made in the same millisecond; not those of others, nor what was
    only reported yet.
    """
    made = [a_request(at=number // 4) for number in range(10)]
    write(
        database,
        *made,
        a_request(token_id="tok_2"),
        Completion(new_request_id(), UnixMs(5), 200, 1),
    )

    read = pages(database)

    assert [len(page) for page in read] == [3, 3, 3, 1]
    assert [row for page in read for row in page] == sorted(
        made, key=lambda one: (one.at, one.id), reverse=True
    )


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (RequestFilter(since=UnixMs(2)), [4, 3, 2]),
        (RequestFilter(until=UnixMs(2)), [1]),
        (RequestFilter(status=404), [3]),
        (RequestFilter(method="post"), [2]),
        (RequestFilter(path="/v1/m"), [4, 1]),
        (RequestFilter(path="/V1/M"), []),
        (RequestFilter(path="/v1/%"), [3]),
        (RequestFilter(allowed=False), [4]),
        (RequestFilter(allowed=True, method="GET", since=UnixMs(2)), [3]),
    ],
)
def test_a_filter_shows_what_it_says(
    database: Database, chosen: RequestFilter, found: list[int]
) -> None:
    """Both databases agree, whatever they think of case and of wildcards."""
    write(
        database,
        a_request(at=1, path="/v1/me"),
        a_request(at=2, path="/v1/events", method="POST"),
        a_request(at=3, path="/v1/%", status=404),
        a_request(at=4, path="/v1/me/events", status=401, allowed=False, reason="expired"),
    )

    assert times(pages(database, chosen)[0]) == found


def test_a_page_that_finds_little_says_where_to_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads so many rows and no more. A client that goes on to the end misses nothing and sees
    nothing twice.
    """
    monkeypatch.setattr(paging, "SCAN_ROWS", 5)
    write(
        database,
        *(
            a_request(at=number, status=500 if number in {0, 1, 12} else 200)
            for number in range(20)
        ),
    )

    read = pages(database, RequestFilter(status=500))

    assert [times(page) for page in read] == [[], [12], [], [1, 0], []]


def test_a_page_that_is_full_goes_on_after_its_last_row(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go back further."""
    monkeypatch.setattr(paging, "SCAN_ROWS", 8)
    write(database, *(a_request(at=number) for number in range(10)))

    read = pages(database, RequestFilter(status=200))

    assert [times(page) for page in read] == [[9, 8, 7], [6, 5, 4], [3, 2, 1], [0]]


def test_requests_that_come_while_one_reads_move_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy token's log grows at its top all the time."""
    monkeypatch.setattr(paging, "SCAN_ROWS", 4)
    write(
        database,
        *(a_request(at=number, status=500) for number in range(0, 10, 5)),
        *(a_request(at=number) for number in range(10)),
    )
    chosen = RequestFilter(status=500)
    with database.read() as connection:
        first = list_requests(connection, TOKEN, chosen, 3)
    write(database, *(a_request(at=number, status=500) for number in range(20, 30)))

    with database.read() as connection:
        second = list_requests(connection, TOKEN, chosen, 3, first.next_cursor)

    assert (times(first.rows), times(second.rows)) == ([], [5])


@pytest.mark.parametrize("chosen", [ALL, RequestFilter(status=200)])
def test_a_download_reads_all_of_it(
    database: Database, chosen: RequestFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, so that none of its transactions is long."""
    monkeypatch.setattr(request_listing, "_PAGE", 3)
    monkeypatch.setattr(paging, "SCAN_ROWS", 4)
    write(database, *(a_request(at=number) for number in range(10)))

    assert times(list(every_request(database, TOKEN, chosen))) == list(reversed(range(10)))


def test_a_cursor_that_is_none_is_refused(database: Database) -> None:
    """It is the caller's mistake."""
    with database.read() as connection, pytest.raises(Invalid):
        list_requests(connection, TOKEN, ALL, 3, "nonsense")


def test_pages_are_read_in_the_order_of_an_index(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At ten million rows a page costs what it shows, or what it may look at: no walk over the
    table, and no sort but of what it found between the bounds of its look.
    """
    monkeypatch.setattr(paging, "SCAN_ROWS", 100)  # of few rows as small a part as it is of many
    write(
        database, *(a_request(at=number, token_id=f"tok_{number % 5}") for number in range(6_000))
    )
    with database.write() as connection:
        connection.exec_driver_sql("ANALYZE")
    with database.read() as connection:
        cursor = list_requests(
            connection, TOKEN, RequestFilter(until=UnixMs(5_900)), 50
        ).next_cursor

    for chosen in (ALL, RequestFilter(since=UnixMs(3)), RequestFilter(path="/nothing")):
        for plan in plans(
            database,
            lambda connection, chosen=chosen: list_requests(connection, TOKEN, chosen, 50, cursor),
        ):
            assert "ix_requests_token_id_at_id" in plan, plan
            assert not any(word in plan for word in ("TEMP B-TREE", "Seq Scan")), plan
            assert "Sort" not in plan or ">= ROW(" in plan, plan


def test_what_was_kept_is_taken_by_both_databases(database: Database) -> None:
    """PostgreSQL takes neither NUL nor half a character, and one such row would cost its whole
    batch.
    """
    odd = "a\0b\ud800\x7f\u202e\u2028é👋"
    texts = {
        "method": odd,
        "path": f"/{odd}?secret=1",
        "address": odd,
        "user_agent": odd,
        "reason": odd,
    }
    write(
        database,
        logged_request(new_request_id(), TOKEN, UnixMs(1), permission=None, allowed=False, **texts),
    )

    ((row,),) = pages(database)
    kept = "a\\x00b\\ud800\\x7f\\u202e\\u2028é👋"
    assert (row.method, row.path, row.address, row.user_agent, row.reason) == (
        kept,
        "/" + kept,
        kept,
        kept,
        kept,
    )


def test_tokens_are_known_in_whatever_state(database: Database) -> None:
    """Their requests are reported later than they are made."""
    tokens = Tokens(database, Vault(["a-key-for-tests-" * 2]))
    active, revoked = (
        tokens.create(token_fields(), {}, UnixMs(1), TESTER).token.id for _ in range(2)
    )
    tokens.revoke(revoked, UnixMs(2), TESTER)

    with database.read() as connection:
        assert known_tokens(connection, [active, revoked, TokenId("tok_missing")]) == {
            active,
            revoked,
        }


def test_a_token_was_last_used_from_the_address_of_its_newest_request(database: Database) -> None:
    """However many there are; of a token without requests nothing is known."""
    tokens = Tokens(database, Vault(["a-key-for-tests-" * 2]))
    busy, odd, idle = (
        tokens.create(token_fields(name), {}, UnixMs(1), TESTER).token.id
        for name in ("busy", "odd", "idle")
    )
    write(
        database,
        *(a_request(token_id=busy, at=at, address=f"192.0.2.{at}") for at in (3, 9, 5)),
        a_request(token_id=odd, at=1, address=None),
        a_request(token_id="tok_gone", at=1),
    )

    with database.read() as connection:
        found = last_use_addresses(connection, [busy, odd, idle])
        assert last_use_addresses(connection, []) == {}

    assert found == {busy: "192.0.2.9", odd: None}


def test_looking_for_last_addresses_reads_no_table(database: Database) -> None:
    """A page of a hundred tokens with a million requests each must come at once."""
    tokens = Tokens(database, Vault(["a-key-for-tests-" * 2]))
    ids = [
        tokens.create(token_fields(str(number)), {}, UnixMs(1), TESTER).token.id
        for number in range(3)
    ]
    write(database, *(a_request(token_id=ids[number % 3], at=number) for number in range(3000)))
    if database.dialect == "postgresql":
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")

    (plan,) = plans(database, lambda connection: last_use_addresses(connection, ids))

    assert "ix_requests_token_id_at_id" in plan, plan
    assert "SCAN requests" not in plan, plan
    assert "Seq Scan on requests" not in plan, plan
