"""The watch over a broker: what it found last counts until it finds something else. What it looks
for: `test_rabbit_policies`.
"""

from exchange.rabbit.policies import EXPIRES, TTL
from exchange.rabbit.policy_watch import BrokerWatch
from schemas.errors import ExchangeUnavailable
from tests.kit.notes import Notes


def test_what_was_found_holds_while_the_broker_is_away() -> None:
    """An event that expired counts for ten minutes."""
    now, answers = [0.0], [[EXPIRES], ExchangeUnavailable("away"), []]

    def look(_url: str) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, ExchangeUnavailable):
            raise answer
        return answer

    watch = BrokerWatch("", Notes(), look, lambda: now[0])
    harm = [watch.harm]
    for _ in range(3):
        watch.check()
        harm.append(watch.harm)
    watch.gave_up("delivery_limit")
    harm.append(watch.harm)
    watch.gave_up("expired")
    harm.append(watch.harm)
    now[0] = 601.0

    assert harm == [None, EXPIRES, EXPIRES, None, None, TTL]
    assert watch.harm is None
