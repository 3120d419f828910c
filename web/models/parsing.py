"""From what a request holds to the model that describes it, with every fault in words. Called by
`routes`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.errors import Fault, Invalid, Malformed, NotFound
from schemas.events.json_text import BYTE_ORDER_MARK, TWICE, decoded, doubled, read, without_halves
from schemas.texts import shortened
from web.models.bodies import KINDS, Body

M = TypeVar("M", bound=BaseModel)
B = TypeVar("B", bound=Body)

_BODY = "the body breaks the rules"
_MAY_BE_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF_FAULT = "this holds half of a surrogate pair, as is left where a text was cut inside of a character: send the whole, or leave it out"

_UNSENT = {
    "[key]",
    *KINDS,
}  # steps of pydantic's paths that tell kinds of things apart, and stand in no body


def from_body(model: type[B], body: bytes) -> B:
    """Raises Malformed when it is not JSON, Invalid naming every fault by pointer. A byte order
    mark is skipped.
    """
    try:
        tree = read(decoded(body))
    except ValueError as error:
        raise Malformed(str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    halves: list[str] = []
    tree = without_halves(tree, halves) if _MAY_BE_HALF.search(body) else tree
    faults = [Fault(TWICE.format(name=shortened(name)), at) for name, at in doubled(tree)]
    faults += [
        Fault(_HALF_FAULT, at) for at in halves if at.rpartition("/")[2] not in model.log_texts
    ]
    try:
        found = _model(model, body.removeprefix(BYTE_ORDER_MARK), tree)
    except ValidationError as error:
        places = {fault.pointer for fault in faults}
        raise Invalid(
            _BODY,
            faults=[
                *faults,
                *(one for one in _faults(error, "field") if one.pointer not in places),
            ],
        ) from None
    if faults:
        raise Invalid(_BODY, faults=faults)
    return found


def _model(model: type[B], body: bytes, tree: object) -> B:
    """Of what was sent, or of `tree` spelled anew: pydantic reads neither halves of surrogate pairs
    nor very long numbers. Raises ValidationError, Malformed.
    """
    for sent in (body, None):
        try:
            return model.model_validate_json(json.dumps(tree) if sent is None else sent)
        except ValidationError as error:
            if (
                error.errors(include_url=False, include_context=False, include_input=False)[0][
                    "type"
                ]
                != "json_invalid"
            ):
                raise
    raise _too_deep()  # it counts to 200


def _too_deep() -> Malformed:
    return Malformed("JSON is malformed: it is nested too deeply")


def from_query(model: type[M], parameters: Iterable[tuple[str, Sequence[str]]]) -> M:
    """`parameters` with all the values that each came with. One that is empty, as an unset variable leaves it, or that comes twice
    is refused: it must not answer with more than was meant. Raises Invalid.
    """
    given = dict(parameters)
    unclear = {name: reason for name, values in given.items() if (reason := _unclear(values))}
    faults = [Fault(reason, pointer((name,))) for name, reason in unclear.items()]
    try:
        read = model.model_validate(
            {name: values[0] for name, values in given.items() if name not in unclear}
        )
    except ValidationError as error:
        faults += _faults(error, "parameter")
    else:
        if not faults:
            return read
    raise Invalid("a query parameter breaks the rules", faults=faults)


def from_form(model: type[M], fields: Mapping[str, str]) -> M:
    """Raises Invalid."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise Invalid(
            "a field of the form breaks the rules", faults=_faults(error, "field")
        ) from None


def from_path(model: type[M], values: Mapping[str, str]) -> M:
    """Raises NotFound: an address that cannot name anything names nothing."""
    try:
        return model.model_validate(values)
    except ValidationError:
        raise NotFound("there is nothing at this address") from None


def pointer(parts: tuple[int | str, ...]) -> str:
    """RFC 6901."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1")
        for part in parts
        if part not in _UNSENT
    )


def _unclear(values: Sequence[str]) -> str | None:
    if len(values) > 1:
        return "this is given more than once: give it once"
    return None if values[0] else "this is empty: give a value, or leave the parameter out"


def _faults(error: ValidationError, kind: str) -> list[Fault]:
    """`kind` is what we call what has a name there."""
    return [
        _fault(detail, kind)
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _fault(detail: Any, kind: str) -> Fault:
    message = (
        f"there is no such {kind}"
        if detail["type"] == "extra_forbidden"
        else detail["msg"].removeprefix("Value error, ")
    )
    return Fault(message, pointer(detail["loc"]))
