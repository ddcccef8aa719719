"""Records: files drawn for each shape of a library, in tar shards or folders; made by several processes, resumable."""

from basrelief.train.records.make import CostEstimate, RecordMaker, Workers, estimate_cost, make_records, read_failures
from basrelief.train.records.read import RecordSet, open_records
from basrelief.train.records.store import Record

__all__ = [
    "CostEstimate",
    "Record",
    "RecordMaker",
    "RecordSet",
    "Workers",
    "estimate_cost",
    "make_records",
    "open_records",
    "read_failures",
]
