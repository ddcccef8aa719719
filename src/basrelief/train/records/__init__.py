"""Records: what is drawn of each shape of a library, kept in tar shards or folders; made by many processes, resumable."""

from basrelief.train.records.make import Maker, Plan, Progress, Work, key_of, make_records, plan_records, read_failures
from basrelief.train.records.read import RecordSet, open_records, read_file, read_label, read_manifest, read_picture
from basrelief.train.records.store import LAYOUTS, MANIFEST, Record, png_bytes

__all__ = [
    "LAYOUTS",
    "MANIFEST",
    "Maker",
    "Plan",
    "Progress",
    "Record",
    "RecordSet",
    "Work",
    "key_of",
    "make_records",
    "open_records",
    "plan_records",
    "png_bytes",
    "read_failures",
    "read_file",
    "read_label",
    "read_manifest",
    "read_picture",
]
