"""The API and the pages behind one HTTP server. Programs get the API's answers, also where there is
nothing; people get pages.
"""

from api.front import ApiFront
from dashboard.application import MAX_BODY_BYTES, PagesApplication
from schemas.errors import Problem
from web.environ import environ_of
from web.in_thread import InThread
from web.server.messages import Answer, Request
from web.server.threads import RequestThreads

_OF_THE_API = ("/v1", "/docs", "/healthz", "/readyz", "/metrics")


class SiteFront:
    """What the HTTP server asks (`web.server.messages.Front`)."""

    def __init__(self, api: ApiFront, pages: PagesApplication, threads: RequestThreads):
        self._api, self._pages = api, pages
        self._in_thread = InThread(pages.wsgi_app, threads)
        self.is_known, self.refuse, self.report = api.is_known, api.refuse, api.report

    def body_limit(self, method: str, path: str) -> int:
        """Return how many bytes of a body are kept for this address."""
        if self._pages.serves(path):
            return MAX_BODY_BYTES if method == "POST" else 0
        return self._api.body_limit(method, path)

    async def answer(self, request: Request) -> Answer:
        """Answer a request."""
        if not self._is_for_pages(request):
            return await self._api.answer(request)
        try:
            return await self._in_thread.answer(environ_of(request))
        except Problem as problem:  # no thread is free
            return self.refuse(problem)

    def _is_for_pages(self, request: Request) -> bool:
        """Return whether a page answers: where there is one, and to browsers that got lost."""
        if self._pages.serves(request.path):
            return True
        is_of_the_api = request.path.startswith(_OF_THE_API)
        return not is_of_the_api and "text/html" in request.headers.get("accept", "")
