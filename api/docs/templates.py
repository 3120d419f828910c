"""Pages rendered from the templates of this package, with everything escaped. The only place that
knows Jinja. Called by `pages` and `guide`.
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
"""How to verify a signature: names of files, and of their languages."""


def render(template: str, **values: object) -> str:
    """Return the rendered template. Raises if the template uses a value that is not given."""
    return _environment().get_template(template).render(values)


def snippet(name: str) -> str:
    """Return one of SNIPPETS as it is to be copied."""
    return (files("api") / "templates" / "verify" / f"{name}.txt").read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    """Return the environment of all templates. Unknown names are errors: a gap on a page would stay
    unnoticed.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("api"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"inline": _inline, "prose": _prose}
    return environment


def _inline(text: str) -> Markup:
    """Return text with the parts in back-ticks as code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece)
        for number, piece in enumerate(text.split("`"))
    )


def _prose(text: str) -> Markup:
    """Return the paragraphs of a docstring, each with the parts in back-ticks as code."""
    return Markup("\n").join(
        Markup("<p>{}</p>").format(_inline(paragraph))
        for paragraph in text.split("\n\n")
        if paragraph.strip()
    )
