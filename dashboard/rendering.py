"""Pages from templates, with everything escaped. The only place of the pages that knows Jinja.

A template is given `visit`, `_` (the text in the person's language), `_n` (the text for a number of
things) and what its view passes.
"""

from collections.abc import Mapping
from functools import cache
from typing import Protocol
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import jinja2
from markupsafe import Markup

from dashboard import labels, static_files
from dashboard.languages import Language
from schemas.times import UnixMs, to_rfc3339


class Reader(Protocol):
    """Who reads a page: a visit, as far as times are concerned."""

    @property
    def language(self) -> Language: ...
    @property
    def zone(self) -> ZoneInfo: ...
    @property
    def now(self) -> UnixMs: ...


@cache
def environment() -> jinja2.Environment:
    """Return the environment of all templates. Unknown names are errors: a gap on a page would stay
    unnoticed.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("dashboard"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.globals |= {
        "asset": static_files.address,
        "labels": labels,
        "moment": _moment,
        "quoted": lambda text: quote(text, safe=""),
        "query": _query,
    }
    return made


def _moment(visit: Reader, at: UnixMs) -> Markup:
    """Return a time as people read it: how long ago, with the exact time behind it."""
    exact = visit.language.moment(at, visit.zone)
    return Markup(
        '<span class="moment"><time datetime="{iso}">{ago}</time> <small>{exact}</small></span>'
    ).format(iso=to_rfc3339(at), ago=visit.language.ago(at, visit.now), exact=exact)


def _query(current: Mapping[str, str], **changed: str | None) -> str:
    """Return the parameters of an address with some changed; None removes one."""
    merged = {**current, **changed}
    return "?" + urlencode({name: value for name, value in merged.items() if value})
