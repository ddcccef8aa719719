#!/bin/sh
# Train the upright network of --pose on generated shapes and a folder of labelled ones. An interrupted run resumes.
# Usage: runs/upright.sh SHAPES OUT [STEPS] [NAME=VALUE ...]
#   SHAPES  folder of labelled upright shapes, its table SHAPES.csv beside it
#   OUT     folder of the run; upright.safetensors in it is the network
# The shipped weights took 6776 steps on an H100 (390 s, precision=bfloat16, seed=0); docs/use/pose.md has their accuracy.
set -eu
[ $# -ge 2 ] || { sed -n '2,6p' "$0"; exit 2; }
PYTHON=${PYTHON:-python}
shapes=$1 out=$2 steps=${3:-6776}
shift 2
[ $# -eq 0 ] || shift
"$PYTHON" -m basrelief train upright --shapes "$shapes" --out "$out" epochs=1 "epoch_steps=$steps" "$@"
