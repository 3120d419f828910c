"""What is wrong with a setting, as one line that names it and never shows its value.

Called by `ringback.settings`, which raises the lines as one UsageError.
"""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ringback.setting_names import variable

_EXPECTED = {
    "allow_http": "true or false",
    "local_sign_in": "true or false",
    "timeout": "longer than 0s",
    "connect_timeout": "longer than 0s",
    "callback_concurrency": "a whole number from 1 to 10000",
    "disable_after": "longer than 0s",
    "outbox_max": "a whole number from 1",
}
"""What pydantic would say in its own words, by field."""


class Disagreement(ValueError):
    """Settings that are each valid but contradict each other. `field` is the one to change."""

    def __init__(self, field: str, why: str):
        super().__init__(why)
        self.field = field


def faults(error: ValidationError) -> list[str]:
    """Return one text for each wrong setting. Inputs are left out, as they may be secrets."""
    return [
        _fault(details)
        for details in error.errors(include_url=False)
        if details["type"] != "default_factory_not_called"
    ]


def _fault(details: ErrorDetails) -> str:
    cause = details.get("ctx", {}).get("error")
    field = cause.field if isinstance(cause, Disagreement) else str(details["loc"][0])
    return f"{variable(field)}: {cause or _EXPECTED.get(field, details['msg'])}"
