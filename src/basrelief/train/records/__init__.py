"""Records: what is drawn of each shape of a library, kept in tar shards or folders; made by many processes, resumable."""

from basrelief.train.records.make import (
    CostEstimate,
    Progress,
    RecordMaker,
    Workers,
    estimate_cost,
    make_records,
    read_failures,
    record_key,
)
from basrelief.train.records.read import RecordSet, open_records, read_file, read_label, read_manifest, read_picture
from basrelief.train.records.store import LAYOUTS, MANIFEST, MAX_SIDE, Record, png_bytes

__all__ = [
    "LAYOUTS",
    "MANIFEST",
    "MAX_SIDE",
    "CostEstimate",
    "Progress",
    "Record",
    "RecordMaker",
    "RecordSet",
    "Workers",
    "estimate_cost",
    "make_records",
    "open_records",
    "png_bytes",
    "read_failures",
    "read_file",
    "read_label",
    "read_manifest",
    "read_picture",
    "record_key",
]
