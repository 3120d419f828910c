"""When a message may be handed to the broker: the way around it, the probe, the growing pause."""

from hypothesis import given
from hypothesis import strategies as st

from exchange.broker_circuit import LONGEST_PAUSE_S, SHORTEST_PAUSE_S, BrokerCircuit, CircuitState
from exchange.rabbit.reconnecting import pause_after


def trusted(generation: int = 1) -> BrokerCircuit:
    trust = BrokerCircuit()
    assert trust.way(generation, 0) is CircuitState.PROBE
    assert trust.confirmed(generation)
    return trust


def test_without_a_connection_everything_goes_around() -> None:
    """At the start, and while the broker is away."""
    assert BrokerCircuit().way(None, 0) is CircuitState.AROUND


def test_a_new_connection_carries_one_probe_at_a_time() -> None:
    """A broker that is back but not well must not take every request's half second."""
    trust = BrokerCircuit()

    assert [trust.way(1, 0) for _ in range(3)] == [
        CircuitState.PROBE,
        CircuitState.AROUND,
        CircuitState.AROUND,
    ]


def test_a_confirmed_probe_opens_the_way_for_all() -> None:
    """The broker is back: no restart of ours."""
    trust = trusted()

    assert [trust.way(1, 0) for _ in range(3)] == [CircuitState.BROKER] * 3


def test_a_failure_is_heard_once_however_many_tell_of_it() -> None:
    """Thirty-two requests meet one silence: the pause doubles once."""
    trust = trusted()

    assert [trust.failed(1, 10) for _ in range(32)] == [True] + [False] * 31
    assert trust.way(2, 10 + SHORTEST_PAUSE_S - 0.01) is CircuitState.AROUND
    assert trust.way(2, 10 + SHORTEST_PAUSE_S) is CircuitState.PROBE


def test_an_old_connections_trouble_does_not_touch_the_new_one() -> None:
    """A request that waited on the old one may be late to say so."""
    trust = trusted(1)
    trust.way(2, 0)
    trust.confirmed(2)

    assert not trust.failed(1, 0)
    assert trust.way(2, 0) is CircuitState.BROKER


def test_a_connection_that_failed_is_not_trusted_by_a_late_confirm() -> None:
    """Confirms may still come in after a silence; the connection is given up already."""
    trust = trusted()
    trust.failed(1, 0)

    assert not trust.confirmed(1)
    assert trust.way(1, 0) is CircuitState.AROUND


def test_an_undecided_probe_lets_the_next_message_be_one() -> None:
    """A busy broker that confirms others is no failure."""
    trust = BrokerCircuit()
    trust.way(1, 0)

    trust.undecided(1)

    assert trust.way(1, 0) is CircuitState.PROBE


@given(st.integers(min_value=1, max_value=20))
def test_the_pause_doubles_up_to_its_longest_and_a_success_ends_it(failures: int) -> None:
    """Between one and thirty seconds, whatever happens (docs/invariants.md#unsure-is-not-lost)."""
    trust, now_s, pause_s = BrokerCircuit(), 0.0, SHORTEST_PAUSE_S
    for generation in range(failures):
        assert trust.way(generation, now_s) is CircuitState.PROBE
        assert trust.failed(generation, now_s)
        assert trust.way(generation + 1, now_s + pause_s - 0.01) is CircuitState.AROUND
        now_s += pause_s
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
    assert trust.way(failures, now_s) is CircuitState.PROBE
    trust.confirmed(failures)
    trust.failed(failures, now_s)

    assert trust.way(failures + 1, now_s + SHORTEST_PAUSE_S) is CircuitState.PROBE


@given(st.integers(min_value=0, max_value=10_000), st.floats(min_value=0, max_value=1))
def test_the_pause_between_connects_is_jittered_and_bounded(rounds: int, chance: float) -> None:
    """Never a busy loop, and back within five seconds of the broker."""
    assert 0.125 <= pause_after(rounds, chance) <= 5.0


def test_other_addresses_are_tried_at_once() -> None:
    """A cluster with one node down costs one connect."""
    assert pause_after(-1, 1.0) == 0.0
