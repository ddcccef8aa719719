"""Draw `opendlign-views.png` beside this file: ten views of a chair and a bed, each by the program's projection and by the paper's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from basrelief.render import render_depth
from basrelief.shapes import make_shape

rows = []
for name in ("chair", "bed"):
    shape = make_shape(name, seed=1_000_001)
    rows += [np.concatenate(list(render_depth(shape, projection).image.numpy()), axis=1) for projection in ("opendlign", "opendlign-paper")]
picture = Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8))
picture.resize((picture.width // 2, picture.height // 2)).save(Path(__file__).with_name("opendlign-views.png"), optimize=True)
