"""Workbooks and CSV: read back with another library."""

import csv
import datetime as dt
import io
import tempfile
from pathlib import Path

import openpyxl
import pytest
from openpyxl.utils.escape import unescape

from schemas.times import LATEST, UnixMs, from_rfc3339
from web.exports import spreadsheets
from web.exports.spreadsheets import Sheet, csv_pieces, moment, write_workbook

AT = UnixMs(1_795_341_600_000)  # 2026-11-22T10:00:00Z
COLUMNS = ("name", "at", "count", "enabled", "note")
EVIL = [
    '=HYPERLINK("http://evil","x")',
    "+1+1",
    "-1+2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",  # noqa: RUF001 - a full-width sign
]


def test_a_workbook_says_what_it_was_given(tmp_path: Path) -> None:
    """Dates are dates and numbers numbers, whatever language the reader's Excel speaks."""
    path = tmp_path / "x.xlsx"

    write_workbook(path, [Sheet("Tokens", COLUMNS, [("ACME", moment(AT), 3, True, None)])])

    page = openpyxl.load_workbook(path)["Tokens"]
    assert [[cell.value for cell in row] for row in page.iter_rows()] == [
        list(COLUMNS),
        ["ACME", dt.datetime(2026, 11, 22, 10), 3, "on", None],  # noqa: DTZ001 - without zones
    ]
    assert page["B2"].is_date
    assert (page.freeze_panes, page.auto_filter.ref) == ("A2", "A1:E2")


def test_a_workbook_can_be_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide as a page across, with the header on each; the sheets that follow a full one, too."""
    monkeypatch.setattr(spreadsheets, "ROWS_MAX", 2)
    path = tmp_path / "x.xlsx"

    write_workbook(
        path,
        [
            Sheet("Tokens", COLUMNS, [("ACME", None, 1, True, None)] * 3),
            Sheet("Empty", COLUMNS, []),
        ],
    )

    for page in openpyxl.load_workbook(path):
        setup = page.page_setup
        assert (setup.orientation, setup.fitToWidth or 1, setup.fitToHeight) == (
            "landscape",
            1,
            0,
        )  # 1 is what need not be said
        assert page.sheet_properties.pageSetUpPr.fitToPage
        assert page.print_title_rows == "$1:$1"
        assert page.auto_filter.ref.startswith("A1:E")


def test_columns_are_as_wide_as_what_is_in_them(tmp_path: Path) -> None:
    """Up to a width that still fits a screen."""
    path = tmp_path / "x.xlsx"

    write_workbook(path, [Sheet("Tokens", ("a", "b", "c"), [("x" * 30, "y" * 500, 1)])])

    widths = openpyxl.load_workbook(path)["Tokens"].column_dimensions
    assert 30 <= widths["A"].width <= 31
    assert 60 <= widths["B"].width <= 61
    assert 8 <= widths["C"].width <= 9


@pytest.mark.parametrize("evil", EVIL)
def test_what_looks_like_a_formula_stays_text(tmp_path: Path, evil: str) -> None:
    """A supplier chooses the name of its token, and the administrator opens the workbook. It stays
    text when it is edited, too.
    """
    path = tmp_path / "x.xlsx"

    write_workbook(path, [Sheet("Tokens", ("name",), [(evil,)])])

    cell = openpyxl.load_workbook(path)["Tokens"]["A2"]
    assert cell.data_type == "s"
    assert cell.quotePrefix
    assert str(cell.value).replace("_x000D_", "\r") == evil


@pytest.mark.parametrize("evil", EVIL)
def test_what_looks_like_a_formula_is_quoted_in_csv(evil: str) -> None:
    """CSV knows no types: Excel would run it."""
    read = list(
        csv.reader(
            io.StringIO(b"".join(csv_pieces(Sheet("x", ("name",), [(evil,)]))).decode(), newline="")
        )
    )

    assert read == [["name"], [f"'{evil}"]]


VALUES = [
    "(compatible; +http://bot)", "Mozilla/5.0 (X11; Linux);=1+1; -1", "a=b", "a-b", "1+1",
    "'quoted'", "-5", "+5", "-1.5", "-1,5", "+1e3",
    "-.5", "+39061234567", "-1,234.56", "株式会社\u3000山田", "\\xff", 'say "hi"', "a,b", "line\nline",
    " ",
]  # fmt: skip


@pytest.mark.parametrize("for_excel", [True, False])
@pytest.mark.parametrize("value", VALUES)
def test_csv_has_values_as_they_are(value: str, for_excel: bool) -> None:
    """Programs read it. What begins no formula is none, and a number is what it looks like."""
    read = b"".join(csv_pieces(Sheet("x", ("name",), [(value,)]), for_excel=for_excel)).decode(
        "utf-8-sig"
    )

    *marks, header, row = csv.reader(io.StringIO(read, newline=""))
    assert (marks, header, row) == ([["sep=", ""]] if for_excel else [], ["name"], [value])


@pytest.mark.parametrize(
    "evil",
    ["-1+2", "+1 2", "-", "+", "-1-", "--1", "+1;=2", "-²", "+1e", "-1,", "-2+3+cmd|' /C calc'!A0"],
)
def test_what_only_begins_like_a_number_is_none(evil: str) -> None:
    """It would be reckoned out."""
    read = b"".join(csv_pieces(Sheet("x", ("name",), [(evil,)]))).decode()

    assert list(csv.reader(io.StringIO(read))) == [["name"], [f"'{evil}"]]


def test_csv_for_excel_says_that_it_is_utf_8_and_what_separates_it() -> None:
    """Else Excel shows other letters, and in half of Europe a single column."""
    sheet = Sheet("x", ("name", "count"), [("Zoë", 1)])

    assert (
        b"".join(csv_pieces(sheet, for_excel=True))
        == "\ufeffsep=,\r\nname,count\r\nZoë,1\r\n".encode()
    )
    assert b"".join(csv_pieces(sheet)) == "name,count\r\nZoë,1\r\n".encode()


@pytest.mark.parametrize(
    "text",
    ["a & b < c > d", "\x01\x1b\ufffe\uffff", "_x0041_", " spaces ", "line\nline", "\"'", "😀"],
)
def test_a_text_is_what_it_was(tmp_path: Path, text: str) -> None:
    """Whatever XML reserves or cannot hold, and what only looks like a workbook's own spelling of
    it.
    """
    path = tmp_path / "x.xlsx"

    write_workbook(path, [Sheet("Tokens", ("name",), [(text,)])])

    assert unescape(str(openpyxl.load_workbook(path)["Tokens"]["A2"].value)) == text


def test_half_a_character_does_not_spoil_the_workbook(tmp_path: Path) -> None:
    """It cannot be written; the rest of the text can."""
    path = tmp_path / "x.xlsx"

    write_workbook(path, [Sheet("Tokens", ("name",), [("a\ud83db",)])])

    assert openpyxl.load_workbook(path)["Tokens"]["A2"].value == "a\ufffdb"


def test_a_text_that_looks_like_markup_stays_text(tmp_path: Path) -> None:
    """A name could otherwise close its cell and open another, with a formula: the library believes
    what stands in <r>.
    """
    path = tmp_path / "x.xlsx"
    evil = '<r></r></is></c><c r="Z1"><f>HYPERLINK("http://evil")</f></c><c><is><r></r>'

    write_workbook(path, [Sheet("Tokens", ("name",), [(evil,)])])

    page = openpyxl.load_workbook(path)["Tokens"]
    assert page["A2"].value == evil
    assert page["Z1"].value is None


@pytest.mark.parametrize("at", ["1000-01-01T00:00:00.000Z", "1900-02-28T00:00:00.000Z"])
def test_a_time_before_excels_is_text(tmp_path: Path, at: str) -> None:
    """A date there may be, and Excel would show a row of number signs, or another day."""
    path = tmp_path / "x.xlsx"

    write_workbook(path, [Sheet("Tokens", ("at",), [(moment(from_rfc3339(at)),)])])

    assert openpyxl.load_workbook(path)["Tokens"]["A2"].value == at


def test_the_last_time_there_is_can_be_written(tmp_path: Path) -> None:
    """Some people's tokens never expire that way. Shown to the second it must not become the year
    10000.
    """
    path = tmp_path / "x.xlsx"

    write_workbook(
        path, [Sheet("Tokens", ("at",), [(moment(LATEST),), (moment(UnixMs(AT + 250)),)])]
    )

    page = openpyxl.load_workbook(path)["Tokens"]
    assert page["A2"].value == dt.datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001
    assert page["A3"].value == dt.datetime(2026, 11, 22, 10, 0, 0, 250_000)  # noqa: DTZ001


def test_csv_spells_times_as_the_api_does() -> None:
    """Programs read it."""
    read = b"".join(
        csv_pieces(Sheet("x", COLUMNS, [("A, B", moment(AT), 1.5, False, None)]))
    ).decode()

    assert read.splitlines()[1] == '"A, B",2026-11-22T10:00:00.000Z,1.5,off,'


def test_csv_comes_in_pieces() -> None:
    """A million rows are never in memory together."""
    rows = ((str(number),) for number in range(1_200))

    pieces = list(csv_pieces(Sheet("x", ("n",), rows)))

    assert len(pieces) == 5
    assert b"".join(pieces).decode().split() == ["n", *map(str, range(1_200))]


def test_more_rows_than_a_sheet_takes_go_onto_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Excel refuses a longer sheet, and a library would drop the rest in silence."""
    monkeypatch.setattr(spreadsheets, "ROWS_MAX", 2)
    path = tmp_path / "x.xlsx"

    write_workbook(path, [Sheet("Log", ("n",), [(number,) for number in range(5)])])

    book = openpyxl.load_workbook(path)
    assert {
        name: [row[0].value for row in book[name].iter_rows(min_row=2)] for name in book.sheetnames
    } == {
        "Log": [0, 1],
        "Log 2": [2, 3],
        "Log 3": [4],
    }


def test_a_text_longer_than_a_cell_is_cut(tmp_path: Path) -> None:
    """Excel calls a workbook with a longer one corrupt; it counts in units of UTF-16. A reader sees
    that there was more.
    """
    path = tmp_path / "x.xlsx"

    write_workbook(
        path, [Sheet("x", ("n",), [("a" * 40_000,), ("😀" * 20_000,), ("😀" * 16_383,)])]
    )

    page = openpyxl.load_workbook(path)["x"]
    assert page["A2"].value == "a" * 32_766 + "…"
    assert page["A3"].value == "😀" * 16_383 + "…"
    assert page["A4"].value == "😀" * 16_383


def test_a_workbook_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full must not stay full of it; and what went wrong is an error that callers
    know.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with pytest.raises(FileNotFoundError):
        write_workbook(tmp_path / "absent" / "x.xlsx", [Sheet("x", ("n",), [(1,)])])
    with pytest.raises(ZeroDivisionError):
        write_workbook(
            tmp_path / "x.xlsx", [Sheet("x", ("n",), ((1 // number,) for number in (1, 0)))]
        )

    assert list(tmp_path.iterdir()) == []
