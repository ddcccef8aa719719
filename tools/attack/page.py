"""Requests that the page must refuse or survive, against a local server."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from amplifiers import write_amplifiers
from commands import ended_within, run, start
from outcomes import Outcome
from visitor import Answer, Visitor

from basrelief.io import save
from basrelief.limits import limits
from basrelief.shapes import make_shape

_SECRET = "secret-line-one"
_FOREIGN = {"Host": "evil.example", "Origin": "http://evil.example"}
_NAMES = (
    "<img src=//evil.example/x>.ply",
    "<form action=//evil.example>.ply",
    "[x](javascript:alert(1)).ply",
    "![x](http:evil.example).ply",
)
_AWAKE = 5.0  # a second visitor is answered within this many seconds, whatever the first one sent


def attack_page(folder: Path, *, short: bool = False) -> Iterator[Outcome]:
    """Serve a library and attack the page.

    Args:
        folder: Empty; for files and the library.
        short: Whether the slow tries are left out.

    Yields:
        An outcome for each request.
    """
    secret = folder / "secret.txt"
    secret.write_text(f"{_SECRET}\nsecret-line-two\n", encoding="utf-8")
    home = folder / "home"
    home.mkdir()
    for i, name in enumerate(("mug.ply", *_NAMES)):
        save(make_shape("mug", seed=900_100 + i), folder / "made.ply")
        shutil.copy(folder / "made.ply", home / name.replace("/", "_"))
    run("index", home, "--db", folder / "library.lance")
    with _served(folder / "library.lance") as visitor:
        yield from _words(visitor, secret)
        yield from _strangers(visitor)
        yield from _sizes(visitor)
        yield from _routes(visitor, secret)
        yield from _uploads(visitor, folder, short=short)
    with _served(folder / "library.lance", "--auth", "owner:correct horse") as visitor:
        yield from _passwords(visitor)


@contextlib.contextmanager
def _served(database: Path, *options: str) -> Iterator[Visitor]:
    """Run `basrelief app` and stop it with Ctrl-C; it must end quickly."""
    process = start(["app", "--db", database, *options])
    try:
        yield Visitor(_port(process))
    finally:
        os.killpg(process.pid, signal.SIGINT)
        took = ended_within(process.pid, 15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if took > 5:
            raise RuntimeError(f"the page ran on for {took:.0f} s after Ctrl-C")


def _port(process: subprocess.Popen[bytes]) -> int:
    """Wait for the line with the address of the page."""
    deadline = time.monotonic() + 120
    if process.stderr is None:
        raise RuntimeError("the page has no output")
    while time.monotonic() < deadline:
        if not select.select([process.stderr], [], [], 1)[0]:
            continue
        line = process.stderr.readline().decode("utf-8", "replace")
        if "http://" in line:
            return int(urllib.parse.urlsplit(next(word for word in line.split() if word.startswith("http://"))).port or 80)
        if not line:
            break
    raise RuntimeError("the page did not start; run basrelief app by hand")


def _words(visitor: Visitor, secret: Path) -> Iterator[Outcome]:
    """Type paths where words are expected."""
    mug = json.loads(visitor.upload([("mug.ply", _ply())]).text)[0]
    file = {"path": mug, "orig_name": "mug.ply", "meta": {"_type": "gradio.FileData"}}
    for typed in (str(secret), f"@{secret}", f"file://{secret}", f"{secret}, mug", f"../{secret.name}", "/etc/passwd", "/dev/zero", "~"):
        for button, values in (
            ("classify", [file, typed]),
            ("propose", [typed, "", 0.0]),
            ("search", [typed, typed, "", None, None, None, None]),
        ):
            yield _quiet(f"{typed} in {button}", visitor.press(button, values))
    for path in (str(secret), "/etc/passwd", "/proc/self/environ"):
        stolen = {"path": path, "orig_name": "mug.ply", "meta": {"_type": "gradio.FileData"}}
        yield _quiet(f"{path} as an upload", visitor.press("classify", [stolen, "mug, chair"]))
        yield _quiet(f"{path} as a picture", visitor.press("search", ["", "", "", stolen, None, None, None]))
        yield _quiet(f"index {path}", visitor.press("index", [path]))
    yield _quiet("index /", visitor.press("index", ["/"]))


def _quiet(name: str, answer: Answer) -> Outcome:
    """Check that an answer shows no content of server files and no traceback."""
    shown = [word for word in (_SECRET, "root:x:0", "PATH=") if word in answer.text]
    if shown:
        return Outcome(name, "harm", message=f"showed {shown[0]!r}")
    if "Traceback" in answer.text or answer.status >= 500:
        return Outcome(name, "traceback", message=answer.text[:300])
    return Outcome(name, "refused")


def _strangers(visitor: Visitor) -> Iterator[Outcome]:
    """Send requests of other hosts and other sites."""
    for path in (
        "/",
        "/config",
        "/gradio_api/info",
        "/gradio_api/startup-events",
        "/gradio_api/heartbeat/x",
        "/gradio_api/queue/data?session_hash=x",
    ):
        yield _denied(f"foreign host, {path}", visitor.request("GET", path, headers=_FOREIGN))
        yield _denied(f"foreign host alone, {path}", visitor.request("GET", path, headers={"Host": "evil.example"}))
    record = {"data": [], "fn_index": 0, "session_hash": "x"}
    for headers in (_FOREIGN, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site", "Origin": ""}):
        yield _denied(f"queue, {headers}", visitor.post("/gradio_api/queue/join", record, headers))
        yield _denied(f"upload, {headers}", visitor.upload([("mug.ply", _ply())], headers))
    for host in (
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example:80",
        "[::1].evil.example",
        "127.0.0.1:80@evil.example",
        "",
    ):
        yield _denied(f"host {host!r}", visitor.request("GET", "/config", headers={"Host": host}))
    forwarded = visitor.request("GET", "/config", headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"})
    leaked = "evil.example" in forwarded.text + str(dict(forwarded.headers))
    yield Outcome("forwarded host", "harm" if leaked else "refused", message="the page believes X-Forwarded-Host" if leaked else "")
    answer = visitor.request("GET", "/")
    missing = [name for name in ("content-security-policy", "x-content-type-options", "referrer-policy") if name not in answer.headers]
    yield Outcome("headers", "harm" if missing else "read", message=f"no {missing}" if missing else "")


def _denied(name: str, answer: Answer) -> Outcome:
    fine = 400 <= answer.status < 500 or answer.status == 0
    reflected = "evil.example" in answer.headers.get("access-control-allow-origin", "")
    return Outcome(name, "refused" if fine and not reflected else "harm", message="" if fine else f"status {answer.status}")


def _sizes(visitor: Visitor) -> Iterator[Outcome]:
    """Send endless bodies, lists and texts, while a second visitor must be answered."""
    many = ", ".join(f"label {i}" for i in range(100_000))
    yield _still_awake(visitor, "a body of 150 MB", lambda: visitor.post("/gradio_api/queue/join", {"data": ["x" * 150_000_000]}))
    chunks = (b"x" * 65536 for _ in range(4000))
    yield _still_awake(visitor, "260 MB in chunks", lambda: visitor.request("POST", "/gradio_api/queue/join", chunks))
    yield _still_awake(visitor, "deep JSON", lambda: visitor.request("POST", "/gradio_api/queue/join", b"[" * 500_000))
    for button, values in (
        ("propose", [many, "", 0.0]),
        ("propose", ["a, b", "faces<3;" * 5000, 0.0]),
        ("search", ["x" * 500_000, "", "", None, None, None, None]),
        ("search", ["mug", "x; " * 5000, "", None, None, None, None]),
        ("search", ["mug", "", "-" * 3000 + "faces<3", None, None, None, None]),
    ):
        yield _still_awake(visitor, f"{button} with {len(str(values)):,} characters", lambda b=button, v=values: visitor.press(b, v))  # type: ignore[misc]
    yield _still_awake(visitor, "1,000 uploads", lambda: visitor.upload([(f"{i}.ply", b"x") for i in range(1000)]))
    large = b"\0" * (limits().upload_bytes + 1)
    yield _still_awake(visitor, "an upload over the limit", lambda: visitor.upload([("a.ply", large)]))
    yield _still_awake(visitor, "a header of 1 MB", lambda: visitor.request("GET", "/", headers={"X-Long": "x" * 1_000_000}))
    yield _still_awake(visitor, "a path of 100 KB", lambda: visitor.request("GET", "/" + "x" * 100_000))


def _still_awake(visitor: Visitor, name: str, attack: Callable[[], Answer]) -> Outcome:
    """Attack, then request the page as another visitor."""
    begun = time.monotonic()
    answer = attack()
    took, begun = time.monotonic() - begun, time.monotonic()
    page = visitor.request("GET", "/config")
    if page.status != 200 or time.monotonic() - begun > _AWAKE or took > 20:
        return Outcome(name, "hang", took, message=f"then the page answered {page.status} after {time.monotonic() - begun:.1f} s")
    served = answer.status == 200 and ('"success": true' in answer.text or "best first" in answer.text)
    if served or answer.status >= 500 or "Traceback" in answer.text:
        return Outcome(name, "harm" if served else "traceback", took, message=f"status {answer.status}: {answer.text[:200]}")
    return Outcome(name, "refused", took)


def _routes(visitor: Visitor, secret: Path) -> Iterator[Outcome]:
    """Request files and other addresses through the server's own routes."""
    for place in (str(secret), "/etc/passwd", f"../../..{secret}", f"..%2f..%2f..%2f{secret}", f"%2e%2e/{secret}", "http://evil.example/x"):
        for route in (
            "/gradio_api/file=",
            "/gradio_api/file/",
            "/file=",
            "/static/",
            "/assets/",
            "/svelte/",
            "/gradio_api/proxy=",
            "/theme.css?x=",
        ):
            yield _quiet(f"{route}{place}", visitor.request("GET", route + place))


def _uploads(visitor: Visitor, folder: Path, *, short: bool) -> Iterator[Outcome]:
    """Upload hostile files and names, while others must be answered."""
    files = write_amplifiers(folder / "amplifiers")
    for path in files[:: 12 if short else 1]:
        if path.stat().st_size > limits().upload_bytes:
            continue
        yield _survived(visitor, path.name, path.read_bytes())
    names = (*_NAMES, "../../escaped.ply", "/absolute.ply", "a\\..\\b.ply", "con.ply", "x" * 500 + ".ply", ".ply", "a.ply\0.txt")
    for name in names[:: 4 if short else 1]:
        yield _survived(visitor, name, _ply())


def _survived(visitor: Visitor, name: str, content: bytes) -> Outcome:
    sent = visitor.upload([(urllib.parse.quote(name, safe="<>/\\ "), content)])
    if sent.status != 200:
        return Outcome(f"upload {name[:40]}", "refused" if 400 <= sent.status < 500 else "traceback", message=sent.text[:200])
    begun = time.monotonic()
    file = {"path": json.loads(sent.text)[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}
    answer = visitor.press("classify", [file, "mug, chair"], timeout=120)
    took, begun = time.monotonic() - begun, time.monotonic()
    page = visitor.request("GET", "/config")
    if page.status != 200 or took > limits().seconds + 15 or time.monotonic() - begun > _AWAKE:
        return Outcome(f"upload {name[:40]}", "hang", took)
    return _quiet(f"upload {name[:40]}", answer)


def _passwords(visitor: Visitor) -> Iterator[Outcome]:
    """Guess passwords: guessing is slowed, and nothing is shown without a password."""
    for path in ("/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x"):
        answer = visitor.request("GET", path)
        yield Outcome(f"no password, {path}", "harm" if answer.status == 200 else "refused", message=answer.text[:100])
    yield Outcome("no password, upload", "harm" if visitor.upload([("a.ply", _ply())]).status == 200 else "refused")
    begun, statuses = time.monotonic(), []
    for i in range(limits().login_attempts + 5):
        form = urllib.parse.urlencode({"username": "owner", "password": f"guess {i}"}).encode()
        statuses.append(visitor.request("POST", "/login", form, {"Content-Type": "application/x-www-form-urlencoded"}).status)
        if time.monotonic() - begun > 60:
            break
    tried = sum(status not in (0, 429) for status in statuses)
    harm = tried > limits().login_attempts
    yield Outcome("guessed passwords", "harm" if harm else "refused", message=f"{tried} guesses were looked at" if harm else "")


def _ply() -> bytes:
    head = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    return (head + "0 0 0\n1 0 0\n0 1 0\n0 0 1\n").encode()
