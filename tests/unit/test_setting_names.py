"""Names of settings: slips stop the start, and what others set for themselves is left alone."""

from pathlib import Path

import pytest

from ringback.settings import Settings, load, not_read
from schemas.errors import UsageError
from tests.kit.environment import given_environment

pytestmark = pytest.mark.usefixtures("bare_place")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TIMOUT", "TIMEOUT"),
        ("ALLOW_TARGET", "ALLOW_TARGETS"),
        ("BROKER_URLS", "BROKER_URL"),
        ("Timout", "TIMEOUT"),
    ],
)
def test_a_misspelt_setting_stops_the_start(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ignored, it would leave the default in force without a word."""
    given_environment(monkeypatch, **{name: "5s"})

    with pytest.raises(
        UsageError, match=f"RINGBACK_{name} is not a setting: is RINGBACK_{meant} meant"
    ):
        load()


@pytest.mark.parametrize(
    "service",
    ["", "DATABASE_", "BROKER_", "METRICS_LISTEN_", "LISTEN_", "SECRET_KEY_", "TIMEOUT_", "A_B_"],
)
def test_what_kubernetes_sets_for_services_is_no_mistake(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a service that is called `ringback-database`, say: every other container of it gets
    these.
    """
    variables = {
        "SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "5432", "SERVICE_PORT_PG": "5432",
        "PORT": "tcp://10.0.0.1:5432",
        "PORT_5432_TCP": "tcp://10.0.0.1:5432", "PORT_5432_TCP_PROTO": "tcp",
        "PORT_5432_TCP_PORT": "5432",
        "PORT_5432_TCP_ADDR": "10.0.0.1", "PORT_53_UDP": "udp://10.0.0.1:53",
    }  # fmt: skip
    given_environment(monkeypatch, **{service + name: value for name, value in variables.items()})

    assert load().embedded
    assert not_read() == []


def test_a_port_that_no_kubelet_wrote_is_a_slip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value shows it: a person writes a number."""
    given_environment(monkeypatch, DATABASE_PORT="5432")

    with pytest.raises(UsageError, match="RINGBACK_DATABASE_PORT is not a setting"):
        load()


@pytest.mark.parametrize("name", ["TOKEN", "ROOT", "PORT", "SERVICE_HOST", "PORT_8080_TCP_ADDR"])
def test_variables_that_are_no_settings_of_ours_are_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes sets some for every service that is called ringback."""
    given_environment(monkeypatch, **{name: "tcp://10.0.0.1:8080"})

    assert load().embedded


def test_slips_in_the_env_file_are_found_too(tmp_path: Path) -> None:
    """Most settings of a production machine stand there."""
    file = tmp_path / "production.env"
    file.write_text("RINGBACK_TIMOUT=7s\n")

    with pytest.raises(UsageError, match="RINGBACK_TIMOUT"):
        load(file)


def test_a_setting_without_its_prefix_in_the_env_file_is_a_slip(tmp_path: Path) -> None:
    """The file is ours: no other program uses it."""
    (tmp_path / "ringback.env").write_text("LISTEN=127.0.0.1:9\n")
    with pytest.raises(
        UsageError, match="LISTEN in the env file is not read: write RINGBACK_LISTEN"
    ):
        load()

    (tmp_path / "ringback.env").write_text(
        "DATABASE_URL=postgresql://h/other\nRINGBACK_DATABASE_URL=sqlite:///x.db\nPOSTGRES_USER=u\n"
    )
    assert load().database_url == "sqlite:///x.db"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("RINGBACK_DB_URL", "is not read: is RINGBACK_DATABASE_URL meant?"),
        ("RINGBACK_BROKER", "is not read: is RINGBACK_BROKER_URL meant?"),
        ("ringback_secret", "is not read: is RINGBACK_SECRET_KEY meant?"),
        ("RINGBACK_PORT", "is not read"),
        ("RINGBACK_PAUSED", "is not read by this version"),
        ("ringback_payload_retention", "is not read by this version"),
        ("LISTEN", "is not read: is RINGBACK_LISTEN meant?"),
    ],
)
def test_what_looks_like_a_setting_and_is_none_is_reported(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another program's name for it, events went into a file of SQLite without a word."""
    monkeypatch.setenv(name, "s3cret")

    assert load().embedded
    assert not_read() == [f"{name} is set, and {said}"]


def test_what_is_in_the_env_file_is_reported_too(tmp_path: Path) -> None:
    """Once, if it stands in both."""
    file = tmp_path / "production.env"
    file.write_text("RINGBACK_DB_URL=s3cret\nPOSTGRES_USER=u\n")

    assert not_read(file) == [
        "RINGBACK_DB_URL is set, and is not read: is RINGBACK_DATABASE_URL meant?"
    ]


@pytest.mark.parametrize("name", ["TOKEN", "ROOT", "URL", "TIMEOUT", "timeout"])
def test_a_setting_that_is_read_is_not_reported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small letters are read as well."""
    given_environment(monkeypatch, **{name: "7s"})
    monkeypatch.setenv("TIMEOUT", "a program's own")

    assert not_read() == (
        []
        if name.upper() == "TIMEOUT"
        else ["TIMEOUT is set, and is not read: is RINGBACK_TIMEOUT meant?"]
    )
    assert load().timeout.total_seconds() == (7 if name.upper() == "TIMEOUT" else 15)


def test_a_setting_in_capitals_and_in_small_letters_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of the two would count, and which is chance. Others' variables are theirs."""
    given_environment(monkeypatch, TIMEOUT="7s", timeout="8s")
    monkeypatch.setenv("ringback_x", "1")
    monkeypatch.setenv("RINGBACK_X", "2")

    with pytest.raises(UsageError, match="RINGBACK_TIMEOUT is set twice"):
        load()


@pytest.mark.parametrize("name", ["RINGBACK_DATABASE_URL", "ringback_broker_url"])
@pytest.mark.parametrize("in_file", [True, False])
def test_an_empty_url_for_events_stops_the_start(
    name: str, in_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that a compose file passes on, and that is not set: the default would take the
    events, and PostgreSQL none.
    """
    if in_file:
        (tmp_path / "ringback.env").write_text(f"{name}=\n")
    else:
        monkeypatch.setenv(name, "")

    with pytest.raises(
        UsageError, match=f"{name.upper()} is set, and empty: give it a value, or do not set it"
    ):
        load()


def test_other_empty_values_mean_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of settings says so."""
    given_environment(monkeypatch, TIMEOUT="", SECRET_KEY="", LISTEN="", ALERT_URL="")

    assert load() == Settings()
