"""Who may see a page that has a password."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from basrelief.limits import limits

_COOKIE = "basrelief-session"
_SESSIONS = 10_000
_ADDRESSES = 10_000
_SESSION_SECONDS = 7 * 24 * 3600
_WINDOW = 60.0
_WRONG_SECONDS = 1.0

_FORM = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>basrelief</title>
<style>:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 18rem; margin: 15vh auto; padding: 0 1rem; }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit; }
input, button { padding: .45rem; margin: .2rem 0 .9rem; }
h1 { font-size: 1.2rem; } p { color: #b3261e; }</style></head>
<body><h1>basrelief</h1><!--message--><form method="post" action="login">
<label>Name<input name="username" autocomplete="username" required></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button></form></body></html>
"""


class Logins:
    """The sessions of visitors who gave the name and the password.

    Attributes:
        name: That is asked for.
        password: That is asked for.
    """

    def __init__(self, name: str, password: str) -> None:
        self.name, self._password = name, password
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def admits(self, request: Request) -> bool:
        """Whether a request carries the cookie of a session."""
        token = request.cookies.get(_COOKIE, "")
        return self._sessions.get(token, 0.0) > time.monotonic()

    def ask(self, status: HTTPStatus = HTTPStatus.OK, message: str = "") -> Response:
        """The form that asks for name and password."""
        return HTMLResponse(_FORM.replace("<!--message-->", f"<p>{message}</p>" if message else ""), status)

    async def log_in(self, request: Request) -> Response:
        """Answer a sent form: a session, or a slow refusal; after too many wrong ones of an address, none is read for a minute."""
        address = _network(request.client.host if request.client else "")
        wait = self._wait(address)
        if wait > 0:
            answer = self.ask(HTTPStatus.TOO_MANY_REQUESTS, f"Too many wrong passwords. Wait {wait:.0f} seconds.")
            answer.headers["Retry-After"] = str(int(wait) + 1)
            return answer
        self._note(address)  # before the form is awaited, so that many at once count as many
        async with request.form(max_files=0, max_fields=8) as form:
            given = [str(form.get(field, "")).encode() for field in ("username", "password")]
        right = [hmac.compare_digest(*pair) for pair in zip(given, (self.name.encode(), self._password.encode()), strict=True)]
        if not all(right):
            await asyncio.sleep(_WRONG_SECONDS)
            return self.ask(HTTPStatus.UNAUTHORIZED, "Wrong name or password.")
        self._wrong.pop(address, None)
        answer = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            _COOKIE, self._open(), max_age=_SESSION_SECONDS, httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )
        return answer

    def log_out(self, request: Request) -> Response:
        """End the session of a request."""
        self._sessions.pop(request.cookies.get(_COOKIE, ""), None)
        answer = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        answer.delete_cookie(_COOKIE)
        return answer

    def _open(self) -> str:
        token = secrets.token_urlsafe(32)
        self._sessions[token] = time.monotonic() + _SESSION_SECONDS
        while len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def _wait(self, address: str) -> float:
        """Seconds until a password of this address is read again."""
        now, times = time.monotonic(), self._wrong.get(address, deque())
        while times and times[0] <= now - _WINDOW:
            times.popleft()
        return times[0] + _WINDOW - now if len(times) >= limits().login_attempts else 0.0

    def _note(self, address: str) -> None:
        self._wrong.setdefault(address, deque()).append(time.monotonic())
        self._wrong.move_to_end(address)
        while len(self._wrong) > _ADDRESSES:
            self._wrong.popitem(last=False)


def _network(address: str) -> str:
    """An address as guesses are counted: IPv6 by its first 64 bits, which belong to one customer."""
    try:
        host = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{host}/64", strict=False)) if host.version == 6 else address
