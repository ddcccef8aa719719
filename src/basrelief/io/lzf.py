"""LZF (Lehmann's liblzf), the compression inside PCD and of some HDF5 files."""

from __future__ import annotations


def lzf_decompress(data: bytes, size: int) -> bytearray:
    """Decompress LZF.

    A control byte below 32 precedes that many plus one literal bytes; any other copies earlier output by length (three upper bits, 7 means
    one more length byte) and distance. The loop handles one run per step, not one byte.

    Args:
        data: Compressed bytes.
        size: Expected number of bytes; at most one run more is ever produced.

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
