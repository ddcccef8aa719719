"""Load test of the page: simultaneous searchers and uploaders, in Gradio's protocol, against a server that this script starts.

    python benchmarks/load.py
    python benchmarks/load.py --db library.lance --upload shape.glb --searchers 50 --uploaders 10 --seconds 60

Searchers search for words; uploaders upload a shape and classify it. All send one request after another without a pause. Prints the times
from sending a call to its complete answer, and the memory of the server and its workers. Without --db, a library of 300 generated shapes is
created first.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import basrelief as br
from basrelief.index import IndexOptions
from basrelief.io import save
from basrelief.shapes import CATEGORIES, make_shape

WORDS = "chair table lamp car airplane bottle mug bench bus gun sofa bed door shelf bowl cup guitar boat train bicycle".split()
KINDS = "red wooden old small round broken modern office garden toy".split()
LABELS = "chair, table, lamp, car, airplane, bottle, mug"
UNSEEN = 100_000
SERVED = "(press Ctrl-C to stop)"


@dataclass
class Tally:
    """Results of the calls of one kind.

    Attributes:
        seconds: Duration of each successful call.
        errors: Messages of the failed ones.
    """

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return the figures in one line."""
        times = np.array(self.seconds or [np.nan])
        p50, p95, most = np.percentile(times, [50, 95, 100])
        return f"{name:8} {len(self.seconds):6} answered  {len(self.errors):4} errors   p50 {p50:.2f} s  p95 {p95:.2f} s  max {most:.2f} s"


def generated(home: Path) -> Path:
    """Create a library of three shapes of each of 100 categories."""
    for number, name in itertools.product(range(3), list(CATEGORIES)[:100]):
        save(make_shape(name, seed=UNSEEN + number), home / "files" / f"{name} {number}.glb")
    br.Index.open(home / "library.lance").add(home / "files", options=IndexOptions(2))
    return home / "library.lance"


@contextmanager
def served(db: Path, log: Path) -> Iterator[tuple[str, int]]:
    """Serve the page of a library on this machine, yielding its URL and process id."""
    with log.open("w", encoding="utf-8") as messages:
        command = [sys.executable, "-m", "basrelief", "app", "--db", str(db)]
        server = subprocess.Popen(command, stderr=messages)
        try:
            while SERVED not in (text := log.read_text(encoding="utf-8")):
                if server.poll() is not None:
                    raise SystemExit(f"the server ended: {text}")
                time.sleep(0.2)
            yield text.split("basrelief: ")[1].split()[0].rstrip("/"), server.pid
        finally:
            server.terminate()
            server.wait(20)


async def call(client: httpx.AsyncClient, session: str, number: int, data: list[Any]) -> list[Any]:
    """Call a queued function of the page as a browser does, and wait for its answer.

    Raises:
        RuntimeError: If the answer is an error.
    """
    answer = await client.post("/gradio_api/queue/join", json={"data": data, "fn_index": number, "session_hash": session})
    answer.raise_for_status()
    async with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        async for line in stream.aiter_lines():
            message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed":
                if not message["success"]:
                    raise RuntimeError(str(message["output"].get("error"))[:200])
                found: list[Any] = message["output"]["data"]
                return found
    raise RuntimeError("the stream ended without an answer")


async def repeat(url: str, until: float, tally: Tally, work: Any) -> None:  # noqa: ANN401 - a coroutine function
    """Repeat a call until a time, as one visitor."""
    session = secrets.token_hex(6)
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        while time.monotonic() < until:
            begun = time.monotonic()
            try:
                await work(client, session)
                tally.seconds.append(time.monotonic() - begun)
            except (httpx.HTTPError, RuntimeError) as error:
                tally.errors.append(repr(error)[:200])


async def functions(url: str) -> dict[str, int]:
    """Return the numbers of the page's functions, by the element that calls them."""
    async with httpx.AsyncClient(base_url=url) as client:
        config = (await client.get("/config")).json()
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    return {
        f"{names.get(target)}.{event}": dependency["id"] for dependency in config["dependencies"] for target, event in dependency["targets"]
    }


def phrases(*, fresh: bool) -> Iterator[str]:
    """Yield phrases to search for: the same 200 repeatedly, or fresh ones."""
    for number in itertools.count():
        yield from (f"{kind} {word} {number}" if fresh else f"{kind} {word}" for kind in KINDS for word in WORDS)


async def load(url: str, args: argparse.Namespace, pid: int) -> tuple[Tally, Tally, list[int]]:
    """Run all visitors, and measure the server's memory before, halfway and after."""
    numbers, content, texts = await functions(url), args.upload.read_bytes(), phrases(fresh=args.fresh)

    async def search(client: httpx.AsyncClient, session: str) -> None:
        asked = {"data": [next(texts), "", "", None, None, None, None], "fn_index": numbers["search.click"], "session_hash": session}
        answer = await client.post("/gradio_api/run/predict", json=asked)
        answer.raise_for_status()
        if not answer.json()["data"][0]:
            raise RuntimeError(answer.json()["data"][2])

    async def name(client: httpx.AsyncClient, session: str) -> None:
        answer = await client.post("/gradio_api/upload", files={"files": (args.upload.name, content)})
        answer.raise_for_status()
        file = {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}
        await call(client, session, numbers["classify.click"], [file, LABELS])

    searches, uploads = Tally(), Tally()
    for work, tally in ((search, Tally()), (name, Tally())):  # the first of each loads what it needs
        await repeat(url, time.monotonic() + 0.001, tally, work)
    memory = [resident(pid)]
    until = time.monotonic() + args.seconds
    visitors = [repeat(url, until, searches, search) for _ in range(args.searchers)]
    visitors += [repeat(url, until, uploads, name) for _ in range(args.uploaders)]

    async def watch() -> None:
        for _ in range(2):
            await asyncio.sleep(args.seconds / 2)
            memory.append(resident(pid))

    await asyncio.gather(*visitors, watch())
    return searches, uploads, memory


def resident(pid: int) -> int:
    """Return the memory of a process and its children in bytes; shared pages count in each."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text(encoding="ascii").split())
        except OSError:  # it ended
            continue
    return total


def main() -> None:
    """Parse the command line, serve, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", type=Path, help="Library to serve.")
    parser.add_argument("--upload", type=Path, help="Shape file that uploaders send.")
    parser.add_argument("--searchers", type=int, default=50)
    parser.add_argument("--uploaders", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fresh", action="store_true", help="Never search for a phrase twice.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        args.upload = args.upload or save(make_shape("mug", seed=UNSEEN - 1), home / "upload.glb")
        with served(args.db or generated(home), home / "server.log") as (url, pid):
            searches, uploads, memory = asyncio.run(load(url, args, pid))
    print(searches.line("search"))
    print(uploads.line("upload"))
    print("memory of the server at the start, in the middle, at the end: " + ", ".join(f"{size / 2**20:,.0f} MB" for size in memory))
    for error, count in {error: (searches.errors + uploads.errors).count(error) for error in {*searches.errors, *uploads.errors}}.items():
        print(f"{count} times: {error}")


if __name__ == "__main__":
    main()
