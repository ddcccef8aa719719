"""What early exit leaves out, and what it costs, with `tiny` on shapes it was not trained on.

    python benchmarks/early_exit.py --shapes SHAPES

Validation shapes may choose a share of the bound; test shapes report it (`basrelief.datasets.maker_split`). All names of the files compete.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import basrelief as br
from basrelief.datasets import maker_split
from basrelief.io import load
from basrelief.tasks import EarlyExit
from basrelief.tasks.early_exit import embed_until_decided, view_weights
from basrelief.train.data import list_shapes

SHARES = (1.0, 0.2, 0.1, 0.06, 0.05, 0.04, 0.03, 0.02, 0.0)


def report(part: str, folder: Path, *, limit: int) -> None:
    """Embed every view of some shapes, then print a row for each share of the bound."""
    model, rows = br.load_model("tiny", backend="torch"), list_shapes(folder)
    names = sorted({row.name for row in rows})
    chosen = [row for row in rows if maker_split().part(row.group) == part]
    chosen = chosen[:: max(1, len(chosen) // limit)][:limit]
    known = torch.cat([model.embed_views([load(row.path, up="z")]) for row in chosen])
    labels, right = model.encode_labels(names), torch.tensor([names.index(row.name) for row in chosen])
    weights = view_weights(model.recipe.pooling, model.views)
    whole = model.score_views(known, labels).scores.argmax(dim=1)
    print(f"{part}: {len(chosen)} shapes of {model.views} views, {len(names)} labels, top-1 {(whole == right).float().mean():.1%}")
    for share in SHARES:
        views, encoded = embed_until_decided(
            lambda rows, some: known[rows][:, some], labels, EarlyExit(share), shapes=len(known), weights=weights
        )
        found = model.score_views(views, labels).scores.argmax(dim=1)
        left_out = 1 - encoded.float().mean() / model.views
        print(
            f"  share {share:<5} views left out {left_out:6.1%}   other best label {(found != whole).float().mean():5.1%}   "
            f"top-1 {(found == right).float().mean():6.1%}"
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, required=True, help="folder of labelled shapes, with its table beside it")
    parser.add_argument("--limit", type=int, default=1000, help="shapes of each part")
    given = parser.parse_args()
    for part in ("validation", "test"):
        report(part, given.shapes, limit=given.limit)


if __name__ == "__main__":
    main()
