"""An OpenID Connect provider on loopback that can be made to go wrong: real HTTP, real signatures."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from dashboard.oidc.provider import RETURN_PATH, Client, OpenIdProvider

CLIENT_ID, CLIENT_SECRET = "ringback", "s3cret: with / odd + ones"
KID = "key-1"


@cache
def private_key(algorithm: str, number: int = 1) -> Any:
    """The key that signs by an algorithm; another one for each number."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(algorithm: str, kid: str, number: int = 1) -> dict[str, Any]:
    """A key as the provider lists it."""
    key = private_key(algorithm, number).public_key()
    listed = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    return {**listed, "kid": kid, "use": "sig", "alg": algorithm}


class Provider(ThreadingHTTPServer):
    """A context manager, on a thread of its own. Everything that it says can be changed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}/realm"
        self.algorithm, self.keys = "RS256", [public_jwk("RS256", KID)]
        self.asked: list[str] = []
        """The paths of all requests."""
        self.described: dict[str, Any] = {}
        self.claims: dict[str, Any] = {"email": "admin@example.com", "email_verified": True}
        self.userinfo: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.answer: dict[str, str | None] = {}
        """Parameters of the way back that are others; None: they are left out."""
        self.instead: dict[str, Callable[[], tuple[int, bytes]]] = {}
        """What is answered in place of the usual, by path."""
        self.codes: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def client(self, return_to: str = "http://localhost" + RETURN_PATH) -> OpenIdProvider:
        """The provider, as Ringback uses it."""
        return OpenIdProvider(Client(self.issuer, CLIENT_ID, CLIENT_SECRET, return_to))

    def visit(self, address: str) -> str:
        """Sign in here, as a person's browser does. The address to which it is sent back."""
        url = urlsplit(address)
        connection = HTTPConnection(url.netloc, timeout=10)
        connection.request("GET", f"{url.path}?{url.query}")
        response = connection.getresponse()
        connection.close()
        assert response.status == 303
        return response.headers["Location"]

    def signed(self, claims: dict[str, Any], kid: str = KID, number: int = 1) -> str:
        key = private_key(self.algorithm, number)
        return jwt.encode(claims, key, self.algorithm, headers={"kid": kid})

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": self.issuer + "/authorize",
            "token_endpoint": self.issuer + "/token",
            "jwks_uri": self.issuer + "/keys",
            "userinfo_endpoint": self.issuer + "/userinfo",
            **self.described,
        }

    def sign_in(self, asked: dict[str, str]) -> str:
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
        assert (asked["scope"], asked["code_challenge_method"]) == ("openid email", "S256")
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"], **self.answer}
        return asked["redirect_uri"] + "?" + urlencode({k: v for k, v in back.items() if v})

    def exchange(self, form: dict[str, str], authorization: str | None) -> tuple[int, Any]:
        basic = f"{form.get('client_id')}:{form.get('client_secret')}"
        if authorization:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            basic = ":".join(map(unquote_plus, pair.split(":")))
        if basic != f"{CLIENT_ID}:{CLIENT_SECRET}":
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or (asked["redirect_uri"], asked["code_challenge"]) != (
            form["redirect_uri"],
            challenge,
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "1", "aud": CLIENT_ID, "iat": now, "exp": now + 300}
        claims |= {"nonce": asked["nonce"], **self.claims}
        kept = {name: value for name, value in claims.items() if value is not None}
        return 200, {"access_token": "access", "id_token": self.sign(kept)}


class _Handler(BaseHTTPRequestHandler):
    server: Provider
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url, provider = urlsplit(self.path), self.server
        path = url.path.removeprefix("/realm")
        if path == "/authorize":
            location = provider.sign_in(dict(parse_qsl(url.query)))
            return self._send(path, 303, b"", Location=location)
        if path == "/userinfo" and self.headers["Authorization"] != "Bearer access":
            return self._send(path, 401, b"{}")
        said = {
            "/.well-known/openid-configuration": provider.metadata(),
            "/moved": provider.metadata(),
            "/keys": {"keys": provider.keys},
            "/userinfo": provider.userinfo,
        }[path]
        return self._send(path, 200, json.dumps(said).encode())

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        status, said = self.server.exchange(dict(parse_qsl(form)), self.headers["Authorization"])
        self._send("/token", status, json.dumps(said).encode())

    def _send(self, path: str, status: int, content: bytes, **headers: str) -> None:
        self.server.asked.append(path)
        if path in self.server.instead:
            status, content = self.server.instead[path]()
        if status == 302:
            headers["Location"] = self.server.issuer + "/moved"
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_words: object) -> None:
        """Not into the test's output."""
