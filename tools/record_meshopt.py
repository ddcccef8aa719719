"""Record buffers as meshoptimizer compresses them, with what they unpack to: `tests/recorded/meshopt.npz`.

python tools/record_meshopt.py          (needs `pip install meshopt`)
"""

from __future__ import annotations

from pathlib import Path

import meshopt
import numpy as np

_PAGE = Path(__file__).parent.parent / "tests" / "recorded" / "meshopt.npz"


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    recorded: dict[str, np.ndarray] = {}

    def keep(name: str, data: bytes, expected: np.ndarray) -> None:
        recorded[f"{name}.data"], recorded[f"{name}.expected"] = np.frombuffer(data, np.uint8), expected

    for version in (0, 1):
        for level in (0, 3):
            for count, stride in ((1, 4), (17, 12), (270, 4), *(((530, 16),) if level else ())):
                steps = np.cumsum(rng.integers(-9, 10, (count, stride // 4)), axis=0).astype("<i4")
                waves = np.sin(np.arange(count)[:, None] / 9 + np.arange(stride // 4)).astype("<f4")
                found = (("steps", steps), ("waves", waves), ("noise", rng.integers(0, 1 << 31, steps.shape).astype("<i4")))
                for kind, values in found[: 2 if count > 500 else 3]:
                    rows = values.view(np.uint8).reshape(count, stride)
                    data = meshopt.encode_vertex_buffer_level(rows, level, version)
                    keep(f"vertices-{kind}-{version}-{level}-{stride}", data, rows)
    for name, stride, rows in _filtered(rng):
        data = meshopt.encode_vertex_buffer(rows)
        keep(f"filter-{name}-{stride}", data, meshopt.decode_vertex_buffer(data, len(rows), stride, name))
    grid = np.arange(400).reshape(20, 20)
    quads = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=-1).reshape(-1)
    for name, indices in (
        ("grid", quads),
        ("ordered", meshopt.reorder_mesh(quads.astype(np.uint32), True, False)[0]),
        ("noise", rng.integers(0, 5000, 300)),
        ("far", rng.integers(0, 1 << 28, 30)),
    ):
        data = meshopt.encode_index_buffer(indices.astype(np.uint32))
        keep(f"triangles-{name}", data, np.asarray(meshopt.decode_index_buffer(data, len(indices), 4)).reshape(-1))
        keep(f"indices-{name}", meshopt.encode_index_sequence(indices.astype(np.uint32)), indices.astype(np.uint32))
    np.savez_compressed(_PAGE, **recorded)  # type: ignore[arg-type]


def _filtered(rng: np.random.Generator) -> list[tuple[str, int, np.ndarray]]:
    """Return what each filter makes of random values."""
    vectors, quaternions = rng.normal(size=(50, 3)), rng.normal(size=(50, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    signed, colors = np.c_[vectors, np.ones(50)], rng.random((50, 4))
    return [
        ("OCTAHEDRAL", 4, meshopt.encode_filter_oct(signed, 4, 8)),
        ("OCTAHEDRAL", 8, meshopt.encode_filter_oct(signed, 8, 12)),
        ("QUATERNION", 8, meshopt.encode_filter_quat(quaternions, 8, 12)),
        ("EXPONENTIAL", 12, np.ascontiguousarray(meshopt.encode_filter_exp(vectors * 100, 15)).view(np.uint8).reshape(50, 12)),
        ("COLOR", 4, meshopt.encode_filter_color(colors, 4, 8)),
        ("COLOR", 8, meshopt.encode_filter_color(colors, 8, 12)),
    ]


if __name__ == "__main__":
    main()
