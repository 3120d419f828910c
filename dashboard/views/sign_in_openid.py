"""Signing in by OpenID Connect: to the provider and back. Who may sign in are the people of the
roster, by the e-mail address that the provider has verified.
"""

import time
from http import HTTPStatus

from flask import Response, session

from dashboard.http.local_address import local_address
from dashboard.oidc import flow
from dashboard.oidc.flow import Pending
from dashboard.oidc.id_token import LEEWAY_S
from dashboard.oidc.provider import RETURN_PATH, Identity, OpenIdProvider
from dashboard.oidc.refusals import Refusal, SignInRefused
from dashboard.pages import Page, shown
from dashboard.passwords import TooManyGuesses
from dashboard.views.beginning import begin, note_refusal
from dashboard.views.sign_in import sign_in_page
from dashboard.visit import Visit
from dashboard.zones import is_zone
from schemas.emails import email_fault, read_email
from schemas.errors import NotFound
from schemas.people import Person
from web.rate_limits import client_network, in_seconds


def openid(visit: Visit) -> Response:
    """Send the person to the provider. With `again=yes` it asks them to prove again who they are,
    although it may know them: for what needs a password just now.
    """
    provider, to = _provider(visit), local_address(visit.query.get("next", "/"))
    zone, again = visit.query.get("zone", ""), visit.query.get("again") == "yes"
    known_zone = zone if is_zone(zone) else None  # another could be longer than a cookie may be
    pending = flow.begin(session, to, known_zone, _now_s(visit), again=again)
    try:
        return visit.go(visit.parts.threads.aside(lambda: provider.address_to_sign_in(pending)))
    except SignInRefused as refused:
        return _refused(visit, provider, refused, to)


def openid_return(visit: Visit) -> Response:
    """Sign in the person whom the provider sends back."""
    provider, answer = _provider(visit), visit.query.to_dict()
    pending = flow.take(session, answer.get("state", ""), _now_s(visit))
    if pending is None:
        unknown = SignInRefused(Refusal.STATE, "this browser began no such sign-in, or long ago")
        return _refused(visit, provider, unknown, "/")
    to = local_address(pending.to)
    network = client_network(visit.address or "")
    if wait_ns := visit.parts.openid_returns.take(network, time.monotonic_ns()).wait_ns:
        return _too_many(visit, in_seconds(wait_ns), to)
    try:
        identity = visit.parts.threads.aside(
            lambda: provider.identify(provider.require_answer(answer), pending)
        )
        person = _person(visit, identity.email)
    except SignInRefused as refused:
        return _refused(visit, provider, refused, to)
    proved = _is_proved(identity, pending)
    return begin(visit, person, visit.go(to), pending.zone, is_confirmed=proved)


def _is_proved(identity: Identity, pending: Pending) -> bool:
    """Return whether the person proved just now who they are. A provider that does not say when is
    trusted to have done what it was asked.
    """
    if identity.proved_s is None:
        return pending.again
    return identity.proved_s >= pending.begun_s - LEEWAY_S


def _too_many(visit: Visit, wait_s: int, to: str) -> Response:
    response = sign_in_page(
        visit,
        to,
        fault=TooManyGuesses(wait_s).said(visit),
        status=HTTPStatus.TOO_MANY_REQUESTS,
        at_provider=True,
    )
    response.headers["Retry-After"] = str(wait_s)
    return response


def _provider(visit: Visit) -> OpenIdProvider:
    if visit.parts.openid is None:
        raise NotFound("signing in by OpenID Connect is not set up: see RINGBACK_OIDC_ISSUER")
    return visit.parts.openid


def _person(visit: Visit, email: str) -> Person:
    person = None if email_fault(email) else visit.parts.people.find(read_email(email))
    if person is None:
        raise SignInRefused(Refusal.UNKNOWN, "the address may not sign in", email[:254])
    return person


def _refused(visit: Visit, provider: OpenIdProvider, refused: SignInRefused, to: str) -> Response:
    """Say why on the page for signing in, and in the log in detail."""
    note_refusal(visit, refused.kind, detail=str(refused), email=refused.email)
    is_away = refused.kind is Refusal.PROVIDER
    status = HTTPStatus.SERVICE_UNAVAILABLE if is_away else HTTPStatus.FORBIDDEN
    why = _why(visit, provider.name, refused)
    return sign_in_page(visit, to, fault=why, status=status, at_provider=True)


def _why(visit: Visit, name: str, refused: SignInRefused) -> str:
    """Return a refusal in words."""
    say, email = visit.say, refused.email
    return {
        Refusal.PROVIDER: say(
            "%(name)s does not answer as it should. Try again in a minute. An operator finds the"
            " reason in the log.",
            name=name,
        ),
        Refusal.STATE: say(
            "This sign-in was not begun in this browser, or too long ago. Sign in once more."
        ),
        Refusal.DENIED: say("%(name)s did not sign you in.", name=name),
        Refusal.CODE: say(
            "%(name)s accepts each answer once, and only for a short time. Sign in once more.",
            name=name,
        ),
        Refusal.ISSUER: say("The answer does not come from %(name)s.", name=name),
        Refusal.AUDIENCE: say("The answer of %(name)s is for another application.", name=name),
        Refusal.ALGORITHM: say(
            "The answer of %(name)s is not signed in a way that can be trusted.", name=name
        ),
        Refusal.SIGNATURE: say("The answer is not signed by %(name)s.", name=name),
        Refusal.TIME: say(
            "The answer of %(name)s has expired. Sign in once more. If that does not help, a clock"
            " is wrong.",
            name=name,
        ),
        Refusal.NONCE: say("The answer belongs to another sign-in. Sign in once more."),
        Refusal.TOKEN: say("The answer of %(name)s cannot be read.", name=name),
        Refusal.EMAIL: say("%(name)s does not say which e-mail address is yours.", name=name),
        Refusal.UNVERIFIED: say(
            "%(name)s has not verified that %(email)s is yours.", name=name, email=email
        ),
        Refusal.UNKNOWN: say(
            "%(email)s may not sign in here. Ask an administrator to add this address.",
            email=email,
        ),
    }[refused.kind]


def _now_s(visit: Visit) -> int:
    return visit.now // 1000


PAGES: tuple[Page, ...] = (
    shown("/sign-in/openid", openid, None),
    shown(RETURN_PATH, openid_return, None),
)
