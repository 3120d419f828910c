"""E-mail addresses of people, their passwords, and how long guesses have to wait."""

import time

import pytest

from schemas.emails import MAX_EMAIL, read_email
from schemas.passwords import MAX_BYTES, is_password, password_fault, password_hash
from schemas.tokens.audit_log import COMMAND_LINE, Actor
from store.people.failures import FREE_FAILURES, LONGEST_PAUSE_S, pause_s

PASSWORD = "correct horse"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (" Ann@Example.COM\n", "ann@example.com"),
        ("a.b+c@mail.example", "a.b+c@mail.example"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_an_address_is_known_in_lower_case(written: str, read: str) -> None:
    """People write it either way, and are one person."""
    assert read_email(written) == read


@pytest.mark.parametrize(
    "written",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@-example.com",
        "ann@example..com",
        "a b@example.com",
        "ann@example.com, bob@example.com",
        "<ann@example.com>",
        "ann@exämple.com",
        "ann\0@example.com",
        f"{'a' * MAX_EMAIL}@example.com",
    ],
)
def test_what_is_no_address_is_refused(written: str) -> None:
    """It goes into headers of mails and into logs."""
    with pytest.raises(ValueError, match="an e-mail address"):
        read_email(written)


def test_a_password_is_recognised_by_its_hash() -> None:
    """However a keyboard writes its accents, and no other one."""
    stored = password_hash("caf\u00e9 au lait")

    assert is_password("cafe\u0301 au lait", stored)
    assert not is_password("cafe au lait", stored)


def test_two_hashes_of_one_password_differ() -> None:
    """Who steals them does not see which people have the same one."""
    assert password_hash(PASSWORD) != password_hash(PASSWORD)


def test_a_hash_of_another_cost_is_still_recognised() -> None:
    """The cost will be raised one day, and people keep their passwords."""
    cheap = "$scrypt$ln=4,r=1,p=1$c2FsdA$QF6G9Qa5koBFKhSj5SQg6dTIHjDurrw5RxezFukxqSk"

    assert is_password(PASSWORD, cheap)
    assert not is_password("incorrect horse", cheap)


def test_no_password_belongs_to_an_account_without_one() -> None:
    """It takes as long as a wrong one does."""
    assert not is_password(PASSWORD, None)
    assert not is_password("", None)


@pytest.mark.parametrize(
    "stored", ["plain", "$scrypt$ln=40,r=8,p=1$c2FsdA$aGFzaA", "$scrypt$ln=4,r=0,p=1$c2FsdA$aGFzaA"]
)
def test_a_hash_that_cannot_be_is_an_error(stored: str) -> None:
    """It must neither match nor take all memory."""
    with pytest.raises(ValueError, match="set it again"):
        is_password(PASSWORD, stored)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("seven 7", "at least 8 characters"),
        ("é" * (MAX_BYTES // 2 + 1), "at most 1024 bytes"),
        ("half a pair \ud83d", "cannot be read"),
    ],
)
def test_a_password_that_cannot_be_taken_is_refused(password: str, said: str) -> None:
    """By a text that does not repeat it."""
    fault = password_fault(password)

    assert fault is not None
    assert said in fault
    assert password not in fault
    with pytest.raises(ValueError, match=said):
        password_hash(password)
    assert not is_password(password, password_hash(PASSWORD))


def test_a_row_of_accents_costs_no_more_than_a_hash() -> None:
    """Anyone may send one. Sorting them takes minutes, in which the whole process stands still."""
    begun_s = time.process_time()

    assert not is_password(ACCENTS, None)
    assert password_fault(ACCENTS) == "a password has at most 1024 bytes"

    assert time.process_time() - begun_s < 2


ACCENTS = "\u0301" * 20_000 + "\u0327" * 20_000


def test_what_follows_a_long_password_counts() -> None:
    """It is not cut off: only the password itself is right."""
    stored = password_hash("x" * MAX_BYTES)

    assert is_password("x" * MAX_BYTES, stored)
    assert not is_password("x" * MAX_BYTES + "\u0301", stored)
    assert not is_password("x" * 2 * MAX_BYTES, stored)


def test_a_long_password_fits() -> None:
    """A phrase of a password manager is no attack."""
    assert password_fault("x" * MAX_BYTES) is None


def test_pauses_grow_up_to_a_quarter_of_an_hour() -> None:
    """A person who mistypes waits seconds, a program that guesses gets a hundred guesses a day."""
    pauses = [pause_s(failures, FREE_FAILURES) for failures in (0, 4, 5, 6, 7, 12, 13, 10_000)]

    assert pauses == [0, 0, 5, 10, 20, 640, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_an_actor_that_is_a_person_has_an_address() -> None:
    """Logs show who it was, and pages compare it with who is signed in."""
    actor = Actor.person("ann@example.com", "192.0.2.1")

    assert (actor.by, actor.email) == ("user:ann@example.com", "ann@example.com")
    assert COMMAND_LINE.email is None
