"""Figures of traffic over HTTP: for administrators, with gaps where nothing is known."""

from typing import Any

import pytest
import sqlalchemy as sa

from schemas.figures import HOUR_MS, MINUTE_MS
from schemas.times import UnixMs, now_ms, to_rfc3339
from schemas.tokens.permissions import Permission
from store.tables import figure_gauges
from tests.kit.api import Caller, House
from tests.kit.figures import CALLBACKS, count_live, settlements

DAY_MS = 24 * HOUR_MS


def get(caller: Caller, **query: str) -> Any:
    answer = caller.call("GET", "/v1/stats", query_string=query)
    assert answer.status_code == 200, answer.json
    return answer.json


def refused(caller: Caller, **query: str) -> tuple[int, list[str]]:
    """The status, and what is named as wrong."""
    answer = caller.call("GET", "/v1/stats", query_string=query)
    return answer.status_code, [fault["pointer"] for fault in (answer.json or {}).get("errors", [])]


def ago(ms: int) -> str:
    return to_rfc3339(UnixMs(now_ms() - ms))


def test_an_administrator_sees_what_happened(house: House, admin: Caller) -> None:
    """In all, by type, and step by step; each with percentiles from its own durations."""
    made = settlements(200, now_ms())
    count_live(house.database, made)
    minute = now_ms() // MINUTE_MS * MINUTE_MS - 3 * MINUTE_MS
    with house.database.write() as connection:
        row = {"deliveries_due": 3, "oldest_due_ms": 1_500, "outbox_depth": 2, "queue_depth": 9}
        connection.execute(sa.insert(figure_gauges).values(minute_at=minute, **row))

    stats = get(admin, **{"from": ago(HOUR_MS)})

    total = stats["total"]
    delivered = sum(1 for one in made if one.attempt and one.attempt.outcome == "delivered")
    assert (total["accepted"], total["delivered"], total["failed"]) == (
        200,
        delivered,
        200 - delivered,
    )
    assert total["failures"].keys() == {"timeout", "http_5xx"}
    assert total["success_share"] == delivered / 200
    assert total["exhausted"] > 0
    assert total["cancelled"] == total["superseded"] == 0
    durations = sorted(one.attempt.duration_ms for one in made if one.attempt)
    assert total["latency"]["p50_ms"] == pytest.approx(durations[99], rel=0.09)
    assert total["first_attempt_delay"]["p99_ms"] > 0
    assert sum(one["delivered"] for one in stats["by_type"].values()) == delivered
    assert len(stats["by_type"]) == 3
    points = {point["start"]: point for point in stats["points"]}
    assert stats["step"] == "1m"
    assert len(points) in {60, 61}
    assert sum(one["counts"]["delivered"] for one in points.values() if one["counts"]) == delivered
    sampled = points[to_rfc3339(UnixMs(minute))]
    assert sampled["waiting"] == {
        "deliveries_due": 3,
        "oldest_due_s": 1.5,
        "outbox_depth": 2,
        "queue_depth": 9,
    }
    assert sampled["counts"]["delivered"] == 0, "a dispatcher ran, and nothing happened"
    gap = points[to_rfc3339(UnixMs(minute - 10 * MINUTE_MS))]
    assert (gap["counts"], gap["waiting"]) == (None, None)


def test_a_callback_has_figures_by_the_hour(house: House, admin: Caller) -> None:
    """What is not known of one is null, not zero."""
    made = settlements(200, now_ms())
    count_live(house.database, made)

    stats = get(admin, callback=CALLBACKS[0])

    assert stats["step"] == "1h"
    assert len(stats["points"]) in {24, 25}
    mine = [one for one in made if one.delivery.callback_id == CALLBACKS[0]]
    total = stats["total"]
    assert total["delivered"] + total["failed"] == len(mine)
    assert total["accepted"] is None
    assert total["first_attempt_delay"] is None
    assert stats["by_type"] == {}
    assert get(admin, callback="unknown")["total"]["delivered"] == 0


def test_one_type_can_be_asked_for(house: House, admin: Caller) -> None:
    """The other types are in none of its points."""
    made = settlements(100, now_ms())
    count_live(house.database, made)

    stats = get(admin, type="message.status")

    own = [one for one in made if one.delivery.type == "message.status"]
    assert stats["total"]["accepted"] == len(own)
    assert list(stats["by_type"]) == ["message.status"]


@pytest.mark.parametrize(
    ("period_ms", "step", "points"),
    [
        (15 * MINUTE_MS, "1m", 15),
        (6 * HOUR_MS, "1m", 360),
        (DAY_MS, "5m", 288),
        (48 * HOUR_MS, "5m", 576),
        (30 * DAY_MS, "1h", 720),
    ],
)
def test_a_period_chooses_its_step(admin: Caller, period_ms: int, step: str, points: int) -> None:
    """A chart gets a few hundred points, whatever it shows."""
    stats = get(admin, **{"from": ago(period_ms)})

    assert stats["step"] == step
    assert len(stats["points"]) in {points, points + 1}
    assert stats["from"] == stats["points"][0]["start"]


def test_the_future_and_what_is_kept_no_more_are_cut_off(admin: Caller) -> None:
    """The answer says what it shows."""
    stats = get(admin, **{"from": "2001-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z"})

    assert stats["step"] == "1h"
    assert len(stats["points"]) in {396 * 24, 396 * 24 + 1}
    assert stats["until"] <= ago(-HOUR_MS)


def test_a_step_can_be_chosen(admin: Caller) -> None:
    """As fine as what is kept."""
    assert get(admin, step="5m", **{"from": ago(HOUR_MS)})["step"] == "5m"
    assert get(admin, step="1h", **{"from": ago(HOUR_MS)})["step"] == "1h"


def test_what_cannot_be_shown_is_refused(admin: Caller) -> None:
    """An empty chart would look like an answer."""
    assert refused(admin, step="1m", **{"from": ago(3 * DAY_MS)}) == (422, ["/step"])
    assert refused(admin, step="1m", callback=CALLBACKS[0]) == (422, ["/step"])
    assert refused(admin, step="2m") == (422, ["/step"])
    assert refused(admin, callback=CALLBACKS[0], type="message.status") == (422, ["/type"])
    assert refused(admin, until=ago(HOUR_MS), **{"from": ago(0)}) == (422, ["/from"])
    assert refused(admin, since=ago(HOUR_MS)) == (422, ["/since"])


def test_only_administrators_see_it(house: House) -> None:
    """Figures are of all suppliers together."""
    other = house.caller(Permission.STATS_READ, Permission.DATA_EXPORT)

    assert other.call("GET", "/v1/stats").status_code == 403
    assert Caller(house, None).call("GET", "/v1/stats").status_code == 401
