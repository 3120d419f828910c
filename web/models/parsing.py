"""From a request's raw values to the model that describes it, with every fault in words. Called by
`routes`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import Fault, Invalid, Malformed, NotFound
from schemas.events.json_text import (
    BYTE_ORDER_MARK,
    DUPLICATE_NAME,
    decoded,
    duplicate_names,
    read,
    without_halves,
)
from schemas.texts import shortened
from web.models.bodies import Body

M = TypeVar("M", bound=BaseModel)
B = TypeVar("B", bound=Body)

INVALID_BODY = "the request body is invalid"

UNION_TAGS = COMPLETED, WHOLE = "[completed]", "[whole]"
"""Tags of the models in a union. Pydantic adds them to the paths of faults."""

_NOT_IN_BODY = {"[key]", *UNION_TAGS}
"""Steps of pydantic's paths that are no part of a body."""

_MAY_BE_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF_FAULT = (
    "this holds half of a surrogate pair, as when a text is cut inside of a character: send the"
    " whole character, or leave it out"
)


def from_body(model: type[B], body: bytes) -> B:
    """Read a JSON body. A byte order mark is skipped. Raises Malformed when it is not JSON, Invalid
    with every fault by pointer.
    """
    try:
        tree = read(decoded(body))
    except ValueError as error:
        raise Malformed(str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    halves: list[str] = []
    tree = without_halves(tree, halves) if _MAY_BE_HALF.search(body) else tree
    faults = [
        Fault(DUPLICATE_NAME.format(name=shortened(name)), at) for name, at in duplicate_names(tree)
    ]
    faults += [
        Fault(_HALF_FAULT, at) for at in halves if at.rpartition("/")[2] not in model.log_texts
    ]
    try:
        value = _validated(model, body.removeprefix(BYTE_ORDER_MARK), tree)
    except ValidationError as error:
        known = {fault.pointer for fault in faults}
        faults += [fault for fault in _faults(error, "field") if fault.pointer not in known]
        raise Invalid(INVALID_BODY, faults=faults) from None
    if faults:
        raise Invalid(INVALID_BODY, faults=faults)
    return value


def _validated(model: type[B], body: bytes, tree: object) -> B:
    """Validate the body as it was sent, or else `tree` encoded again: pydantic reads neither halves
    of surrogate pairs nor very long numbers. Raises ValidationError, Malformed.
    """
    for sent in (body, None):
        try:
            return model.model_validate_json(json.dumps(tree) if sent is None else sent)
        except ValidationError as error:
            if _details(error)[0]["type"] != "json_invalid":
                raise
    raise _too_deep()  # pydantic allows 200 levels


def _too_deep() -> Malformed:
    return Malformed("JSON is malformed: it is nested too deeply")


def from_query(model: type[M], parameters: Iterable[tuple[str, Sequence[str]]]) -> M:
    """Read a query; each parameter comes with all its values. Raises Invalid.

    A parameter that is empty, as an unset variable leaves it, or that is given twice, is refused:
    otherwise the response could hold more than was meant.
    """
    given = dict(parameters)
    unclear = {name: reason for name, values in given.items() if (reason := _unclear(values))}
    faults = [Fault(reason, pointer((name,))) for name, reason in unclear.items()]
    try:
        value = model.model_validate(
            {name: values[0] for name, values in given.items() if name not in unclear}
        )
    except ValidationError as error:
        faults += _faults(error, "parameter")
    else:
        if not faults:
            return value
    raise Invalid("a query parameter is invalid", faults=faults)


def from_form(model: type[M], fields: Mapping[str, str]) -> M:
    """Read the fields of a form. Raises Invalid."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise Invalid("a form field is invalid", faults=_faults(error, "field")) from None


def from_path(model: type[M], values: Mapping[str, str]) -> M:
    """Read the variables of a path. Raises NotFound: an invalid path names nothing."""
    try:
        return model.model_validate(values)
    except ValidationError:
        raise NotFound("there is nothing at this address: check it") from None


def pointer(steps: Sequence[int | str]) -> str:
    """Return the JSON pointer (RFC 6901) of a path."""
    return "".join(
        "/" + str(step).replace("~", "~0").replace("/", "~1")
        for step in steps
        if step not in _NOT_IN_BODY
    )


def _unclear(values: Sequence[str]) -> str | None:
    if len(values) > 1:
        return "this is given more than once: give it once"
    return None if values[0] else "this is empty: give a value, or leave the parameter out"


def _faults(error: ValidationError, noun: str) -> list[Fault]:
    """Return the faults in plain words. `noun` is the word for a named input: field, parameter."""
    return [_fault(detail, noun) for detail in _details(error)]


def _fault(detail: ErrorDetails, noun: str) -> Fault:
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = f"there is no such {noun}"
    return Fault(message, pointer(detail["loc"]))


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)
