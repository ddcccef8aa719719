#!/bin/sh
# Trains the embedded model `tiny` from nothing, and once more from there; what lies in OUT is resumed. Further words are settings of
# both trainings, e.g. seed=1, batch=64 or unseen_classes=15. For one of them alone call `basrelief train tiny` itself.
# Usage: runs/tiny.sh SHAPES CLIP_TEXT OUT [NAME=VALUE ...]
#   SHAPES     folder of labelled shapes, its table SHAPES.csv beside it
#   CLIP_TEXT  folder of recorded CLIP ViT-B/32 text features
#   OUT        folder of the run; encoder.safetensors, tokenizer.json and words.json in it are the model
# CUDA is used where there is one. src/basrelief/models/tiny/MODEL_CARD.md says what the shipped weights took.
set -eu
[ $# -ge 3 ] || { sed -n '2,8p' "$0"; exit 2; }
PYTHON=${PYTHON:-python}
shapes=$1 words=$2 out=$3
shift 3
train() { "$PYTHON" -m basrelief train tiny --shapes "$shapes" --clip-text "$words" "$@"; }
train --out "$out/first" tune_block=false "$@"
for part in shapes.pt library pictures; do # the same for both
  [ -e "$out/$part" ] || cp -r "$out/first/$part" "$out/$part"
done
train --out "$out" --init-from "$out/first" epochs=25 rate=1.2e-3 warm_up=100 augmentation_ramp=0 "$@"
