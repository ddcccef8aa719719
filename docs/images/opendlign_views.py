"""Draw `opendlign-views.png` beside this file: ten views of each mesh file given, world +Z up."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from basrelief.render.base import PointBatch
from basrelief.render.opendlign import OpenDlignProjection

projection = OpenDlignProjection()
meshes = [trimesh.load(path, force="mesh") for path in sys.argv[1:]]
clouds = [np.asarray(trimesh.sample.sample_surface(mesh, 10_000, seed=0)[0], dtype=np.float32) for mesh in meshes]
image = projection.image(projection.depth(PointBatch.pack(clouds))).numpy()
rows = [np.concatenate(list(views), axis=1) for cloud in image for views in (cloud[:5], cloud[5:])]
Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8)).save(Path(__file__).with_name("opendlign-views.png"), optimize=True)
