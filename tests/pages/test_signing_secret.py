"""The signing secret of a token: shown on request, recorded, and only to the person who signed in."""

import re

import pytest
import sqlalchemy as sa

from schemas.people import Role
from schemas.tokens.audit_log import Action
from schemas.tokens.secrets import signing_secret_text
from store.tables import people
from tests.kit.pages import PASSWORD, Site
from tests.kit.people import let_minutes_pass
from tests.kit.supplier import Supplier

ADMIN = "admin@example.com"


@pytest.fixture
def supplier(site: Site) -> Supplier:
    return Supplier(site)


def secrets_in(text: str) -> list[str]:
    return re.findall(r"whsec_[\w+/=]+", text)


def test_it_is_shown_on_request_and_that_is_recorded(supplier: Supplier) -> None:
    """On no other page: what is seen by chance has been seen by someone else."""
    before = supplier.admin.open(supplier.path("callbacks")).text
    answer = supplier.admin.send(supplier.path("signing-secret"))

    assert secrets_in(before) == []
    assert secrets_in(answer.text) == [supplier.signing_secret]
    assert answer.headers["Cache-Control"] == "no-store"
    change = supplier.changes()[0]
    assert (change.action, change.actor.email) == (Action.SIGNING_SECRET_SHOWN, ADMIN)


def test_it_is_at_no_address_to_look_at(supplier: Supplier) -> None:
    """A link must not show it, nor the way back."""
    assert supplier.admin.open(supplier.path("signing-secret")).status_code == 405


def test_a_person_may_be_asked_for_the_password_again_after_five_minutes(
    site: Site, supplier: Supplier
) -> None:
    """Someone else may have found the browser open."""
    let_minutes_pass(site.database, 4.9)
    early = supplier.admin.send(supplier.path("signing-secret"))
    let_minutes_pass(site.database, 0.2)
    shown = len(supplier.changes())
    late = supplier.admin.send(supplier.path("signing-secret"))

    assert secrets_in(early.text) == [supplier.signing_secret]
    assert (late.status_code, secrets_in(late.text)) == (200, [])
    assert 'type="password"' in late.text
    assert len(supplier.changes()) == shown


def test_the_right_password_shows_it_and_counts_for_five_minutes(
    site: Site, supplier: Supplier
) -> None:
    """It is not asked for at each click."""
    let_minutes_pass(site.database, 10)

    wrong = supplier.admin.send(supplier.path("signing-secret"), password="wrong")
    right = supplier.admin.send(supplier.path("signing-secret"), password=PASSWORD)
    again = supplier.admin.send(supplier.path("signing-secret"))

    assert (wrong.status_code, secrets_in(wrong.text)) == (422, [])
    assert "This is not your password." in wrong.text
    assert secrets_in(right.text) == secrets_in(again.text) == [supplier.signing_secret]
    assert PASSWORD not in right.text


def test_guessing_the_password_is_slowed_down(site: Site, supplier: Supplier) -> None:
    """As at the sign-in, and by the same count."""
    let_minutes_pass(site.database, 10)

    answers = [
        supplier.admin.send(supplier.path("signing-secret"), password="wrong") for _ in range(8)
    ]
    right = supplier.admin.send(supplier.path("signing-secret"), password=PASSWORD)

    assert {answer.status_code for answer in answers} == {422, 429}
    assert (right.status_code, secrets_in(right.text)) == (429, [])
    assert "Too many attempts" in right.text


def test_a_person_without_a_password_signs_in_again(site: Site, supplier: Supplier) -> None:
    """By a link, or elsewhere: there is nothing to type here."""
    let_minutes_pass(site.database, 10)
    with site.database.write() as connection:
        connection.execute(
            sa.update(people).where(people.c.email == ADMIN).values(password_hash=None)
        )

    answer = supplier.admin.send(supplier.path("signing-secret"), password="")

    assert (answer.status_code, secrets_in(answer.text)) == (403, [])
    assert 'type="password"' not in answer.text
    assert "sign in again" in answer.text


def test_a_new_one_replaces_it_and_both_sign_for_a_while(supplier: Supplier) -> None:
    """The receiver changes over without losing a webhook."""
    answer = supplier.admin.send(supplier.path("signing-secret/rotate"), overlap="1h")

    (new,) = secrets_in(answer.text)
    keys = [signing_secret_text(key.value) for key in supplier.token.signing_keys]
    assert keys == [supplier.signing_secret, new]
    assert "also signed with the previous secret until" in answer.text
    assert supplier.changes()[0].action is Action.SIGNING_SECRET_ROTATED
    page = supplier.admin.open(supplier.path("callbacks")).text
    assert "also signed with the previous secret until" in page


def test_the_previous_one_may_end_at_once(supplier: Supplier) -> None:
    """It was seen by someone who should not have it."""
    answer = supplier.admin.send(supplier.path("signing-secret/rotate"), overlap="0s")

    assert "The previous secret signs nothing any more." in answer.text
    assert len(supplier.token.signing_keys) == 1


def test_the_choice_of_an_overlap_outlives_the_question_for_the_password(
    site: Site, supplier: Supplier
) -> None:
    """Else the previous secret would live for a day that no one has chosen."""
    let_minutes_pass(site.database, 10)

    asked = supplier.admin.send(supplier.path("signing-secret/rotate"), overlap="1h")

    assert '<input type="hidden" name="overlap" value="1h">' in asked.text
    assert len(supplier.token.signing_keys) == 1


@pytest.mark.parametrize("overlap", ["8d", "forever", ""])
def test_a_longer_overlap_than_is_allowed_changes_nothing(supplier: Supplier, overlap: str) -> None:
    """By the rule of the API."""
    answer = supplier.admin.send(supplier.path("signing-secret/rotate"), overlap=overlap)

    assert answer.status_code == 422
    assert len(supplier.token.signing_keys) == 1


def test_a_viewer_is_offered_none_of_it(site: Site, supplier: Supplier) -> None:
    """That there is a secret is no secret."""
    page = site.browser(Role.VIEWER).open(supplier.path("callbacks")).text

    assert "Signing secret" in page
    assert "signing-secret/rotate" not in page
