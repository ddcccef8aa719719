"""Write the demo scan `examples/scans/room.ply`: a generated living room, scanned virtually from several places.

Run from anywhere: `python examples/make_scan.py [folder]`.

The room and the designs of its furniture have seed 2,000,000 or more, fixed before any result was looked at. `tiny` was trained on other
designs of these things (seeds below 300); the settings for scans were chosen on rooms with seeds below 1,000,000.
"""

import sys
from pathlib import Path

from basrelief.io import save
from basrelief.shapes.rooms import make_room
from basrelief.shapes.virtual_scan import scan_room

SEED = 2_000_000
SPACING = 0.04  # metres between neighbouring points, to keep the file small


def main(folder: Path) -> None:
    """Scan the room and write its points, coloured, in metres."""
    folder.mkdir(parents=True, exist_ok=True)
    scan = scan_room(make_room(seed=SEED, kind="living room"), seed=SEED, spacing=SPACING)
    print(save(scan.cloud, folder / "room.ply"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "scans")
