"""The guard: foreign hosts and sites, unknown addresses, large, slow and malformed bodies, headers, login."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from basrelief.limits import Limits, use_limits
from basrelief.web.guard import Guard
from basrelief.web.login import LoginSessions
from basrelief.web.uploads import FileStore, receive_uploads, safe_name

JOIN, UPLOAD = "/gradio_api/queue/join", "/gradio_api/upload"
CALLED = (JOIN, "/gradio_api/run/predict")
CALL = {"data": ["mug"], "fn_index": 0, "session_hash": "abc123"}


class Site:
    """A guarded page whose own part is a few lines."""

    def __init__(
        self, folder: Path, *, logins: LoginSessions | None = None, hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    ) -> None:
        self.store, self.calls = FileStore(folder), []  # type: tuple[FileStore, list[Any]]

        async def page(request: Request) -> Response:
            return HTMLResponse(
                f"<script>1</script>{request.url.scheme} {sorted(request.headers)}", headers={"Access-Control-Allow-Origin": "*"}
            )

        async def join(request: Request) -> Response:
            self.calls.append(await request.json())
            return JSONResponse("ok")

        async def upload(request: Request) -> Response:
            return await receive_uploads(request, self.store, ("ply", "glb"))

        async def any_other(_request: Request) -> Response:
            return PlainTextResponse("other")

        routes = [Route("/", page), *(Route(each, join, methods=["POST"]) for each in CALLED), Route(UPLOAD, upload, methods=["POST"])]
        if logins is not None:
            routes += [Route("/login", logins.log_in, methods=["POST"]), Route("/logout", logins.log_out, methods=["POST"])]
        app = Starlette(routes=[*routes, Route("/{path:path}", any_other, methods=["GET", "POST", "PUT", "OPTIONS"])])
        self.app = Guard(app, frozenset(hosts), self.store.__contains__, lambda number, _, queued: number == int(not queued), logins)

    def ask(self, method: str = "GET", path: str = "/", *, base: str = "http://127.0.0.1:7860", **given: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app, client=("10.0.0.9", 1)), base_url=base) as client:
                return await client.request(method, path, **given)

        return asyncio.run(send())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:1", "[::1]:7860"])
def test_own_hosts_are_accepted(site: Site, host: str) -> None:
    assert site.ask(headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:7860", "127.0.0.1.evil.test", "", "127.0.0.1@evil.test", "[", "localhost:x", "localhost/", "a b"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), *(("POST", each) for each in CALLED), ("POST", UPLOAD), ("GET", "/gradio_api/queue/data"), ("GET", "/assets/x.js")],
)
def test_other_hosts_are_rejected_everywhere(site: Site, host: str, method: str, path: str) -> None:
    answer = site.ask(method, path, headers={"Host": host})
    assert answer.status_code == 421
    assert len(answer.text) < 200
    assert "access-control-allow-origin" not in answer.headers


def test_allowed_host_names_are_accepted(tmp_path: Path) -> None:
    site = Site(tmp_path, hosts=("demo.example.org",))
    assert site.ask(headers={"Host": "demo.example.org"}).status_code == 200
    assert site.ask(headers={"Host": "127.0.0.1"}).status_code == 200  # the address the connection came to
    assert site.ask(headers={"Host": "127.0.0.2"}).status_code == 421


def test_two_host_headers_are_rejected(site: Site) -> None:
    assert site.ask(headers=[("Host", "127.0.0.1"), ("Host", "evil.test")]).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "http://127.0.0.1:9999", "http://localhost:7860", "http://127.0.0.1:7860.evil.test", "file://"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), *(("POST", each) for each in CALLED), ("POST", UPLOAD), ("GET", "/gradio_api/queue/data"), ("OPTIONS", JOIN)],
)
def test_other_origins_are_rejected_everywhere(site: Site, origin: str, method: str, path: str) -> None:
    answer = site.ask(method, path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert site.calls == []


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7860", "https://127.0.0.1:7860"])
def test_own_origin_is_accepted(site: Site, origin: str) -> None:
    assert site.ask("POST", JOIN, json=CALL, headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize("where", ["cross-site", "same-site"])
def test_other_sites_may_only_link(site: Site, where: str) -> None:
    link = {"Sec-Fetch-Site": where, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert site.ask(headers=link).status_code == 200
    assert site.ask(headers={**link, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert site.ask(path="/gradio_api/queue/data", headers={"Sec-Fetch-Site": where, "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert site.ask("POST", JOIN, json=CALL, headers={"Sec-Fetch-Site": where}).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/docs"), ("GET", "/monitoring"), ("GET", "/monitoring/summary"), ("GET", "/gradio_api/proxy=http://evil.test"), ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/file=http://evil.test/x"), ("GET", "/gradio_api/file=etc/passwd"), ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"), ("POST", "/gradio_api/call/find"), ("POST", "/gradio_api/stream/x"),
        ("GET", "/gradio_api/custom_component/a/client/b/c"), ("GET", "/gradio_api/run-history/buckets"), ("GET", "/gradio_api/dev/reload"), ("POST", "/"),
        ("GET", JOIN), ("POST", "/gradio_api/vibe-edit/"), ("GET", "/gradio_api/openapi.json"), ("GET", "/gradio_api/heartbeat/a/b"),
    ],
)  # fmt: skip
def test_unused_paths_are_not_found(site: Site, method: str, path: str) -> None:
    assert site.ask(method, path).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_rejected(site: Site, method: str) -> None:
    assert site.ask(method).status_code == 405


def test_responses_forbid_loading_from_other_hosts(site: Site) -> None:
    answers = [site.ask(), site.ask(path="/docs"), site.ask(headers={"Host": "evil.test"})]
    for answer in answers:
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
        assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "http:", "https:"} & set(policy["script-src"].split())
        assert not {"*", "http:", "https:"} & set(" ".join(policy.values()).split())
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers
    nonces = [answer.headers["content-security-policy"].split("nonce-")[1].split("'")[0] for answer in (site.ask(), site.ask())]
    assert nonces[0] != nonces[1]
    page = site.ask()
    assert f'<script nonce="{page.headers["content-security-policy"].split("nonce-")[1].split(chr(39))[0]}">1</script>' in page.text
    assert int(page.headers["content-length"]) == len(page.content)


def test_proxy_headers_are_dropped(site: Site) -> None:
    page = site.ask(headers={"X-Forwarded-Host": "evil.test", "X-Forwarded-For": "1.2.3.4", "Forwarded": "host=evil.test"}).text
    assert "forwarded" not in page
    assert "</script>http " in page
    assert "</script>https " in site.ask(headers={"X-Forwarded-Proto": "https"}).text


async def _parts(size: int, count: int, pause: float = 0.0) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size
        await asyncio.sleep(pause)


def test_large_bodies_are_rejected_with_and_without_content_length(site: Site) -> None:
    with use_limits(Limits(request_bytes=1000)):
        assert site.ask("POST", JOIN, content=b" " * 1001).status_code == 413
        assert site.ask("POST", JOIN, content=_parts(100, 11)).status_code == 413
        assert site.ask("POST", "/gradio_api/cancel", content=_parts(100, 11)).status_code in (200, 413)
        assert site.ask("POST", JOIN, json=CALL).status_code == 200


def test_slow_bodies_are_rejected(site: Site) -> None:
    with use_limits(Limits(idle_seconds=0.05)):
        assert site.ask("POST", JOIN, content=_parts(1, 3, 0.5)).status_code == 408


@pytest.mark.parametrize(
    "body",
    [
        "", "x", "[]", "{}", "[" * 100_000, '{"a":' * 5000, json.dumps({**CALL, "data": "x"}), json.dumps({**CALL, "data": [1] * 33}),
        json.dumps({**CALL, "fn_index": "x"}), json.dumps({**CALL, "fn_index": True}), json.dumps({**CALL, "fn_index": 99}), json.dumps({**CALL, "session_hash": "a/b"}),
        json.dumps({**CALL, "session_hash": "a" * 129}), json.dumps({**CALL, "session_hash": None}), "\udcff".encode("utf-8", "surrogatepass"),
    ],
)  # fmt: skip
def test_malformed_calls_get_a_short_error(site: Site, body: str | bytes) -> None:
    for address in CALLED:
        answer = site.ask("POST", address, content=body)
        assert answer.status_code == 400
        assert len(answer.text) < 100
    assert site.calls == []


def test_queued_and_direct_functions_are_not_interchangeable(site: Site) -> None:
    for number, address in enumerate(CALLED):
        assert site.ask("POST", address, json={**CALL, "fn_index": number}).status_code == 200
        assert site.ask("POST", address, json={**CALL, "fn_index": 1 - number}).status_code == 400
    assert len(site.calls) == 2


@pytest.mark.parametrize("path", ["/etc/passwd", "http://evil.test/x", "../x", 3, ["x"], {}])
def test_calls_naming_other_files_than_uploads_are_rejected(site: Site, path: object) -> None:
    for value in ({"path": path}, [{"deep": {"path": path, "meta": {"_type": "gradio.FileData"}}}]):
        for number, address in enumerate(CALLED):
            answer = site.ask("POST", address, json={**CALL, "fn_index": number, "data": ["mug", value]})
            assert answer.status_code == 400
    assert site.calls == []


def test_calls_naming_an_upload_are_accepted(site: Site) -> None:
    (path,) = site.ask("POST", UPLOAD, files={"files": ("a b.ply", b"ply")}).json()
    assert site.ask("POST", JOIN, json={**CALL, "data": [{"path": path}]}).status_code == 200
    assert site.calls[0]["data"] == [{"path": path}]


def test_uploads_get_safe_names(site: Site) -> None:
    (path,) = site.ask("POST", UPLOAD, files={"files": ("../../<img src=x>.PLY", b"ply data")}).json()
    assert Path(path).read_bytes() == b"ply data"
    assert Path(path).parent.parent == site.store.uploads
    assert Path(path).name == "_img_src_x_.PLY"
    assert [safe_name(name) for name in (".bashrc", "a" * 300 + ".glb", "", "x\\y.ply", "nul\0.ply")] == [
        "bashrc",
        "a" * 96 + ".glb",
        "upload",
        "y.ply",
        "nul_.ply",
    ]


def test_uploads_of_wrong_type_size_and_number_are_rejected(site: Site) -> None:
    with use_limits(Limits(upload_bytes=100, uploads_per_request=2)):
        assert site.ask("POST", UPLOAD, files={"files": ("page.html", b"x")}).status_code == 415
        assert site.ask("POST", UPLOAD, files={"files": ("a.ply", b"x" * 101)}).status_code == 413
        assert site.ask("POST", UPLOAD, files={"files": ("a.ply", b"x" * 200_000)}).status_code == 413
        three = [("files", (f"{i}.ply", b"x")) for i in range(3)]
        assert site.ask("POST", UPLOAD, files=three).status_code == 400
        assert len(site.ask("POST", UPLOAD, files=three[:2]).json()) == 2
    assert site.ask("POST", UPLOAD, content=b"x", headers={"Content-Type": "text/plain"}).status_code in (200, 400)
    assert sum(1 for file in site.store.uploads.rglob("*") if file.is_file()) == 2


def test_the_oldest_uploads_of_a_visitor_and_of_all_are_deleted(tmp_path: Path) -> None:
    store = FileStore(tmp_path)

    def add(owner: str, size: int) -> Path:
        path = store.new_upload_path("a.ply")
        path.write_bytes(b"x" * size)
        store.add(path, owner=owner)
        return path

    with use_limits(Limits(visitor_bytes=100, kept_bytes=250)):
        first, other, second = add("one", 60), add("two", 60), add("one", 60)
        assert [path.exists() for path in (first, other, second)] == [False, True, True]
        assert first not in store
        assert not first.parent.exists()
        made = store.generate("a.webp", lambda path: path.write_bytes(b"y" * 150))
        assert [path.exists() for path in (other, second, made)] == [False, True, True]
        again = store.generate("a.webp", lambda path: path.write_bytes(b"z"))
        assert again.read_bytes() == b"y" * 150


def _log_in(site: Site, password: str, name: str = "me") -> httpx.Response:
    return site.ask("POST", "/login", data={"username": name, "password": password})


def test_only_the_login_form_is_served_without_a_session(tmp_path: Path) -> None:
    site = Site(tmp_path, logins=LoginSessions("me", "secret"))
    form = site.ask()
    assert (form.status_code, 'name="password"' in form.text, "</script>" in form.text) == (200, True, False)
    for method, path in (("POST", JOIN), ("POST", UPLOAD), ("GET", "/config"), ("GET", "/gradio_api/heartbeat/x"), ("GET", "/assets/x.js")):
        assert site.ask(method, path, json=CALL if method == "POST" else None).status_code == 401
    assert site.calls == []
    assert list(site.store.uploads.iterdir()) == []


def test_name_and_password_open_a_session_until_it_ends(tmp_path: Path) -> None:
    site = Site(tmp_path, logins=LoginSessions("me", "s\u00e4cret"))
    answer = _log_in(site, "s\u00e4cret")
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    session = {"Cookie": cookie.partition(";")[0]}
    assert site.ask("POST", JOIN, json=CALL, headers=session).status_code == 200
    assert site.ask("POST", JOIN, json=CALL, headers={"Cookie": session["Cookie"] + "x"}).status_code == 401
    assert site.ask("POST", "/logout", headers=session).status_code == 303
    assert site.ask("POST", JOIN, json=CALL, headers=session).status_code == 401
    assert (
        "Secure"
        in site.ask("POST", "/login", data={"username": "me", "password": "s\u00e4cret"}, headers={"X-Forwarded-Proto": "https"}).headers[
            "set-cookie"
        ]
    )


def test_wrong_passwords_are_delayed_and_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.web.login._DELAY_SECONDS", 0.2)
    site = Site(tmp_path, logins=LoginSessions("me", "secret"))

    async def guess(count: int) -> tuple[list[int], float]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(site.app, client=("10.0.0.9", 1)), base_url="http://127.0.0.1"
        ) as client:
            begun = asyncio.get_running_loop().time()
            answers = await asyncio.gather(*(client.post("/login", data={"username": "me", "password": f"{i}"}) for i in range(count)))
            return [answer.status_code for answer in answers], asyncio.get_running_loop().time() - begun

    with use_limits(Limits(login_attempts=3)):
        statuses, seconds = asyncio.run(guess(50))
        assert sorted(statuses) == [401] * 3 + [429] * 47
        assert seconds >= 0.2
        refused = _log_in(site, "secret")  # the right one is not read either
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 61
        now = __import__("time").monotonic()
        monkeypatch.setattr("basrelief.web.login.time.monotonic", lambda: now + 61)
        assert _log_in(site, "secret").status_code == 303


def test_guesses_of_one_ipv6_network_are_counted_together() -> None:
    from basrelief.web.login import _network

    assert _network("2001:db8:1:2:3::4") == _network("2001:db8:1:2:ffff::1") != _network("2001:db8:1:3::4")
    assert _network("10.0.0.1") != _network("10.0.0.2")
