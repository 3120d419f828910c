"""What the rest of Ringback finds wrong or refuses, in the person's language. Pure.

Such a text is written in English where the fault is found, and the API answers with it. Pages pass
it through `fault_in_words`. A text that is missing here stays English; `tests/pages/test_faults.py`
finds those that a page can show.
"""

import re
from collections.abc import Callable
from functools import cache

from dashboard.languages import to_say

_TEXTS = (
    # names, contacts, days and channels of tokens
    to_say("a name has 1 to %(most)s characters, and not only invisible ones"),
    to_say("a name cannot hold %(character)s: leave it out"),
    to_say("an e-mail address has at most %(most)s characters"),
    to_say("this is not an e-mail address such as ops@example.com"),
    to_say(
        "a token may be valid for at most %(span)s here (RINGBACK_TOKEN_MAX_LIFE), so it needs an"
        " expiration date: not later than %(latest)s, by its activation"
    ),
    to_say(
        "the token would never be valid: it expires at %(expires)s, which is not after its"
        " activation at %(activates)s. Give a later time, or none: then it never expires"
    ),
    to_say("at most %(most)s channels; null means all"),
    to_say("a channel id has 1 to %(most)s characters, none of them U+0000"),
    # addresses of callbacks
    to_say(
        "%(address)s is not a public address: callbacks reach it only if RINGBACK_ALLOW_TARGETS"
        " lists it"
    ),
    to_say("the URL cannot be read: check its host and its port, a number up to 65535"),
    to_say("http:// is not allowed: use https://, or set RINGBACK_ALLOW_HTTP=true"),
    to_say("the URL is longer than %(most)s characters: shorten it"),
    to_say("the URL has a fragment (#…), which is never sent: remove it"),
    to_say(
        "the URL holds white space or a control character (%(character)s): remove it, or write"
        " it percent-encoded, such as %%20"
    ),
    to_say(
        "the URL holds the character %(character)s: write a name in its ASCII form (xn--…),"
        " anything else percent-encoded"
    ),
    to_say("the URL must begin with https:// (or http://)"),
    to_say("the URL names no host: write it as https://host/path"),
    to_say("the URL holds credentials: send them in a header of the callback instead"),
    to_say("the port must be between 1 and 65535"),
    to_say("%(host)s is not a host name"),
    to_say("an address must not name a zone (%…): it means nothing elsewhere"),
    to_say("%(host)s is neither an address nor a name"),
    # headers of callbacks
    to_say("a callback has at most %(most)s headers"),
    to_say("a header name is made of letters, digits and -"),
    to_say("%(name)s is set by Ringback: choose another name"),
    to_say("%(name)s is given twice: names do not differ by upper and lower case"),
    to_say("a header value holds at most %(most)s bytes"),
    to_say("a header value is visible ASCII, with spaces only inside"),
    # data of test events
    to_say("the required field %(name)s is missing"),
    to_say("the data is nested deeper than %(most)s levels"),
    to_say("the JSON is nested too deeply"),
    to_say("there is no such field"),
    to_say("the type is one of %(types)s"),
    to_say("an id is 1 to 64 of A-Z a-z 0-9 _ -"),
    to_say("an id is required here, in the JSON or as the property message_id"),
    to_say("an id must not hold the character U+0000, or half of a surrogate pair"),
    to_say("none of the possible values holds half of a surrogate pair"),
    to_say(
        "evt_test_ followed by 32 characters is the id of a sample, which is not counted: choose"
        " another"
    ),
    to_say("Expected %(wanted)s, got %(given)s"),
    to_say("Expected %(wanted)s"),
    to_say("Invalid enum value %(value)s"),
    # what cannot be sent now
    to_say("the token is %(state)s: only an active one is called"),
    to_say("the token is %(state)s: only callbacks of an active token are called"),
    to_say("the callback was deleted: there is nowhere to send this to"),
    to_say("the first attempt is still under way"),
    to_say(
        "the token may no longer see this channel: let it see %(channel)s again before you send"
        " this"
    ),
    to_say("a newer status of this message was sent: an older one is never sent after it"),
    to_say("a callback is tested once a second, after %(most)s at once: wait, then test it again"),
    to_say("no dispatcher made the attempt within %(seconds)s s: check that one is running"),
    to_say("there is no such token"),
    # what cannot be changed, or is not there
    to_say(
        "%(signing)s signing secrets of this token sign already: wait until one ends, or end them"
        " all with the overlap 0s"
    ),
    to_say("an overlap is 0s to 7d"),
    to_say(
        "the secrets of %(token)s cannot be read: RINGBACK_SECRET_KEY lacks the key that encrypted"
        " them"
    ),
    to_say("a revoked token cannot be changed: it was revoked for good"),
    to_say("this token is deleted already"),
    to_say("there is a token %(token)s already: nothing was created"),
    to_say("there is no token %(token)s"),
    to_say("the token has no callback for %(type)s"),
    to_say("there is no such callback any more"),
    to_say("there is no such callback"),
    to_say("this payload is not stored any more, or not yours to see any more"),
    to_say("a link lasts one of %(lives)s"),
    to_say("the token is %(state)s: a link to its page would not open"),
    to_say("the event %(event)s is gone: it was older than RINGBACK_RETENTION"),
    to_say("there is no event %(event)s, or it is not stored any more"),
    to_say("there is no delivery %(delivery)s"),
    to_say("there is no recovery %(recovery)s"),
    to_say("there is no person %(email)s"),
    to_say("there is no such person: someone may have removed them meanwhile"),
    to_say("%(email)s may sign in already: change the role, or remove it first"),
    to_say("%(email)s is no administrator, but may sign in already"),
    to_say(
        "%(email)s is the last administrator, and someone must be one: make another person an"
        " administrator first"
    ),
    to_say("you have %(most)s saved views: forget one first"),
    to_say("this is no list that can be saved"),
    to_say("no role was chosen: nothing was changed"),
    to_say("the password has changed meanwhile: sign in again"),
    to_say("links are made at the command line alone: ringback user link"),
    to_say("passwords are switched off here: people sign in by OpenID Connect"),
    to_say("signing in by OpenID Connect is not set up: see RINGBACK_OIDC_ISSUER"),
    to_say("you may look at everything, but not change it: ask an administrator"),
    to_say("you may see what happened, but not the data: ask an administrator"),
    to_say(
        "this form was not sent from a page of Ringback, so nothing was changed: open %(address)s,"
        " and send it from there"
    ),
    to_say("the cursor is invalid"),
    to_say("there is no such file: reload the page that needs it"),
    to_say("there is nothing at this address: check it"),
    to_say("this address allows %(methods)s"),
    to_say("the database does not respond: retry later"),
    to_say("another workbook is being generated: retry later"),
    to_say(
        "the workbook cannot be written to the API's temporary folder (%(reason)s): set TMPDIR to a"
        " folder with enough space, or download the CSV"
    ),
    to_say("too many requests wait to be handled: retry later"),
    to_say("too many bodies are being received at present: retry later"),
    to_say("the body is larger than %(most)s bytes: send less"),
    to_say("a form has at most %(most)s fields: nothing was changed"),
    to_say("the request holds a character or a number that cannot be stored"),
    to_say(
        "an internal error occurred: retry later, or give the X-Request-Id of this response to the"
        " operator, whose log has the details"
    ),
)

_STATES = (to_say("scheduled"), to_say("suspended"), to_say("expired"), to_say("revoked"))
"""Values that are words, too."""


def fault_in_words(say: Callable[..., str], detail: str) -> str:
    """Return what is wrong in the person's language; a text that is not known as it is."""
    for text, pattern in _patterns():
        if match := pattern.fullmatch(detail):
            values = {
                name: say(value) if value in _STATES else value
                for name, value in match.groupdict().items()
            }
            return say(text, **values)
    return detail


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(text, _pattern(text)) for text in _TEXTS]


def _pattern(text: str) -> re.Pattern[str]:
    """Return what a text looks like once its values are filled in."""
    fixed, *rest = re.split(r"%\((\w+)\)s", text)
    pattern = re.escape(fixed)
    for name, following in zip(rest[::2], rest[1::2], strict=True):
        pattern += f"(?P<{name}>.+)" + re.escape(following.replace("%%", "%"))
    return re.compile(pattern, re.DOTALL)
