#!/bin/sh
# Trains the embedded model `tiny`: text tower, then vision tower. Resumes what lies in OUT.
# Usage: runs/tiny.sh SHAPES CLIP_TEXT OUT [HOURS] [DEVICE]
#   SHAPES     folder of labelled shapes, its table SHAPES.csv beside it
#   CLIP_TEXT  folder of recorded CLIP ViT-B/32 text features
#   OUT        folder for weights, checkpoint and log
# The schedule follows the clock, so another machine gives other weights; src/basrelief/models/tiny/MODEL_CARD.md says what the shipped ones took.
set -eu
[ $# -ge 3 ] || { sed -n '2,8p' "$0"; exit 2; }
PYTHON=${PYTHON:-python}
"$PYTHON" -m basrelief.train.tiny --shapes "$1" --clip-text "$2" --out "$3" --hours "${4:-0.78}" --device "${5:-cpu}"
