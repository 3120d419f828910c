"""docs/settings.md, whose table is written from `ringback.settings`: names, defaults and meanings
are next to the fields.

`python -m tests.docs.settings_page` writes it again; `test_reference` says when that is due.
"""

from ringback.settings import PREFIX, Settings
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "settings.md"
_BEGIN, _END = "<!-- written by `python -m tests.docs.settings_page` -->\n", "<!-- until here -->\n"


def table() -> str:
    """Markdown: one row per setting, in the order of the fields. Reads no environment."""
    defaults = Settings.model_construct().shown()
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = PREFIX + name.upper()
        default = f"`{defaults[variable]}`" if defaults[variable] else "unset"
        rows.append(f"| `{variable}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def page(text: str) -> str:
    """The page with today's table in it."""
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{rest.partition(_END)[2]}"


def write() -> None:
    PAGE.write_text(page(PAGE.read_text()))


if __name__ == "__main__":
    write()
