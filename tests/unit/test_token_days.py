"""Days of tokens as moments, on ordinary days and on those when the clocks change."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from dashboard.tokens.days import Edge, chosen, day_of, read_day, read_zone, start_of, zone_names
from schemas.times import UnixMs, from_rfc3339, to_rfc3339

ROME, UTC, CAIRO = ZoneInfo("Europe/Rome"), ZoneInfo("UTC"), ZoneInfo("Africa/Cairo")
SPRING, AUTUMN = dt.date(2027, 3, 28), dt.date(2027, 10, 31)
"""The days on which the clocks of Rome change: one has 23 hours, the other 25."""

_HOUR_MS = 3_600_000


def _at(text: str) -> UnixMs:
    return from_rfc3339(text)


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (dt.date(2027, 3, 31), 24), (AUTUMN, 25)])
def test_a_day_ends_where_the_next_local_day_starts(day: dt.date, hours: int) -> None:
    """Adding 24 hours would end a token an hour early or late when the clocks change."""
    start, end = Edge.START.moment(day, ROME), Edge.END.moment(day, ROME)

    assert end - start == hours * _HOUR_MS
    assert end == Edge.START.moment(day + dt.timedelta(days=1), ROME)


def test_the_last_day_of_march_in_rome_ends_at_midnight_in_rome() -> None:
    """A token that expires on 31 March must work on 31 March: in Rome, not in UTC."""
    end = Edge.END.moment(dt.date(2027, 3, 31), ROME)

    assert to_rfc3339(end) == "2027-03-31T22:00:00.000Z"


def test_both_days_of_changing_clocks_end_at_their_own_offset() -> None:
    """The offset at the end of such a day is not that of its morning."""
    assert to_rfc3339(Edge.START.moment(SPRING, ROME)) == "2027-03-27T23:00:00.000Z"
    assert to_rfc3339(Edge.END.moment(SPRING, ROME)) == "2027-03-28T22:00:00.000Z"
    assert to_rfc3339(Edge.START.moment(AUTUMN, ROME)) == "2027-10-30T22:00:00.000Z"
    assert to_rfc3339(Edge.END.moment(AUTUMN, ROME)) == "2027-10-31T23:00:00.000Z"


def test_a_day_without_a_midnight_starts_when_the_clocks_go_forward() -> None:
    """In Cairo summer time begins at midnight, so that day's first moment is 01:00."""
    start = start_of(dt.date(2027, 4, 30), CAIRO)

    assert to_rfc3339(start) == "2027-04-29T22:00:00.000Z"
    assert day_of(start, CAIRO) == dt.date(2027, 4, 30)
    assert day_of(UnixMs(start - 1), CAIRO) == dt.date(2027, 4, 29)


@pytest.mark.parametrize("day", [SPRING, dt.date(2027, 3, 31), AUTUMN, dt.date(2028, 2, 29)])
@pytest.mark.parametrize("edge", Edge)
def test_a_day_is_shown_as_the_day_that_was_chosen(edge: Edge, day: dt.date) -> None:
    """The last day of a token is the day before the midnight at which it ends."""
    moment = edge.moment(day, ROME)

    assert edge.day(moment, ROME) == day
    assert edge.is_met(moment, ROME)


def test_a_moment_within_a_day_survives_a_save_untouched() -> None:
    """A token that was created by a program has any moment: saving its name must not move it."""
    was = _at("2027-03-31T13:37:00.123Z")

    for edge in Edge:
        typed = edge.day(was, ROME)
        assert not edge.is_met(was, ROME)
        assert chosen(edge, typed, ROME, was, ROME) == was
        assert chosen(edge, typed, UTC, was, ROME) == was


def test_a_day_that_was_changed_means_the_end_of_the_new_day() -> None:
    """What is typed counts, and the old time of day does not."""
    was = _at("2027-03-31T13:37:00.123Z")

    ends = chosen(Edge.END, dt.date(2027, 4, 2), ROME, was, ROME)

    assert to_rfc3339(ends) == "2027-04-02T22:00:00.000Z"


def test_a_whole_day_stays_that_day_in_another_zone() -> None:
    """People change the zone because they mean the end of the day over there."""
    was = Edge.END.moment(dt.date(2027, 3, 31), UTC)

    ends = chosen(Edge.END, dt.date(2027, 3, 31), ROME, was, UTC)

    assert ends == Edge.END.moment(dt.date(2027, 3, 31), ROME)


def test_a_field_that_showed_nothing_takes_the_day() -> None:
    """A token that never expired gets an end."""
    assert chosen(Edge.END, SPRING, ROME, None, ROME) == Edge.END.moment(SPRING, ROME)


@pytest.mark.parametrize("text", ["", "2027-02-30", "2027-W13-3", "31.03.2027", "20270331", "x"])
def test_what_is_no_day_is_refused(text: str) -> None:
    """Browsers without a calendar send whatever was typed."""
    with pytest.raises(ValueError, match="day"):
        read_day(text)


def test_a_day_out_of_range_is_refused() -> None:
    """The year 9999 ends in a year that no time can be written in."""
    with pytest.raises(ValueError, match="no such day"):
        Edge.END.moment(dt.date.max, ROME)
    with pytest.raises(ValueError, match="no such day"):
        Edge.START.moment(dt.date.min, ROME)


def test_zones_are_offered_by_city_and_refused_if_unknown() -> None:
    """A zone decides when a token ends, so a mistyped one must not become UTC."""
    assert {"UTC", "Europe/Rome", "America/New_York"} <= set(zone_names())
    assert read_zone("Europe/Rome").key == "Europe/Rome"
    for name in ("Europe/Roma", "", "../etc/passwd"):
        with pytest.raises(ValueError, match="no such time zone"):
            read_zone(name)
