"""A request that the server has read as a WSGI environ (PEP 3333), on the event loop and in
threads.
"""

import sys
from functools import lru_cache
from io import BytesIO
from wsgiref.types import WSGIEnvironment

from schemas.errors import Problem
from web.server.messages import Request

_REFUSAL = "ringback.refusal"


def environ_of(request: Request) -> WSGIEnvironment:
    """Return the environ of a request that the server has read."""
    headers = request.headers
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": "localhost",  # the header Host says more
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "REMOTE_ADDR": request.client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        environ[_key(name)] = value
    if request.refusal is not None:
        environ[_REFUSAL] = request.refusal
    return environ


def body_refusal(environ: WSGIEnvironment) -> Problem | None:
    """Return why the server did not keep the body; None: it did, or another server read it."""
    refusal: Problem | None = environ.get(_REFUSAL)
    return refusal


@lru_cache(1024)
def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
