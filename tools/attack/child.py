"""Read the files named on stdin one by one and report each outcome on stdout; runs in its own process.

An input line is JSON: `path`, `seed` (null for the unchanged file), `draw` (whether to index the file instead of only loading it),
`reader` (one of `scan_readers.READERS` instead, or empty). An output line is JSON: `kind`, `message`, `megabytes`,
`processor_seconds`. The parent checks how long a line takes and whether the process survives.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

from mutations import mutate
from scan_readers import READERS

_HARM = ("os.mkdir", "os.system", "os.remove", "os.exec", "os.posix_spawn", "subprocess.", "socket.", "pickle.", "shutil.", "ctypes.dlopen")
_SLACK = 1 << 30  # above the promised limit, so that exceeding it can be measured


def main() -> None:
    """Answer lines until stdin ends."""
    import torch

    from basrelief.encoders.state_dict import read_state_dict
    from basrelief.index.read import FileOptions, read_file
    from basrelief.io import load
    from basrelief.limits import limits
    from basrelief.models.recipe import get_recipe
    from basrelief.models.shape_input import ViewInput

    torch.set_num_threads(1)
    recipe = get_recipe("tiny")
    options = FileOptions(ViewInput(recipe.drawers(0)))
    space = int(_status("VmSize")) + limits().memory_bytes + _SLACK
    warmed = Path(__file__)
    for reader in (read_state_dict, load):  # import what they need, so that the hook below sees only what files do
        with contextlib.suppress(Exception):
            reader(warmed)
    events = _watch()
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    with tempfile.TemporaryDirectory(prefix="basrelief-attack-") as folder:
        print("ready", flush=True)
        for line in sys.stdin:
            job = json.loads(line)
            path = Path(job["path"])
            if job["seed"] is not None:
                content, path = mutate(path, job["seed"]), Path(folder, "mutation" + path.suffix)
                path.write_bytes(content)
            before, start = _peak_from_here(), time.process_time()
            kind, message = "read", ""
            try:
                events.clear()
                if job["reader"]:
                    READERS[job["reader"]](path)
                elif path.suffix == ".pt":
                    read_state_dict(path)
                else:
                    read_file(path, options) if job["draw"] else load(path)
            except Exception as error:
                kind, message = _judged(error)
            if path.suffix == ".pt" and events:
                kind, message = "harm", f"the file caused {events[0]}"
            megabytes = (_status("VmHWM") - before) / 2**20
            said = {"kind": kind, "message": message[:500], "megabytes": megabytes, "processor_seconds": time.process_time() - start}
            print(json.dumps(said), flush=True)


def _watch() -> list[str]:
    """Return a list to which every event of the process that a file must not cause is added."""
    events: list[str] = []

    def hook(event: str, _: object) -> None:
        if event.startswith(_HARM) and len(events) < 10:
            events.append(event)

    sys.addaudithook(hook)
    return events


def _judged(error: Exception) -> tuple[str, str]:
    from basrelief.errors import BasreliefError

    if isinstance(error, BasreliefError):
        return "refused", str(error)
    if isinstance(error, MemoryError):
        return "memory", "".join(traceback.format_exception(error)[-3:])
    return "traceback", "".join(traceback.format_exception(error)[-3:])


def _peak_from_here() -> float:
    """Reset the peak of resident memory (Linux); return the current resident memory, bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith(name + ":"))
    return 1024.0 * int(line.split()[1])


if __name__ == "__main__":
    main()
