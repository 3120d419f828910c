"""What a browser says that it is, in words that people know. Pure."""

_PROGRAMS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
"""The first that fits: most browsers also claim to be those further down."""

_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)

_MAX_CHARACTERS = 60


def browser_name(user_agent: str | None) -> str | None:
    """Return a name such as "Firefox, Linux"; the beginning of the text if it is none that is known;
    None without a text.
    """
    if not user_agent:
        return None
    program = next((name for mark, name in _PROGRAMS if mark in user_agent), None)
    if program is None:
        return user_agent[:_MAX_CHARACTERS]
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
    return f"{program}, {system}" if system else program
