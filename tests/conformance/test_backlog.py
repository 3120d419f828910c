"""What becomes of waiting deliveries when a callback works again or comes back: on SQLite and on
PostgreSQL.
"""

from dataclasses import replace

import pytest

from schemas.deliveries.callback_health import HealthFinding
from schemas.times import LATEST, UnixMs, now_ms
from schemas.tokens.tokens import CallbackState, OnResume
from store.deliveries import backlog
from store.deliveries.backlog import Walk
from store.engine.database import Database
from tests.kit.tokens import TESTER
from tests.kit.waiting_rows import Patient

LONG_AGO = 10_000_000
FAR = now_ms() + 80_000_000


@pytest.fixture
def patient(database: Database) -> Patient:
    return Patient(database)


def release(patient: Patient, now: int | None = None) -> int:
    """All slices of it, and the end. Returns how many were discarded."""
    moment = UnixMs(now or now_ms())
    walk: Walk | None = None
    discarded = 0
    while True:
        with patient.database.write() as connection:
            step = backlog.step(connection, patient.id, walk, moment)
        if step is None:
            return discarded
        discarded += step.discarded
        walk = step.walk
        if walk is None:
            with patient.database.write() as connection:
                backlog.finish(connection, patient.id, step.generation)
            return discarded


def is_released(patient: Patient) -> bool:
    with patient.database.read() as connection:
        return patient.id not in backlog.with_pending_backlog(connection)


def switch_off_and_on(patient: Patient, held: OnResume | None = None) -> None:
    """With a delivery from before."""
    patient.put(enabled=False)
    patient.wait("evt_held", LONG_AGO, failures=7)
    patient.put(enabled=True, held=held)


def test_what_waits_for_its_schedule_is_hastened_when_a_callback_works_again(
    patient: Patient,
) -> None:
    """In the order of its age; but not what the receiver put off, what a dispatcher has leased, or
    what waits for another status.
    """
    patient.found(HealthFinding.FAILING, LONG_AGO)
    patient.wait("evt_scheduled", LONG_AGO, due_at=FAR, failures=3)
    patient.wait("evt_put_off", LONG_AGO, due_at=FAR, outcome="throttled")
    patient.wait("evt_in_hand", LONG_AGO, due_at=FAR, leased=True)
    patient.wait("evt_waits", LONG_AGO, due_at=FAR, awaits_status=True)
    patient.found(HealthFinding.WORKS, LONG_AGO)

    release(patient)

    due = {"evt_scheduled": LONG_AGO, "evt_put_off": FAR, "evt_in_hand": FAR, "evt_waits": FAR}
    assert (patient.rows("due_at"), is_released(patient)) == (due, True)
    assert patient.rows("failures")["evt_scheduled"] == 3, "it goes on in its schedule"


def test_what_was_held_is_released_in_its_place_and_with_its_whole_schedule(
    patient: Patient,
) -> None:
    """The default. Its age begins again, so it is not given up for having been held."""
    switch_off_and_on(patient)
    assert patient.callback.held_before is not None
    now = now_ms() + 5

    release(patient, now)

    assert patient.rows("queued_at", "due_at", "failures") == {"evt_held": (now, LONG_AGO, 0)}
    assert (patient.callback.held_before, is_released(patient)) == (None, True)


def test_what_was_held_is_kept_until_it_is_released(patient: Patient) -> None:
    """Out of the way of what is due; what came later goes its way."""
    switch_off_and_on(patient, OnResume.KEEP)
    release(patient)
    assert patient.rows("due_at") == {"evt_held": LATEST}
    assert patient.callback.held_before is not None
    patient.wait("evt_later", now_ms() + 1_000, due_at=FAR)

    patient.put(held=OnResume.RELEASE)
    release(patient, now_ms() + 10_000)

    assert patient.rows("due_at")["evt_held"] == LONG_AGO
    assert patient.callback.held_before is None


def test_discarding_cancels_what_was_held_once(patient: Patient) -> None:
    """The next return releases again: nothing vanishes for an old decision."""
    switch_off_and_on(patient, OnResume.DISCARD)
    patient.wait("evt_later", now_ms() + 1_000)

    assert release(patient) == 1

    rows = patient.rows("state", "reason", "due_at")
    assert rows["evt_held"] == ("cancelled", "discarded", None)
    assert rows["evt_later"][0] == "pending"
    assert (patient.callback.on_resume, patient.callback.held_before) == (OnResume.RELEASE, None)


def test_a_choice_that_was_not_used_stays(patient: Patient) -> None:
    """Nothing was held: it is for the next time, when its token is suspended, perhaps."""
    patient.put(enabled=True, held=OnResume.DISCARD)
    release(patient)

    assert patient.callback.on_resume is OnResume.DISCARD


def test_a_disabled_callback_comes_back_healthy_and_with_what_it_held(patient: Patient) -> None:
    """A person says so."""
    patient.wait("evt_gone", LONG_AGO, due_at=FAR, failures=1)
    patient.found(HealthFinding.USELESS, LONG_AGO, reason="gone")

    patient.put(enabled=True)
    release(patient)

    assert (patient.callback.state, patient.callback.health.disabled_reason) == (
        CallbackState.HEALTHY,
        None,
    )
    assert patient.rows("due_at", "failures") == {"evt_gone": (LONG_AGO, 0)}


@pytest.mark.parametrize(
    "change", [{"url": "https://new.example/"}, {"headers": {"X-Key": "new"}}, {"enabled": True}]
)
def test_a_disabled_callback_that_is_changed_comes_back(
    patient: Patient, change: dict[str, object]
) -> None:
    """An administrator who gives it a new URL wants it called."""
    patient.found(HealthFinding.USELESS, LONG_AGO, reason="gone")

    assert patient.put(**change).state is CallbackState.HEALTHY
    assert patient.callback.held_before is not None


@pytest.mark.parametrize(
    "change", [{"url": "https://new.example/"}, {"headers": {"X-Key": "new"}}, {"enabled": True}]
)
def test_a_failing_callback_that_is_changed_starts_afresh(
    patient: Patient, change: dict[str, object]
) -> None:
    """What waited is hastened; it was not held, so its age goes on."""
    patient.found(HealthFinding.FAILING, LONG_AGO)
    patient.wait("evt_1", LONG_AGO, due_at=FAR)

    patient.put(**change)
    release(patient)

    assert (patient.callback.state, patient.callback.held_before) == (CallbackState.HEALTHY, None)
    assert patient.rows("queued_at", "due_at") == {"evt_1": (LONG_AGO, LONG_AGO)}


def test_a_change_that_says_nothing_new_leaves_a_failing_callback_failing(patient: Patient) -> None:
    """A callback that is off stays off."""
    patient.found(HealthFinding.FAILING, LONG_AGO)
    assert patient.put().state is CallbackState.FAILING

    patient.put(enabled=False)

    assert patient.put(url="https://new.example/").state is CallbackState.OFF
    assert is_released(patient)


@pytest.mark.parametrize("headers", [{}, {"X-Key": "same"}])
@pytest.mark.parametrize("finding", [HealthFinding.USELESS, HealthFinding.FAILING])
def test_saying_again_what_is_so_already_brings_nothing_back(
    patient: Patient, finding: HealthFinding, headers: dict[str, str]
) -> None:
    """A program that keeps a state repeats all of it on each run: what a receiver refused for good
    must not go out once more for that.
    """
    patient.put(headers=headers, held=OnResume.KEEP)
    release(patient)
    patient.wait("evt_held", LONG_AGO, due_at=FAR)
    patient.found(finding, LONG_AGO, reason="gone")
    before = patient.callback

    after = patient.put(headers=headers, held=OnResume.KEEP)
    release(patient)

    assert (after, is_released(patient)) == (before, True)
    assert patient.rows("due_at") == {"evt_held": FAR}


def test_saying_again_what_becomes_of_what_was_kept_changes_nothing(patient: Patient) -> None:
    """It is kept, and what is in flight meanwhile still counts."""
    switch_off_and_on(patient, OnResume.KEEP)
    release(patient)
    before = patient.callback

    assert patient.put(held=OnResume.KEEP) == before
    assert is_released(patient)


def test_what_becomes_of_held_deliveries_can_be_said_before(patient: Patient) -> None:
    """Saying it enables nothing."""
    patient.found(HealthFinding.USELESS, LONG_AGO, reason="gone")
    patient.wait("evt_held", LONG_AGO)

    assert patient.put(held=OnResume.DISCARD).state is CallbackState.DISABLED
    assert is_released(patient)

    patient.put(enabled=True)
    assert release(patient) == 1


def test_a_resumed_token_releases_what_its_callbacks_held(patient: Patient) -> None:
    """Except for disabled callbacks: a person enables them, one by one."""
    disabled = Patient(patient.database, "disabled")
    disabled.found(HealthFinding.USELESS, LONG_AGO, reason="gone")
    for one in (patient, disabled):
        one.tokens.change(one.token_id, lambda fields: replace(fields, enabled=False), TESTER)
        one.wait(f"evt_{one.name}", LONG_AGO, due_at=FAR)
        one.tokens.change(one.token_id, lambda fields: replace(fields, enabled=True), TESTER)
        release(one)

    assert patient.rows("due_at") == {"evt_x": LONG_AGO}
    assert disabled.rows("due_at") == {"evt_disabled": FAR}
    assert disabled.callback.state is CallbackState.DISABLED


def test_a_change_of_a_token_that_is_no_return_releases_nothing(patient: Patient) -> None:
    """Its name, say."""
    patient.tokens.change(patient.token_id, lambda fields: replace(fields, name="other"), TESTER)

    assert is_released(patient)


def test_many_are_seen_to_slice_by_slice(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, also those of one millisecond; a process that takes over begins again and does no
    harm.
    """
    monkeypatch.setattr(backlog, "SLICE", 3)
    patient.put(enabled=False)
    for number in range(11):
        patient.wait(f"evt_{number}", LONG_AGO + number // 5, due_at=FAR)
    patient.put(enabled=True)
    with patient.database.write() as connection:
        backlog.step(connection, patient.id, None, now_ms())

    release(patient)

    assert patient.rows("due_at") == {
        f"evt_{number}": LONG_AGO + number // 5 for number in range(11)
    }


def test_what_is_kept_is_parked_once(patient: Patient) -> None:
    """A callback that alternately fails and works must not rewrite a week's backlog each time. A
    delivery that was leased is parked the next time.
    """
    switch_off_and_on(patient, OnResume.KEEP)
    release(patient)
    patient.found(HealthFinding.FAILING, now_ms())
    patient.found(HealthFinding.WORKS, now_ms())

    with patient.database.write() as connection:
        step = backlog.step(connection, patient.id, None, now_ms())
    assert step is not None
    assert not step.changed

    patient.wait("evt_was_leased", LONG_AGO + 1)
    release(patient)
    assert patient.rows("due_at") == {"evt_held": LATEST, "evt_was_leased": LATEST}


def test_a_return_during_the_last_slice_is_not_lost(patient: Patient) -> None:
    """A process that ends the walk of the return before leaves the callback marked."""
    switch_off_and_on(patient)
    with patient.database.write() as connection:
        step = backlog.step(connection, patient.id, None, now_ms())
    assert step is not None
    patient.put(enabled=False)
    patient.put(enabled=True, held=OnResume.DISCARD)

    with patient.database.write() as connection:
        backlog.finish(connection, patient.id, step.generation)

    assert not is_released(patient)
    assert patient.callback.on_resume is OnResume.DISCARD


def test_a_return_in_the_middle_begins_again(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was released already, and not sent yet, is held once more: what is said of it then holds
    for all.
    """
    monkeypatch.setattr(backlog, "SLICE", 1)
    patient.put(enabled=False)
    patient.wait("evt_1", LONG_AGO)
    patient.wait("evt_2", LONG_AGO + 1)
    patient.put(enabled=True)
    with patient.database.write() as connection:
        first = backlog.step(connection, patient.id, None, UnixMs(LONG_AGO + 2))
    patient.put(enabled=False)
    patient.put(enabled=True, held=OnResume.DISCARD)

    walk, discarded = first.walk if first else None, 0
    while walk is not None:
        with patient.database.write() as connection:
            step = backlog.step(connection, patient.id, walk, now_ms())
        assert step is not None
        walk, discarded = step.walk, discarded + step.discarded

    assert discarded == 2
