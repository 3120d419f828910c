"""A token's deliveries as files for its holder."""

import csv
import io
import tempfile
import threading
from typing import Any

import openpyxl
import pytest

from tests.kit.api import URL, Caller, House, deliver
from web.exports import delivery_sheets, streaming


def test_deliveries_are_downloaded_as_csv(
    house: House,
    me: Caller,
    mine: dict[str, Any],
    theirs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that the filter finds, over as many reads as it takes."""
    own = [deliver(house, mine, f"evt_{number}", created_at=number) for number in range(5)]
    deliver(house, mine, "evt_done", state="delivered", due_at=None)
    deliver(house, theirs, "evt_other")
    monkeypatch.setattr(delivery_sheets, "_READ_ROWS", 2)

    answer = me.call("GET", "/v1/me/deliveries.csv?state=pending")

    assert answer.content_type == "text/csv; charset=utf-8"
    assert 'filename="deliveries.csv"' in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["ID"] for row in rows] == own[::-1]
    assert (rows[0]["URL"], rows[0]["Created (UTC)"], rows[0]["Status code"]) == (
        URL,
        "1970-01-01T00:00:00.004Z",
        "",
    )


@pytest.mark.parametrize(
    ("asked", "marked"), [("", False), ("?excel=false", False), ("?excel=true", True)]
)
def test_excel_gets_its_marks_when_it_is_asked_for(
    admin: Caller, me: Caller, mine: dict[str, Any], asked: str, marked: bool
) -> None:
    """Both files: programs would stumble over them."""
    for answer in (
        me.call("GET", f"/v1/me/deliveries.csv{asked}"),
        admin.call("GET", f"/v1/tokens/{mine['id']}/requests.csv{asked}"),
    ):
        assert answer.status_code == 200
        assert answer.data.startswith(b"\xef\xbb\xbfsep=,\r\n") is marked


@pytest.mark.parametrize("path", ["/v1/me/deliveries", "/v1/me/deliveries.xlsx"])
def test_only_csv_is_made_for_excel_on_demand(me: Caller, path: str) -> None:
    """A workbook is for Excel anyway."""
    assert me.call("GET", f"{path}?excel=true").status_code == 422


def test_deliveries_are_downloaded_as_a_workbook(
    house: House, me: Caller, mine: dict[str, Any]
) -> None:
    """Times are dates there."""
    delivery = deliver(house, mine, state="exhausted", due_at=None, reason="=3 attempts failed")

    answer = me.call("GET", "/v1/me/deliveries.xlsx")

    page = openpyxl.load_workbook(io.BytesIO(answer.data))["Deliveries"]
    assert [cell.value for cell in page[1]][:4] == ["ID", "Event ID", "Event", "State"]
    assert (page["A2"].value, page["D2"].value, page["E2"].value) == (
        delivery,
        "exhausted",
        "=3 attempts failed",
    )
    assert (page["F2"].is_date, page["E2"].data_type) == (True, "s")


def test_a_workbook_too_large_to_be_waited_for_is_refused(
    house: House, me: Caller, mine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to do instead; the CSV is whole."""
    for number in range(2):
        deliver(house, mine, f"evt_{number}")
    monkeypatch.setattr(streaming, "MAX_WORKBOOK_ROWS", 1)

    refused = me.call("GET", "/v1/me/deliveries.xlsx")

    assert refused.status_code == 422
    assert "download the CSV" in (refused.json or {})["detail"]
    assert len(me.call("GET", "/v1/me/deliveries.csv").text.splitlines()) == 3
    monkeypatch.setattr(streaming, "MAX_WORKBOOK_ROWS", 2)
    assert me.call("GET", "/v1/me/deliveries.xlsx").status_code == 200


def test_one_workbook_is_made_at_a_time(
    admin: Caller, me: Caller, mine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every kind of download and every token: each keeps a core busy."""
    paths = {
        "/v1/me/deliveries.xlsx": me,
        f"/v1/tokens/{mine['id']}/requests.xlsx": admin,
        "/v1/tokens.xlsx": admin,
    }
    held = threading.Lock()
    monkeypatch.setattr(streaming, "_one_at_a_time", held)

    with held:
        refused = [caller.call("GET", path) for path, caller in paths.items()]
        assert me.call("GET", "/v1/me/deliveries.csv").status_code == 200
    taken = [caller.call("GET", path).status_code for path, caller in paths.items()]

    assert [(answer.status_code, answer.headers.get("Retry-After")) for answer in refused] == [
        (503, "30")
    ] * 3
    assert taken == [200] * 3


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No usable temporary directory found"),
        OSError(28, "No space left on device"),
    ],
)
def test_without_a_temporary_folder_there_is_no_workbook_and_the_answer_says_why(
    me: Caller, mine: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """In a container whose root is read-only, and on a disk that is full. The next one can be made
    again.
    """

    def refuse(*_: object, **__: object) -> None:
        raise error

    for name in ("NamedTemporaryFile", "TemporaryDirectory"):
        with monkeypatch.context() as absent:
            absent.setattr(tempfile, name, refuse)
            answer = me.call("GET", "/v1/me/deliveries.xlsx")

        assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
        assert "TMPDIR" in (answer.json or {})["detail"]
        assert str(error.strerror) in (answer.json or {})["detail"]
    assert me.call("GET", "/v1/me/deliveries.xlsx").status_code == 200


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_download_that_breaks_the_rules_is_refused(me: Caller, kind: str) -> None:
    """This includes a page of it: a download is whole."""
    assert me.call("GET", f"/v1/me/deliveries.{kind}?limit=10").status_code == 422
