"""Settings as text for people, with secrets masked: for `ringback doctor`, docs/settings.md and the
repr of `Settings`.

Reads nothing. Called by `ringback.settings`.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from exchange.broker_address import without_password
from ringback.setting_values import written
from store.engine import database_url


def masked(field: str, value: object) -> str:
    """Return a value as it would be written in the environment. Of one that may hold a secret, only
    what certainly holds none.
    """
    text = written(value, separator=";" if field == "broker_url" else ",")
    mask = _MASKS.get(field)
    return mask(text) if mask is not None and text else text


def _without_path(url: str) -> str:
    """Hide a URL's path and query: for many services they are the key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/***"


_MASKS: dict[str, Callable[[str], str]] = {
    "secret_key": lambda _: "***",
    "alert_secret": lambda _: "***",
    "oidc_client_secret": lambda _: "***",
    "alert_url": _without_path,
    "smtp_url": without_password,
    "broker_url": lambda urls: ";".join(without_password(url) for url in urls.split(";")),
    "database_url": database_url.shown,
}
