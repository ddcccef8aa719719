#!/bin/sh
# Trains the upright network of --pose on generated shapes and, where given, a folder of labelled ones.
# Usage: runs/upright.sh SHAPES OUT.safetensors [STEPS] [DEVICE]
#   SHAPES  folder of labelled upright shapes, its table SHAPES.csv beside it
# The shipped file: 6776 steps on an H100 (390 s, bfloat16, seed 0); docs/use/pose.md has its figures.
set -eu
[ $# -ge 2 ] || { sed -n '2,5p' "$0"; exit 2; }
PYTHON=${PYTHON:-python}
"$PYTHON" -m basrelief.train.upright --shapes "$1" --out "$2" --steps "${3:-6776}" --device "${4:-cpu}"
