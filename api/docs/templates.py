"""Pages from the templates in this package, everything in them escaped. The one place that knows
Jinja. Called by `pages` and `guide`.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import jinja2
from markupsafe import Markup, escape

SNIPPETS: Mapping[str, str] = MappingProxyType(
    {"python": "Python", "node": "Node.js", "php": "PHP", "java": "Java"}
)
"""How to verify a signature: names of the files, and of the languages."""


def render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(values)


def snippet(name: str) -> str:
    """One of SNIPPETS, as it is to be copied."""
    return (files("api") / "templates" / "verify" / f"{name}.txt").read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    """A name that a template misspells is an error: a gap on a page is found by nobody."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("api"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {"inline": _inline, "prose": _prose}
    return made


def _inline(text: str) -> Markup:
    """What stands in back-ticks as code."""
    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(pieces)
    )


def _prose(text: str) -> Markup:
    """The same in paragraphs, as docstrings have them."""
    return Markup("\n").join(
        Markup("<p>{}</p>").format(_inline(paragraph))
        for paragraph in text.split("\n\n")
        if paragraph.strip()
    )
