"""Name a shape with your own words, and draw what the answer rests on."""

import basrelief as br

model = br.load_model("tiny")
shape = br.load("examples/shapes/chair.glb")
(answer,) = model.classify([shape], ["chair", "table", "lamp", "guitar"])

for label, chance in zip(answer.labels, answer.probabilities, strict=True):
    print(f"{label:<8} {chance:.3f}")
print("each view alone says:", ", ".join(answer.view_labels))
