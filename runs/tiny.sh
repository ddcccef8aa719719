#!/bin/sh
# Train the embedded model `tiny` from scratch, then a second time from those weights. An interrupted run resumes. Further arguments are
# settings of both trainings, e.g. seed=1, batch_size=64 or unseen_classes=15. For a single training, call `basrelief train tiny` itself.
# Usage: runs/tiny.sh SHAPES CLIP_TEXT OUT [NAME=VALUE ...]
#   SHAPES     folder of labelled shapes, its table SHAPES.csv beside it
#   CLIP_TEXT  folder of recorded CLIP ViT-B/32 text embeddings
#   OUT        folder of the run; encoder.safetensors, tokenizer.json and words.json in it are the model
# Uses CUDA if available. src/basrelief/models/tiny/MODEL_CARD.md describes the training of the shipped weights.
set -eu
[ $# -ge 3 ] || { sed -n '2,8p' "$0"; exit 2; }
PYTHON=${PYTHON:-python}
shapes=$1 words=$2 out=$3
shift 3
train() { "$PYTHON" -m basrelief train tiny --shapes "$shapes" --clip-text "$words" "$@"; }
train --out "$out/first" tune_block=false "$@"
for part in shapes.pt library pictures; do # shared by both
  [ -e "$out/$part" ] || cp -r "$out/first/$part" "$out/$part"
done
train --out "$out" --init-from "$out/first" epochs=25 lr=1.2e-3 warm_up=100 augmentation_ramp=0 "$@"
