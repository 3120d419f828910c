"""Points in time and durations, as they are spelled outside."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.times import UnixMs, format_duration, from_rfc3339, parse_duration, to_rfc3339

DURATIONS = st.integers(0, 10**9).map(lambda ms: dt.timedelta(milliseconds=ms))


@given(st.integers(-30_610_224_000_000, 253_402_300_799_999))
def test_a_time_is_read_back_to_the_millisecond(at: int) -> None:
    """From the year 1000 to the end of 9999."""
    assert from_rfc3339(to_rfc3339(UnixMs(at))) == at


@given(
    st.datetimes(
        dt.datetime(1971, 1, 1),  # noqa: DTZ001 - bounds have no zone
        dt.datetime(9998, 1, 1),  # noqa: DTZ001 - bounds have no zone
        timezones=st.timezones(),
    )
)
def test_an_offset_is_taken_into_account(moment: dt.datetime) -> None:
    """RFC 3339 has offsets of whole minutes."""
    offset = moment.utcoffset()
    if offset is not None and offset % dt.timedelta(minutes=1) == dt.timedelta(0):
        whole = moment.replace(microsecond=0)
        assert from_rfc3339(whole.isoformat()) == int(whole.timestamp()) * 1000


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22t10:00:00z",
        "2026-11-22 10:00:00.000Z",
        "2026-11-22T11:00:00+01:00",
        "2026-11-22T10:00:00-00:00",
        "2026-11-22T10:00:00.000999999999Z",
        "2026-11-22t09:30:00.0-00:30",
    ],
)
def test_the_spellings_of_rfc3339_are_one_time(text: str) -> None:
    """RFC 3339 section 5.6: the letters may be small, and a space may replace the T."""
    assert to_rfc3339(from_rfc3339(text)) == "2026-11-22T10:00:00.000Z"


UNREADABLE = [
    "",
    "yesterday",
    "2026-11-22",
    "2026-11-22T10:00:00",
    "2026-13-22T10:00:00Z",
    "20261122T100000Z",
    "1",
    "2026-02-30T10:00:00Z",
]
UNREADABLE += [
    "2026-11-22T24:00:00Z",
    "2026-11-22T10:00:00+25:00",
    "2026-11-22T10:00:61Z",
    "2026-11-22T10:00:00 01:00",
]
UNREADABLE += [
    "2026-11-22T10:00:60Z",
    "2026-12-31T23:59:60+01:00",
    "2026-W47-7T10:00:00Z",
    "2026-W47-7T10:00:00.000Z",
    "2026-11-22T10:00:00,5Z",
    "2026-11-22T10:00:00.Z",
    "2026-11-22T10:00:00.5 Z",
    "2026-11-22T10:00:00 Z",
    "2026-11-22T10:00:00+01",
    "2026-11-22T10:00:00+0100",
    "2026-11-22T10:00:00+23:59:30",
    "2026-11-22T10:00:00+01:00:00.5",
    "2026-11-22T10:00:00+01:60",
    "2026-11-22T10:00:00.5+01:00Z",
    "2026-11-22T10:00:00.\u0665Z",
    "2026-11-22T10:00:00.²Z",
    "٢026-11-22T10:00:00.000Z",
    "2026-11-22T24:00:00.000Z",
    "2026-11-22T10:00:00.000",
    "2026-11-22_10:00:00Z",
    "2026-11-22T10:00:Z\0.000Z",
    "2026-11-22T10:00:00.0Z\0Z",
    "2026-11-22T10:00:00Z\n",
    "2026-11-22T10:00Z",
    "2026-11-22T\ud83d0:00:00Z",
    "9" * 5000,
    "2026-11-22T10:00:00Z" + "0" * 5000,
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    """In our words, never Python's: the reader wrote no Python. Without an offset it is no
    point in time.
    """
    with pytest.raises(ValueError, match=r"like 2026-11-22T10:00:00\.000Z"):
        from_rfc3339(text)


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:60Z", "2017-01-01T00:59:60.000+01:00", "2016-12-31t15:59:60-08:00"]
)
def test_a_leap_second_is_the_first_second_of_the_next_day(text: str) -> None:
    """It is a time that there was. Unix time has no number of its own for it."""
    assert to_rfc3339(from_rfc3339(text)) == "2017-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    "text",
    [
        "0999-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00+01:00",
        "1000-01-01T00:30:00+01:00",
        "9999-12-31T23:30:00-01:00",
    ],
)
def test_a_time_that_could_not_be_written_again_is_refused(text: str) -> None:
    """An accepted time is written again, in UTC: with three or five digits of a year it could not
    be read.
    """
    with pytest.raises(ValueError, match="years 1000 to 9999"):
        from_rfc3339(text)


@given(DURATIONS)
def test_a_duration_is_read_back(duration: dt.timedelta) -> None:
    """Whatever unit it is spelled in."""
    if duration % dt.timedelta(seconds=1) == dt.timedelta(0) and duration.total_seconds() < 10**6:
        assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("0s", 0), ("1.5h", 5400), ("24h", 86400), ("5d", 432000), (" 30m ", 1800)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """Durations as people write them."""
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "5 s", "-5s", "1h30m", "5w", "soon", "٣s", "9" * 400 + "d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)
