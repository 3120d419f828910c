"""From what a request holds to the model that describes it, with every fault in words. Called by `routes`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from api.models import KINDS
from schemas.errors import Fault, Invalid, Malformed, NotFound
from schemas.json_text import BYTE_ORDER_MARK, TWICE, doubled, read

M = TypeVar("M", bound=BaseModel)

_UNSENT = {"[key]", *KINDS}  # steps of pydantic's paths that tell kinds of things apart, and stand in no body


def from_body(model: type[M], body: bytes) -> M:
    """Raises Malformed when it is not JSON, Invalid naming every fault by pointer. A byte order mark is skipped."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        found = model.model_validate_json(body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        if details[0]["type"] == "json_invalid":
            raise Malformed(details[0]["msg"]) from None
        raise Invalid("the body breaks the rules", faults=_faults(error, "field")) from None
    try:
        twice = [Fault(TWICE.format(name=name), at) for name, at in doubled(read(body.decode()))]
    except ValueError as error:  # pydantic takes NaN for a number
        raise Malformed(str(error)) from None
    if twice:
        raise Invalid("the body breaks the rules", faults=twice)
    return found


def from_query(model: type[M], parameters: Iterable[tuple[str, Sequence[str]]]) -> M:
    """`parameters` with all the values that each came with. One that is empty, as an unset variable leaves it, or that comes twice
    is refused: it must not answer with more than was meant. Raises Invalid."""
    given = dict(parameters)
    unclear = {name: reason for name, values in given.items() if (reason := _unclear(values))}
    faults = [Fault(reason, pointer((name,))) for name, reason in unclear.items()]
    try:
        read = model.model_validate({name: values[0] for name, values in given.items() if name not in unclear})
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
        raise Invalid("a field of the form breaks the rules", faults=_faults(error, "field")) from None


def from_path(model: type[M], values: Mapping[str, str]) -> M:
    """Raises NotFound: an address that cannot name anything names nothing."""
    try:
        return model.model_validate(values)
    except ValidationError:
        raise NotFound("there is nothing at this address") from None


def pointer(parts: tuple[int | str, ...]) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts if part not in _UNSENT)


def _unclear(values: Sequence[str]) -> str | None:
    if len(values) > 1:
        return "this is given more than once: give it once"
    return None if values[0] else "this is empty: give a value, or leave the parameter out"


def _faults(error: ValidationError, kind: str) -> list[Fault]:
    """`kind` is what we call what has a name there."""
    return [_fault(detail, kind) for detail in error.errors(include_url=False, include_context=False, include_input=False)]


def _fault(detail: Any, kind: str) -> Fault:
    message = f"there is no such {kind}" if detail["type"] == "extra_forbidden" else detail["msg"].removeprefix("Value error, ")
    return Fault(message, pointer(detail["loc"]))
