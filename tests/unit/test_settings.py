"""Settings: what is read, what is refused, and that no secret shows."""

import datetime as dt
import errno
import ipaddress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st
from pydantic import ValidationError

from ringback import setting_values
from ringback.setting_values import ListenAddress, read_address
from ringback.settings import Settings, load
from schemas.errors import UsageError
from schemas.tokens.secrets import signing_secret_text
from tests.kit.environment import given_environment

pytestmark = pytest.mark.usefixtures("bare_place")
_KEY = "k" * 40


def test_without_any_setting_ringback_runs_embedded_on_loopback() -> None:
    """The newcomer sets nothing."""
    settings = load()

    assert settings.embedded
    assert settings.listen == ("127.0.0.1", 8080)
    assert settings.public_url == "http://127.0.0.1:8080"
    assert sum(settings.retry_schedule, dt.timedelta()) == dt.timedelta(
        hours=75, minutes=35, seconds=5
    )


def test_the_environment_is_read_in_the_spelling_of_the_documentation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Durations, networks and lists are text outside and values inside."""
    given_environment(
        monkeypatch,
        BROKER_URL="amqp://a:1@one/;amqps://b:2@two/",
        DATABASE_URL="postgresql+psycopg://u:p@h/d",
        SECRET_KEY=f"{_KEY}1,{_KEY}2",
        RETRY_SCHEDULE="1s, 2m",
        ALLOW_TARGETS="127.0.0.0/8,10.1.2.3",
        LISTEN="[::]:80",
        ALLOW_HTTP="true",
    )

    settings = load()

    assert settings.broker_url == ("amqp://a:1@one/", "amqps://b:2@two/")
    assert not settings.embedded
    assert settings.secret_key == (f"{_KEY}1", f"{_KEY}2")
    assert settings.retry_schedule == (dt.timedelta(seconds=1), dt.timedelta(minutes=2))
    assert settings.allow_targets == (
        ipaddress.ip_network("127.0.0.0/8"),
        ipaddress.ip_network("10.1.2.3/32"),
    )
    assert settings.listen == ListenAddress("::", 80)
    assert settings.public_url == "http://[::1]:80"
    assert settings.allow_http


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TIMEOUT", "5 parsecs", "'5 parsecs' is not a duration such as"),
        ("TIMEOUT", "0s", "longer than 0s"),
        ("CONNECT_TIMEOUT", "16s", "at most RINGBACK_TIMEOUT"),
        ("DRAIN_TIMEOUT", "19s", "at least RINGBACK_TIMEOUT + 5s"),
        ("LISTEN", "8080", "'8080' is not host:port"),
        ("LISTEN", "::1:80", "is written in brackets"),
        ("LISTEN", "localhost:65536", "is not host:port"),
        (
            "LISTEN",
            "http://127.0.0.1:8080",
            "is a URL: write host:port alone, such as 127.0.0.1:8080",
        ),
        ("METRICS_LISTEN", "tcp://[::1]:9464/", "is a URL: write host:port alone"),
        (
            "DATABASE_URL",
            "sqlite:///~/x.db",
            f"`~` is not expanded here: write sqlite:///{Path.home()}/x.db",
        ),
        (
            "DATABASE_URL",
            "sqlite:///~no-such-user/x.db",
            "write sqlite:////home/~no-such-user/x.db",
        ),
        ("CALLBACK_CONCURRENCY", "0", "a whole number from 1"),
        ("CALLBACK_CONCURRENCY", "many", "a whole number from 1"),
        ("OUTBOX_MAX", "-1", "a whole number from 1"),
        ("ALLOW_HTTP", "perhaps", "true or false"),
        ("ALLOW_TARGETS", "127.0.0.0/33", "'127.0.0.0/33' is not a network"),
        ("RETRY_SCHEDULE", "5s,soon", "'soon' is not a duration"),
        ("PUBLIC_URL", "ringback.example.com", "a URL such as https://"),
        ("DATABASE_URL", "mysql://u:hidden@h/d", "use sqlite:///PATH or postgresql"),
        ("DATABASE_URL", "sqlite:///:memory:", "would forget"),
        ("BROKER_URL", "redis://u:hidden@h", "starts with amqp:// or amqps://"),
        ("BROKER_URL", "amqp://u:hid/den@h:5672/", "percent-encoded"),
        ("BROKER_URL", "amqp://u:hid#den@h:5672/", "percent-encoded"),
        ("BROKER_URL", "amqp://u:hidden@h:port/", "percent-encoded"),
        ("BROKER_URL", "amqp://u@h/", "write :PASSWORD after the user"),
        ("BROKER_URL", "amqp://u:p@h/?hidden=1", "an address takes after ?"),
        (
            "BROKER_URL",
            "amqps://u:p@h/?cacertfile=/hidden",
            "cacertfile in the address: there is no such file",
        ),
        (
            "BROKER_URL",
            "amqp://u:p@hidden1,hidden2/",
            "several addresses are separated by ;, and each is written whole",
        ),
        (
            "BROKER_URL",
            "amqp://u:p@hidden1:5672,hidden2:5672/",
            "several addresses are separated by ;",
        ),
        ("DATABASE_URL", "postgresql://u:hid@den@h/d", "percent-encode"),
        ("DATABASE_URL", "postgresql://u:p@h:hidden/d", "percent-encode"),
        (
            "ALERT_URL",
            "https://u:hidden/x@ops.example.com/",
            "the URL cannot be read: check its host and its port",
        ),
        ("PUBLIC_URL", "https://u:hidden@ringback.example.com", "without user and password"),
        ("SECRET_KEY", "hidden-0123456789\udcff", "it is not UTF-8"),
        ("SECRET_KEY", "hidden", "needs at least 16 characters"),
        ("ALERT_SECRET", "whsec_hidden!", "a signing secret is whsec_ followed by base64"),
        (
            "ALERT_URL",
            "http://127.0.0.1:9000/",
            "is not a public address: callbacks reach it only if RINGBACK_ALLOW_TARGETS lists it",
        ),
        ("ALERT_URL", "ops.example.com", "must begin with https://"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_setting(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to change, and no secret is printed on a terminal."""
    given_environment(monkeypatch, **{name: value})

    with pytest.raises(UsageError) as caught:
        load()

    text = str(caught.value)
    assert text.startswith(f"RINGBACK_{name}: ")
    assert said in text
    assert "\n" not in text
    assert "hidden" not in text
    assert text.count("RINGBACK_") <= 2, "a fault drags another one in"


def test_two_wrong_values_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise one is fixed only to meet the next."""
    given_environment(monkeypatch, TIMEOUT="x", LISTEN="y")

    with pytest.raises(UsageError, match=r"RINGBACK_LISTEN: .*; RINGBACK_TIMEOUT: "):
        load()


def test_the_env_file_is_read_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file can be overruled for one start."""
    (tmp_path / "ringback.env").write_text("RINGBACK_TIMEOUT=7s\nRINGBACK_OUTBOX_MAX=5\n")
    given_environment(monkeypatch, TIMEOUT="8s")

    settings = load()

    assert settings.timeout == dt.timedelta(seconds=8)
    assert settings.outbox_max == 5


def test_every_interface_is_what_the_kernel_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without IPv6 listens by IPv4; one that has both, by both."""
    assert read_address(":8080") in {ListenAddress("::", 8080), ListenAddress("0.0.0.0", 8080)}

    def refused(*_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "ListenAddress family not supported by protocol")

    monkeypatch.setattr(setting_values.socket, "socket", refused)
    assert read_address(":8080") == ListenAddress("0.0.0.0", 8080)
    assert read_address("[::]:8080") == ListenAddress("::", 8080), "what is written is meant"


def test_an_env_file_that_is_asked_for_must_exist(tmp_path: Path) -> None:
    """Starting with defaults instead would look like success."""
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "absent.env")


@pytest.mark.parametrize(
    "overrides", [{"broker_url": "amqp://h"}, {"database_url": "postgresql://h/d"}]
)
def test_with_a_broker_or_postgres_the_secret_key_is_required(
    overrides: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process would make one of its own, and none could read the others' secrets."""
    given_environment(monkeypatch, **{name.upper(): value for name, value in overrides.items()})

    with pytest.raises(UsageError, match="RINGBACK_SECRET_KEY: required"):
        load()


def test_alerts_are_never_unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their receiver could not tell them from anybody else's."""
    given_environment(monkeypatch, ALERT_URL="https://ops.example.com/ringback")

    with pytest.raises(UsageError, match="RINGBACK_ALERT_SECRET: required with RINGBACK_ALERT_URL"):
        load()


def test_alerts_go_where_callbacks_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """During a change of secrets they are signed with both."""
    secrets = [signing_secret_text(bytes([n]) * 24) for n in (1, 2)]
    given_environment(
        monkeypatch,
        ALLOW_TARGETS="127.0.0.0/8",
        ALERT_URL="http://127.0.0.1:9000/",
        ALERT_SECRET=", ".join(secrets),
    )

    settings = load()

    assert settings.alert_url == "http://127.0.0.1:9000/"
    assert settings.alert_secret == tuple(secrets)
    assert settings.shown()["RINGBACK_ALERT_SECRET"] == "***"


def test_no_secret_is_in_the_repr_or_in_what_is_shown() -> None:
    """Both end in logs and bug reports."""
    settings = Settings(
        secret_key="hidden-" + _KEY,
        broker_url="amqp://user:hidden@one/;amqp://user:hid:den@two/",
        database_url="postgresql://user:hid%2Fden@h/d?password=hidden&sslmode=require",
        alert_url="https://hooks.example.com/hidden?key=hidden",
        alert_secret="whsec_" + "hiddenhidden" * 4,
    )

    for text in (repr(settings), str(settings), str(settings.shown())):
        assert "hid" not in text
        assert "user:***@one" in text
        assert "user:***@two" in text
        assert "postgresql://user:***@h/d?" in text
        assert "sslmode=require" in text
        assert "https://hooks.example.com/***" in text
    assert settings.shown()["RINGBACK_SECRET_KEY"] == "***"


@tried(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=8, max_size=20))
def test_a_password_is_nowhere_however_it_was_written(password: str) -> None:
    """A user pastes one with a slash in it, unencoded, and then asks for help with what `doctor`
    printed.
    """
    marked = f"Zq7{password}7qZ"
    for setting, url in (
        ("database_url", f"postgresql://user:{marked}@host/name"),
        ("database_url", f"postgresql://user@host/name?password={marked}"),
        ("broker_url", f"amqp://user:{marked}@host:5672/"),
        ("alert_url", f"https://hooks.example.com/{marked}"),
        ("alert_url", f"https://user:{marked}@hooks.example.com/"),
        ("public_url", f"https://user:{marked}@hooks.example.com/"),
    ):
        try:
            settings = Settings(
                secret_key=_KEY, alert_secret="whsec_" + "hiddenhidden" * 4, **{setting: url}
            )
        except ValidationError as error:
            seen = str(error)
        else:
            seen = repr(settings) + str(settings.shown())
        assert "Zq7" not in seen
        assert "7qZ" not in seen


def test_what_is_shown_can_be_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor` prints it in the spelling of the environment."""
    given_environment(
        monkeypatch, RETRY_SCHEDULE="90s,1.5h", ALLOW_TARGETS="::1,10.0.0.0/8", LISTEN=":99"
    )
    first = load()

    given_environment(
        monkeypatch,
        **{name.removeprefix("RINGBACK_"): value for name, value in first.shown().items() if value},
    )

    assert load() == first


def test_settings_cannot_be_changed_after_the_start() -> None:
    """Parts were built with them."""
    settings = load()

    with pytest.raises(ValueError, match="frozen"):
        settings.outbox_max = 1


@given(
    st.sampled_from(["127.0.0.1", "::1", "fe80::1", "ringback.example.com", "0.0.0.0"]),
    st.integers(0, 65535),
)
def test_an_address_reads_back_as_it_is_written(host: str, port: int) -> None:
    """Printed lines are pasted."""
    assert read_address(str(ListenAddress(host, port))) == ListenAddress(host, port)
