"""The life of a delivery: its table of moves, and that the store writes states by it alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import (
    SETTLED,
    DeliveryState,
    IllegalMove,
    Move,
    next_state,
    source_states,
    target_state,
)
from store.engine.prepared import Prepared
from store.tables import deliveries, delivery_moves

STORE = Path(__file__).parents[2] / "store"
RECOVERING = {Move.REOPENED, Move.RESTARTED}


@pytest.mark.parametrize("state", sorted(SETTLED))
@pytest.mark.parametrize("move", list(Move))
def test_what_has_ended_moves_no_more(state: DeliveryState, move: Move) -> None:
    """Except that an answer always counts, and a recovery gives what was exhausted
    another chance.
    """
    allowed = {(DeliveryState.EXHAUSTED, Move.REOPENED): DeliveryState.PENDING}.get((state, move))
    if move is Move.ANSWERED:
        allowed = DeliveryState.DELIVERED

    if allowed is not None:
        assert next_state(state, move) is allowed
    else:
        with pytest.raises(IllegalMove):
            next_state(state, move)


def test_what_is_pending_ends_once() -> None:
    """Each way has its own end. Only a failure with attempts left, and a recovery of a held
    delivery, are none.
    """
    ends = {
        move: next_state(DeliveryState.PENDING, move)
        for move in Move
        if move not in {Move.REOPENED, Move.MADE}
    }

    assert ends.pop(Move.FAILED) is DeliveryState.PENDING
    assert ends.pop(Move.RESTARTED) is DeliveryState.PENDING
    assert set(ends.values()) == SETTLED


@pytest.mark.parametrize("move", [Move.REOPENED, Move.MADE])
def test_what_is_pending_is_neither_made_nor_reopened(move: Move) -> None:
    """A recovery of a held delivery is another move than that of an exhausted one."""
    with pytest.raises(IllegalMove):
        next_state(DeliveryState.PENDING, move)


def test_a_delivery_begins_pending() -> None:
    """Nothing but its first row can be done to a delivery that has none."""
    assert next_state(None, Move.MADE) is DeliveryState.PENDING
    for move in set(Move) - {Move.MADE}:
        with pytest.raises(IllegalMove):
            next_state(None, move)


@pytest.mark.parametrize("move", list(Move))
def test_a_move_leads_to_one_state(move: Move) -> None:
    """An update needs no CASE then: it writes the same state, whatever was there."""
    before = source_states(move)

    assert {next_state(state, move) for state in before} <= {target_state(move)}
    assert before or move is Move.MADE


@pytest.mark.parametrize("wanted", [(move,) for move in Move] + [tuple(RECOVERING)])
def test_sql_permits_what_the_table_does(wanted: tuple[Move, ...]) -> None:
    """The condition is the table's, row by row, and no list that only SQLAlchemy can expand."""
    permitted = delivery_moves.permitted(*wanted)
    statement = sa.select(deliveries.c.event_id).where(permitted)
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        deliveries.create(connection)
        for state in SETTLED | {DeliveryState.PENDING}:
            connection.execute(sa.insert(deliveries).values(a_row(state)))
        rows = set(Prepared(statement).run(connection, {}).scalars())
    engine.dispose()

    assert rows == {state.value for move in wanted for state in source_states(move)}
    assert "POSTCOMPILE" not in str(statement.compile())


def test_a_move_that_ends_clears_what_makes_a_row_come_back() -> None:
    """A settled row that stayed due would be sent again."""
    for move in Move:
        columns = delivery_moves.columns(move, "why")
        assert columns["state"] == target_state(move).value
        assert columns["reason"] == "why"
        if target_state(move) in SETTLED:
            assert (columns["due_at"], columns["leased"]) == (None, False)


def test_only_the_table_says_which_state_is_written() -> None:
    """A state that is written out in an update bypasses the table unnoticed."""
    found = [
        f"{path.relative_to(STORE.parent)}:{line}"
        for path in sorted(STORE.rglob("*.py"))
        for line in spelled_states(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert not found, "use store.tables.delivery_moves: " + ", ".join(found)


def test_a_spelled_state_is_noticed() -> None:
    """In whichever form an update can be written."""
    spelled = (
        "sa.update(d).values(state=DeliveryState.CANCELLED.value)",
        'sa.update(d).values({"state": "cancelled"})',
        'row["state"] = DeliveryState.PENDING',
        "Settlement(delivery, DeliveryState.PENDING)",
        "Settlement(delivery, state=DeliveryState.PENDING)",
        "next_state(DeliveryState.PENDING, Move.WITHDRAWN)",
        "where(d.c.state.in_([DeliveryState.PENDING]))",
    )
    only_read = (
        "settlement.state is DeliveryState.EXHAUSTED",
        "d.c.state == DeliveryState.PENDING.value",
        "ListedDelivery(state=DeliveryState.HELD)",
        '{"state": recovery.state.value}',
        "sa.update(recoveries).values(state=RecoveryState.CANCELLED.value)",
    )

    assert all(list(spelled_states(ast.parse(one))) for one in spelled)
    assert not any(list(spelled_states(ast.parse(one))) for one in only_read)


def spelled_states(tree: ast.Module) -> Iterator[int]:
    """Lines that name a state of a delivery as a value to be written, or ask for the next one."""
    for node in ast.walk(tree):
        written: list[ast.expr] = []
        match node:
            case ast.Dict():
                pairs = zip(node.keys, node.values, strict=True)
                written = [value for key, value in pairs if is_text(key, "state")]
            case ast.Assign(targets=[ast.Subscript(slice=key)]) if is_text(key, "state"):
                written = [node.value]
            case ast.Call(func=ast.Attribute(attr="in_")):
                written = node.args
            case ast.Call(func=ast.Attribute(attr="values")):
                written = [one.value for one in node.keywords if one.arg == "state"]
            case ast.Call(func=ast.Name(id="Settlement")):
                written = node.args[1:2] + [
                    one.value for one in node.keywords if one.arg == "state"
                ]
            case ast.Call(func=ast.Name(id="next_state")):
                yield node.lineno
        if any(names_state(inner) for value in written for inner in ast.walk(value)):
            yield node.lineno


def names_state(node: ast.AST) -> bool:
    """Whether this is a member of DeliveryState, or the text of one."""
    match node:
        case ast.Attribute(value=ast.Name(id="DeliveryState")):
            return True
        case ast.Constant(value=str(text)):
            return text in set(DeliveryState)
    return False


def is_text(node: ast.AST | None, text: str) -> bool:
    """Whether this is that text, spelled."""
    return isinstance(node, ast.Constant) and node.value == text


def a_row(state: DeliveryState) -> dict[str, object]:
    """A delivery of an event that is called as its state."""
    texts = dict.fromkeys(("event_id", "callback_id", "token_id", "type", "state"), state.value)
    return {**texts, "created_at": 0, "leased": False, "lease": 0, "failures": 0}
