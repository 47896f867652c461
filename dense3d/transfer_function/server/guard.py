"""What stands before the application: who may ask, from where, and how much.

The tool listens on loopback, where any program of the machine may ask, but a web page of somebody else must
not: a page elsewhere can send requests to ``127.0.0.1``, and can have its own name resolve to it (DNS
rebinding). So the ``Host`` has to be this server's, and an ``Origin``, where there is one, this host. On
other addresses every request needs a token, which a cookie carries after the first visit.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

MAX_BODY = 1 << 20  # bytes of a body
MAX_UPLOAD = 1 << 28  # of a segmentation
UPLOADS = "/api/import"
_HOST = re.compile(r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; font-src 'self'; worker-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Refused(Exception):
    """A request that is not served: status and sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Guard:
    """ASGI middleware that refuses what is not meant for this server, and what is too large.

    Args:
        application: behind it.
        host: that the server is bound to.
        token: that requests need; None: none, for loopback.
    """

    def __init__(self, application: Callable, host: str = "127.0.0.1", token: str | None = None) -> None:
        self.application, self.token = application, token
        # Cookies do not know ports: two servers on one machine need two names.
        self.cookie_name = f"dense3d_{hashlib.sha256((token or '').encode()).hexdigest()[:12]}"
        self.names = {"localhost", host.lower()} if token is None else own_names(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse, a request."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        try:
            headers = _headers(scope)
            self._check_host(headers)
            if self._opens_with_token(scope):
                await _redirect(send, self._cookie(scope))
                return
            self._check_token(scope, headers)
            limit = MAX_UPLOAD if scope["path"] == UPLOADS else MAX_BODY
            _check_length(headers, limit)
        except Refused as refused:
            await _refuse(scope, receive, send, refused)
            return
        if scope["type"] == "websocket":
            await self.application(scope, receive, send)
            return
        await self.application(scope, _bounded(receive, limit), _with_headers(send))

    def _check_host(self, headers: dict[str, list[str]]) -> None:
        hosts = headers.get("host", [])
        match = _HOST.match(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            raise Refused(400, "a request needs one Host header with a name and a port")
        name = match[1].strip("[]").lower()
        if name not in self.names and not self._is_address(name):
            raise Refused(421, f"this server is not called {name[:100]}; open it by its address")
        for origin in headers.get("origin", []):
            if origin.lower() not in (f"http://{hosts[0].lower()}", f"https://{hosts[0].lower()}"):
                raise Refused(403, "this request comes from a page of another server")
        # Browsers tell where a request without an Origin comes from, such as that of a picture.
        site, mode = headers.get("sec-fetch-site", ["none"]), headers.get("sec-fetch-mode", [])
        if not {"none", "same-origin"} & set(site) and mode != ["navigate"]:
            raise Refused(403, "this request comes from a page of another server")

    def _is_address(self, name: str) -> bool:
        """Whether it is a number, which no DNS rebinds; on loopback only those of loopback."""
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.token is not None

    def _opens_with_token(self, scope: Scope) -> bool:
        if self.token is None or scope["type"] != "http" or scope["path"] != "/":
            return False
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=16)
        return any(_same(given, self.token) for given in query.get("token", []))

    def _cookie(self, scope: Scope) -> str:
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        return f"{self.cookie_name}={self.token}; Path=/; HttpOnly; SameSite=Strict{secure}"

    def _check_token(self, scope: Scope, headers: dict[str, list[str]]) -> None:
        if self.token is None:
            return
        for text in headers.get("cookie", []):
            try:
                morsel = SimpleCookie(text).get(self.cookie_name)
            except CookieError:
                continue
            if morsel is not None and _same(morsel.value, self.token):
                return
        raise Refused(401, "open the address that the terminal printed: it ends with ?token=...")


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def own_names(host: str) -> set[str]:
    """The names by which this machine may be asked when it listens on ``host``."""
    names = {"localhost", host.lower(), socket.gethostname().lower()}
    return names | {socket.getfqdn().lower()}


def is_loopback(host: str) -> bool:
    """Whether an address is only reached from this machine.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _check_length(headers: dict[str, list[str]], limit: int) -> None:
    for text in headers.get("content-length", []):
        if not text.isdecimal() or len(text) > 18:
            raise Refused(400, "Content-Length is no number of bytes")
        if int(text) > limit:
            raise Refused(413, f"the body has {text} bytes; at most {limit} are taken")


def _bounded(receive: Receive, limit: int) -> Receive:
    """``receive`` that complains where a body without a length goes on and on."""
    taken = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise TooLarge(limit)
        return message

    return bounded


class TooLarge(Exception):
    """A body that is larger than it may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is too large: at most {limit} bytes are taken")


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            added = {**HEADERS, "Cache-Control": "no-store"}
            own = [(name.lower().encode(), value.encode()) for name, value in added.items()]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return sending


async def _redirect(send: Send, cookie: str) -> None:
    headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    send = _with_headers(send)
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send(
            {"type": "websocket.close", "code": 4000 + refused.status, "reason": refused.message[:120]}
        )
        return
    body = json.dumps({"message": refused.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))  # what is left of the body is not read
    send = _with_headers(send)
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
