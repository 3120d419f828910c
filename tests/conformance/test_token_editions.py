"""Changes that are meant for one edition of a token, contacts, and the longest life; on SQLite and
on PostgreSQL.
"""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from schemas.deliveries.callback_health import HealthFinding
from schemas.errors import Invalid
from schemas.events.types import EventType
from schemas.times import LATEST, UnixMs
from schemas.tokens.editions import edition
from schemas.tokens.fields import CallbackFields, TokenFields
from store.engine.database import Database
from store.tokens.callbacks import Callbacks
from store.tokens.rows import ChangedMeanwhile
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting_rows import Patient

RECEIVED, STATUS = EventType.MESSAGE_RECEIVED, EventType.MESSAGE_STATUS
NOW = UnixMs(1_000_000)
URL = "https://x.example/"
VAULT = Vault(["a-key-for-tests-" * 2])
LIFE = dt.timedelta(days=90)
LIFE_MS = 90 * 86_400_000


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, VAULT)


@pytest.fixture
def strict(database: Database) -> Tokens:
    """With a longest life."""
    return Tokens(database, VAULT, LIFE)


def named(name: str) -> Callable[[TokenFields], TokenFields]:
    return lambda fields: replace(fields, name=name)


def test_a_change_is_made_to_the_edition_it_was_meant_for(tokens: Tokens) -> None:
    """And to no other: the second one is shown what stands there, and nothing is done."""
    token = tokens.create(token_fields(), {}, NOW, TESTER).token
    seen = edition(token)

    changed = tokens.change(token.id, named("first"), TESTER, {seen})
    with pytest.raises(ChangedMeanwhile) as refused:
        tokens.change(token.id, named("second"), TESTER, {seen})

    assert refused.value.current == changed == tokens.get(token.id)
    assert tokens.change(token.id, named("third"), TESTER, {edition(changed)}).name == "third"
    assert tokens.change(token.id, named("fourth"), TESTER).name == "fourth"


def test_of_two_saves_at_the_same_moment_one_is_made(tokens: Tokens) -> None:
    """At two processes: the check and the change are one transaction."""
    token = tokens.create(token_fields(), {}, NOW, TESTER).token

    def save(name: str) -> str | None:
        try:
            return tokens.change(token.id, named(name), TESTER, {edition(token)}).name
        except ChangedMeanwhile:
            return None

    with ThreadPoolExecutor(4) as pool:
        saved = [name for name in pool.map(save, "abcd") if name]

    assert saved == [tokens.get(token.id).name]


def test_callbacks_are_a_part_of_the_edition(tokens: Tokens, database: Database) -> None:
    """They are on the same page. What would overwrite another's change is refused."""
    callbacks = Callbacks(database, VAULT)
    token = tokens.create(token_fields(), {RECEIVED: CallbackFields(URL)}, NOW, TESTER).token
    seen = {edition(token)}

    callbacks.put(token.id, STATUS, CallbackFields(URL), TESTER, seen)
    doings: list[Callable[[], object]] = [
        lambda: callbacks.put(token.id, STATUS, CallbackFields(URL + "2"), TESTER, seen),
        lambda: callbacks.delete(token.id, RECEIVED, TESTER, seen),
        lambda: tokens.change(token.id, named("other"), TESTER, seen),
        lambda: tokens.revoke(token.id, NOW, TESTER, seen),
    ]
    before = tokens.get(token.id)
    for do in doings:
        with pytest.raises(ChangedMeanwhile):
            do()

    assert tokens.get(token.id) == before
    callbacks.delete(token.id, RECEIVED, TESTER, {edition(before)})
    tokens.revoke(token.id, NOW, TESTER, {edition(tokens.get(token.id))})


def test_health_is_no_part_of_the_edition(database: Database) -> None:
    """While a receiver fails, each probe changes the callback's row."""
    patient = Patient(database)
    seen = edition(patient.token)

    patient.found(HealthFinding.FAILING, NOW)
    patient.found(HealthFinding.PROBE_FAILED, NOW)

    assert patient.token.callbacks[RECEIVED].health.failing_since is not None
    assert edition(patient.token) == seen
    patient.tokens.change(patient.token_id, named("other"), TESTER, {seen})


def test_a_contact_is_kept_as_it_was_written(tokens: Tokens) -> None:
    """And can be taken away."""
    contact = "Ops@X.example"
    token = tokens.create(replace(token_fields(), contact=contact), {}, NOW, TESTER).token
    assert tokens.get(token.id).contact == contact

    tokens.change(token.id, named("other"), TESTER)
    assert tokens.get(token.id).contact == contact

    tokens.change(token.id, lambda fields: replace(fields, contact=None), TESTER)
    assert tokens.get(token.id).contact is None


def test_a_token_gets_no_longer_life_than_is_allowed(strict: Tokens) -> None:
    """From its activation on, to the millisecond; without an end it has no place."""
    fields = replace(token_fields(), activates_at=NOW)

    for expires_at in (None, UnixMs(NOW + LIFE_MS + 1)):
        with pytest.raises(Invalid) as refused:
            strict.create(replace(fields, expires_at=expires_at), {}, NOW, TESTER)
        (fault,) = refused.value.faults
        assert fault.pointer == "/expires_at"
        assert "at most 90d" in fault.detail
        assert "1970-04-01T00:16:40.000Z" in fault.detail

    strict.create(replace(fields, expires_at=UnixMs(NOW + LIFE_MS)), {}, NOW, TESTER)


def test_dates_that_are_changed_must_keep_to_the_longest_life(
    tokens: Tokens, strict: Tokens
) -> None:
    """A token from before the setting works on, and can be renamed."""
    token_id = tokens.create(token_fields(), {}, NOW, TESTER).token.id

    assert strict.change(token_id, named("other"), TESTER).expires_at is None
    for change in ({"expires_at": UnixMs(LIFE_MS + 1)}, {"activates_at": UnixMs(5)}):
        with pytest.raises(Invalid, match="invalid token"):
            strict.change(token_id, lambda fields, new=change: replace(fields, **new), TESTER)

    strict.change(token_id, lambda fields: replace(fields, expires_at=UnixMs(LIFE_MS)), TESTER)
    with pytest.raises(Invalid):
        strict.change(token_id, lambda fields: replace(fields, expires_at=None), TESTER)


def test_a_token_that_would_never_be_valid_has_that_fault_alone(strict: Tokens) -> None:
    """Two sentences about one date would contradict each other."""
    with pytest.raises(Invalid) as refused:
        strict.create(replace(token_fields(), activates_at=NOW, expires_at=NOW), {}, NOW, TESTER)

    assert len(refused.value.faults) == 1


def test_a_longest_life_beyond_the_calendar_still_asks_for_an_end(database: Database) -> None:
    """It is the last moment that can be written."""
    endless = Tokens(database, VAULT, dt.timedelta.max)

    with pytest.raises(Invalid):
        endless.create(token_fields(), {}, NOW, TESTER)
    endless.create(replace(token_fields(), expires_at=LATEST), {}, NOW, TESTER)
