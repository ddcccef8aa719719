"""LZF (Lehmann's liblzf), the compression inside PCD and of some HDF5 files."""

from __future__ import annotations


def lzf_decompress(data: bytes, size: int) -> bytearray:
    """Decompress LZF.

    A control byte below 32 starts a run of that many plus one plain bytes; any other names a run of bytes already written, by length
    (three upper bits, 7 meaning one more length byte) and distance. A step here is a run, not a byte.

    Args:
        data: Compressed bytes.
        size: Bytes to expect; no more than that are ever made, plus one run.

    Returns:
        Exactly `size` bytes.

    Raises:
        ValueError: If the data ends early, refers to before its start, or does not give `size` bytes.
    """
    out = bytearray()
    at, end = 0, len(data)
    done = 0
    while at < end and done < size:
        control = data[at]
        at += 1
        if control < 32:
            out += data[at : at + control + 1]
            at += control + 1
        else:
            length = control >> 5
            if length == 7:
                length += data[at]
                at += 1
            distance = ((control & 31) << 8) + data[at] + 1
            at += 1
            length += 2
            start = done - distance
            if start < 0:
                raise ValueError("the compressed data refers to before its start")
            run = out[start : start + length]
            out += run if length <= distance else (run * (length // distance + 1))[:length]
        done = len(out)
    if done != size:
        raise ValueError(f"the compressed data gives {done} bytes where {size} are declared")
    return out
