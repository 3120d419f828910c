"""The job that writes mail: on SQLite and PostgreSQL, with a mail server on this machine."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from consumers.maintenance.mailer import Mailer
from dispatcher import mail_sender
from dispatcher.mail_sender import MailSender
from schemas.errors import StoreUnavailable
from schemas.events.types import EventType
from schemas.log_events import LogEvent
from schemas.people import Role
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Token
from store.engine.database import Database
from store.mail import notices, outbox
from store.people.people import People
from store.tables import callbacks, leases, mail_notices, mails, people, tokens
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.conformance.test_alert_relay import Notes
from tests.kit.mail import MailServer, mail_server
from tests.kit.tokens import TESTER, token_fields

ANN, BOB, CONTACT = "ann@example.com", "bob@example.com", "dev@supplier.example"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
DISABLE_AFTER_MS = 5 * DAY_MS
SECRET_PATH = "/hook/s3cret-path"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as made:
        yield made


@pytest.fixture
def token(database: Database) -> Token:
    """It has one callback, and a contact. Ann is the administrator, Bob a viewer."""
    People(database).add(ANN, Role.ADMIN, TESTER)
    People(database).add(BOB, Role.VIEWER, TESTER)
    callback = CallbackFields(url=f"https://acme.example{SECRET_PATH}")
    made = (
        Tokens(database, Vault(["a-key-for-tests-" * 2]))
        .create(
            token_fields("ACME CRM"),
            {EventType.MESSAGE_RECEIVED: callback},
            database.time(),
            TESTER,
        )
        .token
    )
    with database.write() as connection:
        connection.execute(sa.update(tokens).values(contact=CONTACT))
    return made


def failing_for(database: Database, ms: int | None, **columns: object) -> None:
    since = None if ms is None else database.time() - ms
    with database.write() as connection:
        connection.execute(sa.update(callbacks).values(failing_since=since, **columns))


def later(database: Database, ms: int = 2 * HOUR_MS) -> None:
    """So much time passes for what was written about, and for the leases."""
    with database.write() as connection:
        connection.execute(sa.update(mail_notices).values(at=mail_notices.c.at - ms))
        connection.execute(sa.update(mails).values(due_at=mails.c.due_at - ms))
        connection.execute(sa.update(leases).values(until=leases.c.until - ms))


class Post:
    """A mailer, made again for each round as after a restart."""

    def __init__(self, database: Database, server: MailServer):
        self.database, self.server, self.notes = database, server, Notes()

    def round(self) -> list[str]:
        """Look and send once; the subjects of what came for Ann since the last time."""
        before = len(self.server.to(ANN))
        self.mailer().work()
        return [mail["Subject"] for mail in self.server.to(ANN)[before:]]

    def mailer(self) -> Mailer:
        sender = MailSender(
            mail_sender.MailServer(
                "127.0.0.1", self.server.port, tls_from_the_start=False, user=None, password=None
            ),
            "Ringback <ringback@example.com>",
        )
        return Mailer(
            self.database,
            sender,
            observer=self.notes,
            public_url="https://ringback.example",
            disable_after_ms=DISABLE_AFTER_MS,
        )


@pytest.fixture
def post(database: Database, server: MailServer, token: Token) -> Post:
    return Post(database, server)


def test_a_callback_that_has_failed_for_an_hour_is_written_about_once(
    database: Database, post: Post, token: Token
) -> None:
    """To the administrators and to the contact; viewers get none."""
    failing_for(database, HOUR_MS + 1000)

    first, again = post.round(), [post.round(), later(database), post.round()]

    assert first == ["New Message of ACME CRM has been failing for an hour"]
    assert again == [[], None, []]
    (to_ann,), (to_contact,) = post.server.to(ANN), post.server.to(CONTACT)
    assert post.server.to(BOB) == []
    assert f"https://ringback.example/tokens/{token.id}/callbacks" in to_ann.get_content()
    assert "ringback.example" not in to_contact.get_content()
    assert "acme.example" in to_contact.get_content()


def test_no_mail_holds_the_path_of_a_callback(database: Database, post: Post) -> None:
    """For many services it is the key."""
    failing_for(database, 6 * DAY_MS, disabled_at=database.time(), disabled_reason="it failed")

    post.round()

    assert post.server.mails
    assert not [mail for mail in post.server.mails if SECRET_PATH in mail.as_string()]


def test_it_is_written_a_day_before_a_callback_is_disabled_then_that_it_was_and_that_it_works(
    database: Database, post: Post
) -> None:
    """Before, so that someone can act."""
    failing_for(database, DISABLE_AFTER_MS - DAY_MS + 60_000)
    before = post.round()
    later(database)
    failing_for(database, DISABLE_AFTER_MS, disabled_at=database.time(), disabled_reason="x")
    disabled = post.round()
    later(database)
    failing_for(database, None, disabled_at=None, disabled_reason=None)
    recovered = post.round()
    later(database)

    assert before == ["New Message of ACME CRM has been failing for an hour, and 1 more"]
    assert disabled == ["New Message of ACME CRM was disabled"]
    assert recovered == ["New Message of ACME CRM works again"]
    assert post.round() == []


def test_a_callback_that_fails_and_recovers_over_and_over_is_written_about_once_an_hour(
    database: Database, post: Post
) -> None:
    """Else it fills an inbox."""
    subjects = []
    for _ in range(5):
        failing_for(database, HOUR_MS + 1000)
        subjects += post.round()
        failing_for(database, None)
        subjects += post.round()
        later(database, 60_000)

    assert len(subjects) == 1


def test_what_is_written_once_a_day_comes_in_one_mail(database: Database, post: Post) -> None:
    """Tokens that expire, and deliveries that were given up."""
    now = database.time()
    with database.write() as connection:
        connection.execute(
            sa.update(tokens).values(expires_at=now + DAY_MS - 1000, created_at=now - 90 * DAY_MS)
        )
        connection.execute(sa.update(callbacks).values(exhausted_alerted_at=now - 1000))

    first = post.round()
    later(database)

    assert len(first) == 1
    assert first[0].endswith(", and 1 more")
    assert "were given up" in post.server.to(ANN)[0].get_content()
    assert post.round() == []


def test_mail_waits_for_a_mail_server_that_is_away(database: Database, post: Post) -> None:
    """It is sent later, once."""
    failing_for(database, HOUR_MS + 1000)
    post.server.answer = "451 try again later"
    refused = post.round()
    post.server.answer = "250 OK"
    too_early = post.round()
    later(database)

    assert (refused, too_early) == ([], [])
    failed = next(note for note in post.notes.notes if note["event"] is LogEvent.MAIL_FAILED)
    assert "451" in str(failed["error"])
    assert failed["next_attempt_in_s"] == 60
    assert post.round() == ["New Message of ACME CRM has been failing for an hour"]
    later(database)
    assert post.round() == []


def test_a_mail_server_that_says_no_proper_goodbye_gets_no_mail_twice(
    database: Database, post: Post
) -> None:
    """The mail was handed in by then."""
    failing_for(database, HOUR_MS + 1000)
    post.server.goodbye = "451 not now"

    first = post.round()
    later(database)

    assert len(first) == 1
    assert post.round() == []


def test_a_batch_that_takes_too_long_is_put_off(
    database: Database, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease would end, and another process would send the rest too."""
    monkeypatch.setattr("consumers.maintenance.mailer.SEND_WITHIN_S", -1.0)
    failing_for(database, HOUR_MS + 1000)

    late = post.round()
    monkeypatch.undo()
    later(database)

    assert late == []
    assert len(post.round()) == 1


def test_a_mail_that_costs_the_connection_keeps_no_other_from_being_sent(
    database: Database, post: Post
) -> None:
    """Servers end the connection after some refusals."""
    failing_for(database, HOUR_MS + 1000)
    post.server.unwanted = {ANN}

    post.round()

    assert {mail["To"] for mail in post.server.mails} == {CONTACT}


def test_mail_that_the_store_could_not_note_as_sent_is_not_sent_again(
    database: Database, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fail-over of the database may come while mails are handed in."""
    failing_for(database, HOUR_MS + 1000)
    mailer = post.mailer()

    def away(*_: object) -> None:
        raise StoreUnavailable("it just went away")

    monkeypatch.setattr(outbox, "forget", away)
    mailer.work()
    monkeypatch.undo()
    later(database)
    mailer.work()

    assert len(post.server.to(ANN)) == 1
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(mails)) == 0


def test_of_many_that_fail_each_has_its_turn(
    database: Database, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written about must not stand before what was not."""
    monkeypatch.setattr(notices, "MOST", 2)
    tokens_ = Tokens(database, Vault(["a-key-for-tests-" * 2]))
    callback = {EventType.MESSAGE_RECEIVED: CallbackFields(url="https://more.example/")}
    for number in range(5):
        fields = token_fields(f"Supplier {number}")
        tokens_.create(fields, callback, database.time(), TESTER)
    failing_for(database, HOUR_MS + 1000)

    for _ in range(3):
        post.round()
        later(database, 61_000)

    said = "".join(mail.get_content() for mail in post.server.to(ANN))
    assert all(f"Supplier {number}" in said for number in range(5))


def test_news_that_is_three_days_old_is_given_up(database: Database, post: Post) -> None:
    failing_for(database, HOUR_MS + 1000)
    post.server.answer = "554 no"
    post.round()
    later(database)
    with database.write() as connection:
        connection.execute(sa.update(mails).values(created_at=mails.c.created_at - 4 * DAY_MS))

    post.round()

    assert post.notes.notes[-1]["next_attempt_in_s"] is None
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(mails)) == 0


def test_an_administrator_who_wants_no_mail_gets_none(database: Database, post: Post) -> None:
    with database.write() as connection:
        connection.execute(sa.update(people).values(wants_mail=False))
    failing_for(database, HOUR_MS + 1000)

    post.round()

    assert {mail["To"] for mail in post.server.mails} == {CONTACT}


def test_a_name_with_a_line_break_adds_no_header(database: Database, post: Post) -> None:
    """Names are typed by people, or come from another program."""
    with database.write() as connection:
        connection.execute(sa.update(tokens).values(name="ACME\r\nBcc: x@evil.example"))
    failing_for(database, HOUR_MS + 1000)

    post.round()

    (mail,) = post.server.to(ANN)
    assert mail["Bcc"] is None
    assert "ACME Bcc: x@evil.example" in mail["Subject"]
