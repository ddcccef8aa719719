#!/bin/sh
# Trains the embedded model `tiny`; what lies in OUT is resumed. Further words are settings and options of `basrelief train tiny`,
# e.g. epochs=10 seed=1, or --start tiny to go on from the embedded model.
# Usage: runs/tiny.sh SHAPES CLIP_TEXT OUT [NAME=VALUE ...]
#   SHAPES     folder of labelled shapes, its table SHAPES.csv beside it
#   CLIP_TEXT  folder of recorded CLIP ViT-B/32 text features
#   OUT        folder of the run; encoder.safetensors, tokenizer.json and words.json in it are the model
# CUDA is used where there is one. src/basrelief/models/tiny/MODEL_CARD.md says what the shipped weights took.
set -eu
[ $# -ge 3 ] || { sed -n '2,9p' "$0"; exit 2; }
PYTHON=${PYTHON:-python}
shapes=$1 words=$2 out=$3
shift 3
"$PYTHON" -m basrelief train tiny --shapes "$shapes" --clip-text "$words" --out "$out" "$@"
