"""Login and sessions of a page with a password."""

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
_MAX_SESSIONS = 10_000
_MAX_ADDRESSES = 10_000
_SESSION_SECONDS = 7 * 24 * 3600
_ATTEMPT_WINDOW_SECONDS = 60.0
_DELAY_SECONDS = 1.0

_FORM = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>basrelief</title>
<style>:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 18rem; margin: 15vh auto; padding: 0 1rem; }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit; }
input, button { padding: .45rem; margin: .2rem 0 .9rem; }
h1 { font-size: 1.2rem; } p { color: #b3261e; }</style></head>
<body><h1>basrelief</h1><!--message--><form method="post" action="login">
<label>User name<input name="username" autocomplete="username" required></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button></form></body></html>
"""


class LoginSessions:
    """Sessions of visitors who logged in with the user name and the password.

    Attributes:
        name: The user name.
    """

    def __init__(self, name: str, password: str) -> None:
        self.name, self._password = name, password
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self._attempts: OrderedDict[str, deque[float]] = OrderedDict()

    def is_logged_in(self, request: Request) -> bool:
        """Return whether a request carries the cookie of a session."""
        token = request.cookies.get(_COOKIE, "")
        return self._sessions.get(token, 0.0) > time.monotonic()

    def login_form(self, status: HTTPStatus = HTTPStatus.OK, message: str = "") -> Response:
        """Return the form that asks for user name and password."""
        return HTMLResponse(_FORM.replace("<!--message-->", f"<p>{message}</p>" if message else ""), status)

    async def log_in(self, request: Request) -> Response:
        """Answer a submitted form: open a session, or refuse after a delay; too many failures block an address for a minute."""
        address = _network(request.client.host if request.client else "")
        wait = self._seconds_blocked(address)
        if wait > 0:
            answer = self.login_form(HTTPStatus.TOO_MANY_REQUESTS, f"Too many failed logins. Try again in {wait:.0f} seconds.")
            answer.headers["Retry-After"] = str(int(wait) + 1)
            return answer
        self._record_attempt(address)  # before the form is awaited, so that simultaneous attempts all count
        async with request.form(max_files=0, max_fields=8) as form:
            given = [str(form.get(field, "")).encode() for field in ("username", "password")]
        matches = [hmac.compare_digest(*pair) for pair in zip(given, (self.name.encode(), self._password.encode()), strict=True)]
        if not all(matches):
            await asyncio.sleep(_DELAY_SECONDS)
            return self.login_form(HTTPStatus.UNAUTHORIZED, "Wrong user name or password.")
        self._attempts.pop(address, None)
        answer = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        secure = request.url.scheme == "https"
        answer.set_cookie(_COOKIE, self._open_session(), max_age=_SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
        return answer

    def log_out(self, request: Request) -> Response:
        """End the session of a request."""
        self._sessions.pop(request.cookies.get(_COOKIE, ""), None)
        answer = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        answer.delete_cookie(_COOKIE)
        return answer

    def _open_session(self) -> str:
        token = secrets.token_urlsafe(32)
        self._sessions[token] = time.monotonic() + _SESSION_SECONDS
        while len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def _seconds_blocked(self, address: str) -> float:
        """Return the seconds until a password from this address is checked again."""
        now, times = time.monotonic(), self._attempts.get(address, deque())
        while times and times[0] <= now - _ATTEMPT_WINDOW_SECONDS:
            times.popleft()
        return times[0] + _ATTEMPT_WINDOW_SECONDS - now if len(times) >= limits().login_attempts else 0.0

    def _record_attempt(self, address: str) -> None:
        self._attempts.setdefault(address, deque()).append(time.monotonic())
        self._attempts.move_to_end(address)
        while len(self._attempts) > _MAX_ADDRESSES:
            self._attempts.popitem(last=False)


def _network(address: str) -> str:
    """Return the address that attempts are counted by: for IPv6 its /64 network, which belongs to one customer."""
    try:
        host = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{host}/64", strict=False)) if host.version == 6 else address
