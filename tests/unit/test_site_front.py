"""Which of the two faces behind one HTTP server answers: the API, or the pages."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.front import ApiFront
from ringback.processes.site_front import SiteFront
from tests.kit.api import House
from tests.kit.front_client import FrontClient
from tests.kit.pages import Site

HTML = {"Accept": "text/html,application/xhtml+xml"}


class Faces:
    """Both faces, each on a store of its own."""

    def __init__(self, folder: Path):
        (folder / "site").mkdir()
        self.house, self.site = House(folder), Site(folder / "site")
        self.front = SiteFront(
            ApiFront(self.house.app, self.house.parts), self.site.app, self.house.threads
        )
        self._client = FrontClient(self.front, self.house.loop)

    def open(self, path: str, **request: Any) -> TestResponse:
        return self._client.open(path, **request)

    def close(self) -> None:
        self.site.close()
        self.house.close()


@pytest.fixture
def faces(tmp_path: Path) -> Iterator[Faces]:
    made = Faces(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("path", ["/healthz", "/v1/me", "/docs/openapi.json", "/v1/nothing"])
def test_programs_get_the_answers_of_the_api(faces: Faces, path: str) -> None:
    """Also where there is nothing, and whatever they accept."""
    answer = faces.open(path, headers=HTML)

    assert answer.mimetype.endswith("json")


@pytest.mark.parametrize("path", ["/", "/sign-in", "/tokens/tok_1"])
def test_people_get_pages(faces: Faces, path: str) -> None:
    answer = faces.open(path, headers=HTML)

    assert answer.status_code in {HTTPStatus.OK, HTTPStatus.SEE_OTHER}
    assert answer.mimetype == "text/html"


def test_who_is_lost_gets_what_can_be_read(faces: Faces) -> None:
    page, problem = faces.open("/nothing", headers=HTML), faces.open("/nothing")

    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert (problem.status_code, problem.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/tokens//new", "/sign-in//", "/.//sign-in"])
@pytest.mark.parametrize("headers", [HTML, {}], ids=["browser", "program"])
def test_a_doubled_slash_is_no_address_and_leads_nowhere(
    faces: Faces, path: str, headers: dict[str, str]
) -> None:
    """A browser would take the next part for a host."""
    answer = faces.open(path, headers=headers)

    assert (answer.status_code, answer.headers.get("Location")) == (404, None)


@pytest.mark.parametrize("path", ["//", "//evil.example/", "//sign-in", "*", "x", ""])
def test_what_does_not_begin_with_one_slash_is_no_page(faces: Faces, path: str) -> None:
    assert not faces.site.app.serves(path)


@pytest.mark.parametrize("path", ["*", "x", "/"])
def test_any_target_has_a_limit_for_its_body(faces: Faces, path: str) -> None:
    """It is asked for each request, before any of it is judged."""
    assert faces.front.body_limit("POST", path) >= 0
