"""Points from anywhere: an array is enough. Here, those of a table are made in place."""

import numpy as np

import basrelief as br

rng = np.random.default_rng(0)
top = rng.uniform((-0.6, -0.4, 0.70), (0.6, 0.4, 0.74), size=(3000, 3))
legs = [rng.uniform((x - 0.03, y - 0.03, 0.0), (x + 0.03, y + 0.03, 0.7), size=(400, 3)) for x in (-0.55, 0.55) for y in (-0.35, 0.35)]
shape = br.PointCloud(points=np.concatenate([top, *legs]).astype(np.float32))

answer = br.load_model("tiny").classify([shape], ["chair", "table", "airplane"])[0]
print(answer.label)
