"""A library with a service."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("lancedb")

import basrelief as br
from basrelief.index import Index
from basrelief.io import save
from basrelief.models import Model
from basrelief.shapes import make_shape
from basrelief.web.service import LibraryService

needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="the page needs gradio")  # not imported: it takes three seconds
SERVER = """
import sys, time
from pathlib import Path
from basrelief.index import Index
from basrelief.web.service import LibraryService
from basrelief.web.server import serve
if __name__ == "__main__":
    service = LibraryService(Index.open(sys.argv[1]), roots=(Path(sys.argv[2]),))
    print(serve(service).url, flush=True)
    time.sleep(600)
"""


@contextmanager
def running_page(home: Path, root: Path) -> Iterator[str]:
    """The address of the page of `home/lib.lance`, served by a process of its own."""
    (home / "server.py").write_text(SERVER, encoding="utf-8")
    command = [sys.executable, str(home / "server.py"), str(home / "lib.lance"), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None:
            raise RuntimeError("the server says nothing")
        yield server.stdout.readline().strip().rstrip("/")
        server.kill()


FILES = {"seats/chair.glb": "chair", "mug.ply": "mug", "car.off": "car"}


@pytest.fixture(scope="session")
def model() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    home = tmp_path_factory.mktemp("web")
    for place, name in FILES.items():
        (home / "files" / place).parent.mkdir(parents=True, exist_ok=True)
        save(make_shape(name, seed=100_010), home / "files" / place)
    Index.open(home / "lib.lance", model=model).add(home / "files")
    return home


@pytest.fixture
def service(made: Path, tmp_path: Path, model: Model) -> Iterator[LibraryService]:
    """A service with a library of its own, of the same files; it reads in this process."""
    shutil.copytree(made / "lib.lance", tmp_path / "lib.lance")
    (tmp_path / "more").mkdir()
    found = LibraryService(Index.open(tmp_path / "lib.lance", model=model), roots=(tmp_path / "more",), jobs=0)
    yield found
    found.close()
