"""Find shapes with words, with a shape, and with a mixture of both; the same vectors serve every query."""

from pathlib import Path

import basrelief as br
from basrelief.shapes import make_shape
from basrelief.tasks import find_nearest

model = br.load_model("tiny")
files = sorted(Path("examples/shapes").iterdir())
library = model.embed_shapes([br.load(file) for file in files])

queries = {
    "something to drink from": model.embed_query(["mug"]),
    "like this vase": model.embed_query([make_shape("vase", seed=1_000_000)]),
    "like this vase, but a light": model.embed_query([make_shape("vase", seed=1_000_000), "lamp"], weights=[1.0, 2.0]),
    "furniture, but no table": model.embed_query(["chair", "table"], weights=[1.0, -0.5]),
}
for words, query in queries.items():
    _, places = find_nearest(query[None], library, top=2)
    print(f"{words}: {', '.join(files[place].name for place in places[0].tolist())}")
