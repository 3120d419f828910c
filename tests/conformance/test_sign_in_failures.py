"""Throttling of guesses at passwords, over all processes; on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from schemas.times import UnixMs
from store.engine.database import Database
from store.people.failures import (
    FORGOTTEN_MS,
    FREE_FAILURES,
    FREE_OF_NETWORK,
    LONGEST_PAUSE_S,
    SignInFailures,
)
from store.tables import sign_in_failures
from tests.kit.people import ANN, BOB

NOW = UnixMs(1_000_000_000_000)
HOME, OFFICE = "192.0.2.7", "2001:db8::/64"


@pytest.fixture
def failures(database: Database) -> SignInFailures:
    return SignInFailures(database)


def guess(
    failures: SignInFailures, times: int, email: str = ANN, network: str = HOME, now: int = NOW
) -> list[int]:
    return [failures.attempt(email, network, UnixMs(now)) for _ in range(times)]


def test_an_account_is_guessed_at_more_and_more_slowly(failures: SignInFailures) -> None:
    """From wherever it is tried. What has to wait does not make the pause longer."""
    assert guess(failures, FREE_FAILURES) == [0] * FREE_FAILURES

    assert guess(failures, 2) == [5, 5]
    assert guess(failures, 1, network=OFFICE, now=NOW + 4_001) == [1]
    assert guess(failures, 2, now=NOW + 5_000) == [0, 10]
    assert guess(failures, 2, now=NOW + 15_000) == [0, 20]
    assert guess(failures, 1, BOB) == [0]


def test_the_pause_has_an_end(failures: SignInFailures) -> None:
    """Someone who guesses all day must not lock a person out for more than a quarter of an hour."""
    now = NOW
    for _ in range(30):
        assert failures.attempt(ANN, HOME, now) == 0
        wait_s = failures.attempt(ANN, OFFICE, now)
        now = UnixMs(now + 1000 * wait_s)

    assert wait_s == LONGEST_PAUSE_S


def test_a_network_is_throttled_over_all_accounts(failures: SignInFailures) -> None:
    """One password tried at every account is a guess as well."""
    tried = [
        failures.attempt(f"{number}@example.com", HOME, NOW) for number in range(FREE_OF_NETWORK)
    ]

    assert tried == [0] * FREE_OF_NETWORK
    assert failures.attempt(ANN, HOME, NOW) == 5
    assert failures.attempt(None, HOME, NOW) == 5
    assert failures.attempt(ANN, OFFICE, NOW) == 0


def test_guesses_at_the_same_moment_are_counted_one_by_one(database: Database) -> None:
    """At several processes: each counts before it judges the password."""
    processes = [SignInFailures(database) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        waits = list(pool.map(lambda n: processes[n % 4].attempt(ANN, HOME, NOW), range(24)))

    assert waits.count(0) == FREE_FAILURES


def test_guesses_at_crossing_accounts_and_networks_do_not_block_each_other(
    failures: SignInFailures,
) -> None:
    """Rows are locked in one order, by attempts and by successes."""

    def run(number: int) -> int:
        email, network = (ANN, BOB)[number % 2], (HOME, OFFICE)[number // 2 % 2]
        if number % 3 == 0:
            failures.succeeded(email, network)
        return failures.attempt(email, network, UnixMs(NOW + number * 1_000_000))

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(run, range(48)))) == 48


def test_a_success_forgets_the_account(failures: SignInFailures) -> None:
    """And what it cost its network, but not what was guessed at other accounts from there: else
    someone with an account of their own could guess on.
    """
    guess(failures, 4, ANN)
    guess(failures, 3, BOB)

    failures.succeeded(ANN, HOME)

    assert guess(failures, FREE_FAILURES, ANN, OFFICE) == [0] * FREE_FAILURES
    left = FREE_OF_NETWORK - 3
    tried = [failures.attempt(f"{number}@example.com", HOME, NOW) for number in range(left + 1)]
    assert tried == [0] * left + [5]


def test_a_success_without_failures_changes_nothing(failures: SignInFailures) -> None:
    """A count below zero would allow more guesses later."""
    failures.succeeded(ANN, HOME)
    guess(failures, 1, ANN, OFFICE)
    failures.succeeded(ANN, HOME)

    assert guess(failures, FREE_FAILURES + 1)[-1] == 5


def test_failures_are_forgotten_after_a_day(failures: SignInFailures, database: Database) -> None:
    """And their rows are deleted, or guesses would fill the table."""
    guess(failures, FREE_FAILURES)

    assert guess(failures, FREE_FAILURES, BOB, OFFICE, NOW + FORGOTTEN_MS) == [0] * FREE_FAILURES

    with database.read() as connection:
        assert set(connection.scalars(sa.select(sign_in_failures.c.key))) == {
            f"account {BOB}",
            f"network {OFFICE}",
        }


def test_a_clock_that_was_set_back_locks_no_one_out(failures: SignInFailures) -> None:
    """The pause is as long as it was, and not as long as the clock is behind."""
    guess(failures, FREE_FAILURES)

    assert guess(failures, 1, now=NOW - FORGOTTEN_MS) == [5]
