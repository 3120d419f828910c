"""When a message may be given to the broker: the circuit breaker, its probe,
and the growing pause.
"""

from hypothesis import given
from hypothesis import strategies as st

from exchange.broker_circuit import LONGEST_PAUSE_S, SHORTEST_PAUSE_S, BrokerCircuit, CircuitState
from exchange.rabbit.reconnecting import pause_after


def closed_circuit(generation: int = 1) -> BrokerCircuit:
    circuit = BrokerCircuit()
    assert circuit.admit(generation, 0) is CircuitState.HALF_OPEN
    assert circuit.confirmed(generation)
    return circuit


def test_without_a_connection_the_circuit_is_open() -> None:
    """At the start, and while the broker is unavailable."""
    assert BrokerCircuit().admit(None, 0) is CircuitState.OPEN


def test_a_new_connection_carries_one_probe_at_a_time() -> None:
    """A broker that is back but not well must not take every request's half second."""
    circuit = BrokerCircuit()

    assert [circuit.admit(1, 0) for _ in range(3)] == [
        CircuitState.HALF_OPEN,
        CircuitState.OPEN,
        CircuitState.OPEN,
    ]


def test_a_confirmed_probe_closes_the_circuit() -> None:
    """The broker is back: no restart of ours."""
    circuit = closed_circuit()

    assert [circuit.admit(1, 0) for _ in range(3)] == [CircuitState.CLOSED] * 3


def test_a_failure_counts_once_however_many_report_it() -> None:
    """Thirty-two requests meet one silence: the pause doubles once."""
    circuit = closed_circuit()

    assert [circuit.failed(1, 10) for _ in range(32)] == [True] + [False] * 31
    assert circuit.admit(2, 10 + SHORTEST_PAUSE_S - 0.01) is CircuitState.OPEN
    assert circuit.admit(2, 10 + SHORTEST_PAUSE_S) is CircuitState.HALF_OPEN


def test_an_old_connections_trouble_does_not_touch_the_new_one() -> None:
    """A request that waited on the old one may be late to say so."""
    circuit = closed_circuit(1)
    circuit.admit(2, 0)
    circuit.confirmed(2)

    assert not circuit.failed(1, 0)
    assert circuit.admit(2, 0) is CircuitState.CLOSED


def test_a_late_confirm_of_a_failed_connection_does_not_close_the_circuit() -> None:
    """Confirms may still come in after a silence; the connection is given up already."""
    circuit = closed_circuit()
    circuit.failed(1, 0)

    assert not circuit.confirmed(1)
    assert circuit.admit(1, 0) is CircuitState.OPEN


def test_an_inconclusive_probe_lets_the_next_message_be_one() -> None:
    """A busy broker that confirms others is no failure."""
    circuit = BrokerCircuit()
    circuit.admit(1, 0)

    circuit.inconclusive(1)

    assert circuit.admit(1, 0) is CircuitState.HALF_OPEN


@given(st.integers(min_value=1, max_value=20))
def test_the_pause_doubles_up_to_its_longest_and_a_success_ends_it(failures: int) -> None:
    """Between one and thirty seconds, whatever happens (docs/invariants.md#unsure-is-not-lost)."""
    circuit, now_s, pause_s = BrokerCircuit(), 0.0, SHORTEST_PAUSE_S
    for generation in range(failures):
        assert circuit.admit(generation, now_s) is CircuitState.HALF_OPEN
        assert circuit.failed(generation, now_s)
        assert circuit.admit(generation + 1, now_s + pause_s - 0.01) is CircuitState.OPEN
        now_s += pause_s
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
    assert circuit.admit(failures, now_s) is CircuitState.HALF_OPEN
    circuit.confirmed(failures)
    circuit.failed(failures, now_s)

    assert circuit.admit(failures + 1, now_s + SHORTEST_PAUSE_S) is CircuitState.HALF_OPEN


@given(st.integers(min_value=0, max_value=10_000), st.floats(min_value=0, max_value=1))
def test_the_pause_between_connects_is_jittered_and_bounded(rounds: int, chance: float) -> None:
    """Never a busy loop, and back within five seconds of the broker."""
    assert 0.125 <= pause_after(rounds, chance) <= 5.0


def test_other_addresses_are_tried_at_once() -> None:
    """A cluster with one node down costs one connect."""
    assert pause_after(-1, 1.0) == 0.0
