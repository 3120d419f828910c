"""Whether settings that are each valid fit together. Called by `ringback.settings`."""

import datetime as dt
from typing import TYPE_CHECKING

from ringback.setting_faults import Disagreement
from schemas.tokens.target_policy import TargetPolicy

if TYPE_CHECKING:  # the settings call this module
    from ringback.settings import Settings

DRAIN_MARGIN = dt.timedelta(seconds=5)
"""What a drain needs in addition to the slowest attempt, to settle and to acknowledge. Larger:
stops may take longer. Smaller: what ended last is not settled, and is sent again.
"""


def require_agreement(settings: "Settings") -> None:
    """Raise Disagreement for the first setting that contradicts another one."""
    _require_times_that_fit(settings)
    _require_secrets(settings)
    _require_a_way_to_sign_in(settings)


def _require_times_that_fit(settings: "Settings") -> None:
    if settings.connect_timeout > settings.timeout:
        raise Disagreement(
            "connect_timeout",
            "connecting is part of an attempt: at most RINGBACK_TIMEOUT",
        )
    if settings.drain_timeout < settings.timeout + DRAIN_MARGIN:
        raise Disagreement(
            "drain_timeout",
            "a stop waits for what is in flight: at least RINGBACK_TIMEOUT + 5s",
        )
    if settings.retention <= sum(settings.retry_schedule, dt.timedelta(0)):
        raise Disagreement(
            "retention",
            "an event is kept while it is retried: longer than all delays of "
            "RINGBACK_RETRY_SCHEDULE together",
        )


def _require_secrets(settings: "Settings") -> None:
    if not settings.secret_key and not settings.embedded:
        raise Disagreement(
            "secret_key",
            "required with a broker or PostgreSQL, the same in every process (create one: "
            "openssl rand -hex 32)",
        )
    policy = TargetPolicy(settings.allow_targets, settings.allow_http)
    if settings.alert_url and (fault := policy.url_fault(settings.alert_url)):
        raise Disagreement("alert_url", fault)
    if settings.smtp_url and not settings.mail_from:
        raise Disagreement(
            "mail_from", "required with RINGBACK_SMTP_URL: Ringback <ringback@example.com>"
        )
    if settings.alert_url and not settings.alert_secret:
        raise Disagreement(
            "alert_secret",
            "required with RINGBACK_ALERT_URL: whsec_ and base64 (openssl rand -base64 32)",
        )


def _require_a_way_to_sign_in(settings: "Settings") -> None:
    client = {
        "oidc_issuer": settings.oidc_issuer,
        "oidc_client_id": settings.oidc_client_id,
        "oidc_client_secret": settings.oidc_client_secret,
    }
    missing = [name for name, value in client.items() if not value]
    if missing and len(missing) < len(client):
        raise Disagreement(missing[0], "RINGBACK_OIDC_* are set together, or none of them")
    if not settings.oidc_issuer and not settings.local_sign_in:
        raise Disagreement(
            "local_sign_in", "false needs RINGBACK_OIDC_ISSUER: else no one could sign in"
        )
