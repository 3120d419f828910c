"""A dispatcher whose clock leaps ahead, as after a machine was resumed; embedded and on RabbitMQ +
PostgreSQL.
"""

import datetime as dt
import os
import pathlib

from tests.flows.conftest import Starting
from tests.kit.platform import MESSAGE, message, wait_for_all, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.waiting import wait_for

SABOTAGE = pathlib.Path(__file__).parents[1] / "chaos" / "sabotage"
SIX_DAYS_S = 6 * 86_400


def with_clocks_of_our_own(ringback: Ringback, folder: pathlib.Path) -> None:
    """From now on its dispatchers are as far ahead as the file `clock` in that folder says."""
    path = os.pathsep.join([str(SABOTAGE), *filter(None, [os.environ.get("PYTHONPATH")])])
    ringback.env |= {"PYTHONPATH": path, "CHAOS_FOLDER": str(folder)}
    for name in ringback.dispatchers:
        ringback.stop(name)
    ringback.start(*ringback.dispatchers)


def test_a_clock_six_days_ahead_disables_nothing_and_cancels_nothing(
    start: Starting, receiver: Receiver, tmp_path: pathlib.Path
) -> None:
    """What a person would have to undo one by one, or could not undo, is judged by the store's
    clock.
    """
    ringback = start(RETRY_SCHEDULE="1h,1h", DISABLE_AFTER="5d")
    with_clocks_of_our_own(ringback, tmp_path)
    in_two_days = (dt.datetime.now(dt.UTC) + dt.timedelta(days=2)).isoformat()
    ending = ringback.token(
        "ending",
        callbacks={MESSAGE: receiver.url("/ok/x")},
        channels=("chn_1",),
        expires_at=in_two_days,
    )
    failing = ringback.token(
        "failing", callbacks={MESSAGE: receiver.url("/status/500/x")}, channels=("chn_2",)
    )
    waiting = [ringback.publisher.publish(message(n, channel="chn_2")) for n in range(12)]
    wait_for("its breaker to open", lambda: shown(ringback, failing["id"])["state"] == "failing")
    tried = len(receiver.requests("/status/500/x"))

    (tmp_path / "clock").write_text(str(SIX_DAYS_S))
    receiver.wait_for("/status/500/x", tried + 2, limit_s=60)
    sent = [ringback.publisher.publish(message(n, channel="chn_1")) for n in range(3)]

    wait_for_all(receiver, "/ok/x", sent)
    for event_id in sent:
        wait_for_state(ringback.admin, event_id, "delivered")
    for event_id in waiting:
        wait_for_state(ringback.admin, event_id, "pending")
    assert shown(ringback, failing["id"])["state"] == "failing"
    assert shown(ringback, ending["id"])["state"] == "healthy"


def shown(ringback: Ringback, token_id: str) -> dict[str, str]:
    """Its callback, as administrators see it."""
    found: dict[str, str] = ringback.admin.get(f"/v1/tokens/{token_id}")["callbacks"][MESSAGE]
    return found
