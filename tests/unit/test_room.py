"""How a limit of the broker's queues is found: a queue refuses late, after a burst got in."""

from contextlib import nullcontext

import pytest

from exchange.rabbit import policies


@pytest.mark.parametrize(
    ("late", "limited", "found"),
    [(True, True, 155), (False, True, 50), (True, False, None)],
    ids=["a burst got past the limit", "the limit held at once", "no limit"],
)
def test_a_limit_is_found_whenever_it_takes_effect(
    monkeypatch: pytest.MonkeyPatch, late: bool, limited: bool, found: int | None
) -> None:
    """On a busy machine the channel learns of the full queue only after the first burst."""
    held: list[int] = []

    def fill(_channel: object, _name: str, count: int) -> None:
        room = count if not limited or (late and not held) else max(0, 50 - sum(held))
        held.append(min(count, room))

    monkeypatch.setattr(policies, "opened_channel", lambda _url: nullcontext(object()))
    monkeypatch.setattr(policies, "_canary", lambda _channel: nullcontext("canary"))
    monkeypatch.setattr(policies, "_fill", fill)
    monkeypatch.setattr(policies, "_count", lambda _channel, _name: sum(held))
    monkeypatch.setattr(policies, "_checks", lambda _limit_s: [None])

    assert policies.room("amqp://localhost", 55) == found
