"""Folders with odd names, times, links and devices: every good file gets in, nothing outside is read or written, nothing stops."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from commands import indexed, judge, run
from outcomes import Outcome

from basrelief.io import save
from basrelief.shapes import make_shape

_SECRET = "what no command may show"
_NAMES = (
    "plain.ply",
    "line\nbreak.ply",
    "<img src=x onerror=alert(1)>.ply",
    "'; DROP TABLE shapes; --.ply",
    "=cmd|' calc'!A0.ply",
    "$(touch harmed).ply",
    "-rf.ply",
    "\u202egnp.ply",
    "x" * 240 + ".ply",
    "a#3.ply",
    "%2e%2e%2fb.ply",
)
_BAD_DATABASES = ("../" * 2000, "a\0b", "x" * 5000, "nope://bucket/x", "/dev/null", "s3://", "file:///dev/null/x")
_BAD_FILTERS = (
    "-" * 3000 + "faces<3",
    "not " * 2000 + "format:glb",
    "faces<" + "9" * 4000,
    "faces<inf",
    "name:" + "x" * 10_000,
    "tag:\n'; --",
    "not\nx:y",
)


def attack_folders(folder: Path, *, short: bool = False) -> Iterator[Outcome]:
    """Index hostile folders and use the library like a user.

    Args:
        folder: Empty; for files and libraries.
        short: Whether most of the wrong databases, filters and outputs are left out.

    Yields:
        An outcome for each thing that could have gone wrong.
    """
    home, outside, database = folder / "home", folder / "outside", folder / "library.lance"
    good = _fill(home, outside)
    yield from _index(home, database, good)
    yield from _change(home, database)
    yield from _links(home, outside, database)
    few = 2 if short else None
    for name in _BAD_DATABASES[:few]:
        yield _command(f"--db {name[:20]!r}", "search", "mug", "--db", name)
    for text in _BAD_FILTERS[:few]:
        yield _command(f"--where {text[:20]!r}", "search", "mug", "--db", str(database), f"--where={text}")
    yield from itertools.islice(_outputs(home, database), few)


def _fill(home: Path, outside: Path) -> list[Path]:
    """Create the folder; return the files that must be indexed."""
    home.mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text(_SECRET, encoding="utf-8")
    save(make_shape("chair", seed=900_000), outside / "secret.ply")
    mug = save(make_shape("mug", seed=900_001), home / "mug.ply")
    good = [mug]
    for name in _NAMES:
        shutil.copy(mug, home / name)
        good.append(home / name)
    odd_name = os.fsencode(home) + b"/not-\xff\xfe-utf8.ply"
    Path(os.fsdecode(odd_name)).write_bytes(mug.read_bytes())
    for name, seconds in (("future.ply", 1 << 34), ("past.ply", -(1 << 31)), ("zero.ply", 0)):
        shutil.copy(mug, home / name)
        os.utime(home / name, (seconds, seconds))
    good += [home / "zero.ply", home / "past.ply"]
    os.mkfifo(home / "pipe.ply")
    (home / "loop").symlink_to(home)
    (home / "leads-out.ply").symlink_to(outside / "secret.ply")
    (home / "nowhere.ply").symlink_to(home / "absent.ply")
    (home / "device.ply").symlink_to("/dev/zero")
    (home / "folder.ply").mkdir()
    (home / "empty.glb").touch()
    (home / "leak.gltf").write_text(_gltf("secret.bin"), encoding="utf-8")
    (home / "secret.bin").symlink_to(outside / "secret.ply")
    (home / "pipe.gltf").write_text(_gltf("pipe.bin"), encoding="utf-8")
    os.mkfifo(home / "pipe.bin")
    (home / "climb.gltf").write_text(_gltf("../outside/secret.ply"), encoding="utf-8")
    return good


def _gltf(buffer: str) -> str:
    return (
        '{"asset":{"version":"2.0"},"buffers":[{"uri":"BUFFER","byteLength":36}],"bufferViews":[{"buffer":0,"byteLength":36}],'
        '"accessors":[{"bufferView":0,"componentType":5126,"count":3,"type":"VEC3"}],'
        '"meshes":[{"primitives":[{"attributes":{"POSITION":0}}]}],"nodes":[{"mesh":0}],"scenes":[{"nodes":[0]}],"scene":0}'
    ).replace("BUFFER", buffer)


def _index(home: Path, database: Path, good: list[Path]) -> Iterator[Outcome]:
    done = run("index", home, "--db", database)
    known = indexed(database) if database.exists() else {}
    missing = [path.name for path in good if str(path.resolve()) not in known]
    yield judge("index a hostile folder", done, codes=(1,), harm=f"left out {missing[:3]}" if missing else "")
    for name in ("leads-out.ply", "leak.gltf", "climb.gltf", "device.ply", "pipe.ply", "pipe.gltf"):
        yield judge(f"index {name}", done, codes=(1,), harm=f"{name} was read" if str(home.resolve() / name) in known else "")
    again = run("index", home, "--db", database)
    fresh = b" 0 read" not in again.stdout
    yield judge("index it again", again, codes=(1,), harm=f"files were read again: {again.stdout[-200:]!r}" if fresh else "")


def _change(home: Path, database: Path) -> Iterator[Outcome]:
    """Check that a changed side file makes the shape be read again."""
    shape = home / "side.obj"
    shape.write_text("mtllib side.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\n", encoding="ascii")
    (home / "side.mtl").write_text("newmtl a\nKd 1 0 0\n", encoding="ascii")
    run("index", home, "--db", database)
    before = indexed(database).get(str(shape.resolve()))
    (home / "side.mtl").write_text("newmtl a\nKd 0 0 1 \n", encoding="ascii")
    done = run("index", home, "--db", database)
    stale = indexed(database).get(str(shape.resolve())) in (None, before)
    yield judge("change a side file", done, codes=(1,), harm="the library did not notice" if stale else "")


def _links(home: Path, outside: Path, database: Path) -> Iterator[Outcome]:
    """Check sidecar files and obstacles at their paths."""
    target = outside / "target.txt"
    target.write_text(_SECRET, encoding="utf-8")
    for name in (".mug.ply.tags.json.part", "mug.ply.tags.json", ".mug.ply.tags.json", "plain.ply.tags.json"):
        (home / name).symlink_to(target)
    tag = ("tag", "--labels", "mug,chair,lamp", "--write", "--sidecars", "--db", database)
    done = run(*tag)
    yield judge("write sidecars over links", done, harm="" if target.read_text() == _SECRET else "a file outside was overwritten")
    yield judge(
        "take them back", run("tag", "--undo", "--db", database), harm="" if target.read_text() == _SECRET else "a file outside changed"
    )
    for path in (outside / "secret.txt", home / "climb.gltf", home / "leak.gltf", home / "pipe.ply", home / "device.ply", home):
        done = run("classify", path, "--labels", "mug,chair")
        shown = _SECRET.encode() in done.stdout + done.stderr
        expected = (0, 1, 2) if path == home else (1, 2)
        yield judge(f"classify {path.name}", done, codes=expected, harm="showed the content of a file outside" if shown else "")


def _outputs(home: Path, database: Path) -> Iterator[Outcome]:
    """Check outputs that cannot be written: a full disk, or a folder at their path."""
    blocked, mug = home / "folder.ply", home / "mug.ply"
    for target in ("/dev/full", str(blocked), "/proc/nothing/x.html", str(mug / "x.html")):
        yield _command(f"--html {target}", "search", "mug", "--db", str(database), "--html", target, codes=(2,))
        yield _command(f"--out {target}", "tag", "--labels", "mug,chair", "--db", str(database), "--out", target, codes=(2,))
    for target in (str(blocked / "a" / "b.png"), "/proc/nothing/x.png", str(mug / "x.png")):
        codes = (0,) if target.startswith(str(blocked)) else (2,)
        yield _command(f"render -o {target}", "render", str(mug), "-o", target, codes=codes)


def _command(name: str, *arguments: str, codes: tuple[int, ...] = (0, 1, 2)) -> Outcome:
    try:
        return judge(name, run(*arguments), codes=codes)
    except ValueError:  # an argument that the system itself refuses
        return Outcome(name, "refused")
    except OSError as error:
        return Outcome(name, "refused", message=str(error))
