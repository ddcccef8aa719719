"""A client of the page that speaks its protocol directly: plain requests, uploads, and events through the queue."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """The response of the server.

    Attributes:
        status: HTTP status; 0 where the connection was closed.
        text: Body, the first megabyte.
        headers: By lower-case name.
    """

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Visitor:
    """Talks to one server."""

    def __init__(self, port: int, cookie: str = "") -> None:
        self.port, self.cookie = port, cookie
        self.origin = f"http://127.0.0.1:{port}"

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 60) -> Answer:  # noqa: ANN401 - bytes or an iterable of them
        """Send a request; a body that is an iterator is sent in chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        given = {"Origin": self.origin, **({"Cookie": self.cookie} if self.cookie else {}), **(headers or {})}
        try:
            connection.request(method, path, body=body, headers=given, encode_chunked=body is not None and not isinstance(body, bytes))
            response = connection.getresponse()
            text = response.read(1 << 20).decode("utf-8", "replace")
            return Answer(response.status, text, {name.lower(): value for name, value in response.getheaders()})
        except (ConnectionError, http.client.HTTPException) as error:
            return Answer(0, str(error))
        finally:
            connection.close()

    def post(self, path: str, record: object, headers: Mapping[str, str] | None = None) -> Answer:
        """Send JSON."""
        return self.request("POST", path, json.dumps(record).encode(), {"Content-Type": "application/json", **(headers or {})})

    def upload(self, files: Sequence[tuple[str, bytes]], headers: Mapping[str, str] | None = None) -> Answer:
        """Send files as a form; the response lists their paths on the server."""
        mark = secrets.token_hex(8)
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
            + content
            + b"\r\n"
            for name, content in files
        ]
        body = b"".join(parts) + f"--{mark}--\r\n".encode()
        return self.request(
            "POST", "/gradio_api/upload", body, {"Content-Type": f"multipart/form-data; boundary={mark}", **(headers or {})}
        )

    def config(self) -> dict[str, Any]:
        """Fetch the layout of the page: its components and events."""
        record: dict[str, Any] = json.loads(_whole(self.port, "/config", self.cookie))
        return record

    def press(self, button: str, values: Sequence[Any], *, timeout: float = 60) -> Answer:
        """Press a button by its element id with values for its inputs; return the response, or the stream of events, as text."""
        config = self.config()
        number = next(c["id"] for c in config["components"] if c.get("props", {}).get("elem_id") == button)
        event = next(d for d in config["dependencies"] if [number, "click"] in [list(target) for target in d["targets"]])
        session = secrets.token_hex(6)
        request = {"data": list(values), "fn_index": event["id"], "session_hash": session, "trigger_id": number, "event_data": None}
        if not event["queue"]:
            return self.post("/gradio_api/run/predict", request)
        joined = self.post("/gradio_api/queue/join", request)
        if joined.status != 200:
            return joined
        return self.request("GET", f"/gradio_api/queue/data?session_hash={session}", timeout=timeout)


def _whole(port: int, path: str, cookie: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        return connection.getresponse().read()
    finally:
        connection.close()
