"""Small files that expand to something enormous, one function per trick."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

_COLLADA = '<?xml version="1.0"?>\n<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1"><asset/>'
_3MF = '<?xml version="1.0"?>\n<model unit="millimeter" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">'


def write_amplifiers(folder: Path) -> list[Path]:
    """Write every amplifier.

    Args:
        folder: Where; made when missing.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for make in (_dae, _gltf, _threemf, _hdf5, _arrays, _text, _pcd):
        for name, content in make():
            (folder / name).write_bytes(content)
            if not name.endswith((".png", ".mtl")):
                files.append(folder / name)
    return files


def _dae() -> Iterator[tuple[str, bytes]]:
    """Instances of nodes within nodes, instances of a large geometry, and entities in odd encodings."""
    for named in (True, False):
        nodes = ""
        for level in range(30):
            inner = "".join(
                f'<node{f" id={chr(34)}i{level}{i}{chr(34)}" if named else ""}><instance_node url="#n{level + 1}"/></node>'
                for i in range(10)
            )
            nodes += f'<node id="n{level}">{inner}</node>'
        nodes += '<node id="n30"><instance_geometry url="#g"/></node>'
        yield f"nested_{'named' if named else 'anonymous'}.dae", _dae_scene(3, nodes, '<instance_node url="#n0"/>')
    yield "geometry_5000_times.dae", _dae_scene(33_000, "", '<instance_geometry url="#g"/>' * 5000)
    yield "node_inside_itself.dae", _dae_scene(3, '<node id="a"><instance_node url="#a"/></node>', '<instance_node url="#a"/>')
    entities = (
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)) + "]>"
    )
    document = f'<?xml version="1.0" encoding="{{0}}"?>{entities}<COLLADA><asset><title>&j;</title></asset></COLLADA>'
    for encoding in ("utf-8", "utf-16", "utf-16-be", "utf-32", "utf-7", "cp037"):
        yield f"entities_{encoding}.dae", document.format(encoding).encode(encoding)
    yield "deep.dae", (_COLLADA + "<node>" * 200_000).encode()


def _dae_scene(vertices: int, nodes: str, scene: str) -> bytes:
    numbers = " ".join(["0 1 2"] * vertices)
    corners = " ".join(map(str, range(vertices - vertices % 3)))
    params = "".join(f'<param name="{axis}" type="float"/>' for axis in "XYZ")
    source = (
        f'<source id="p"><float_array id="f" count="{3 * vertices}">{numbers}</float_array><technique_common>'
        f'<accessor source="#f" count="{vertices}" stride="3">{params}</accessor></technique_common></source>'
    )
    mesh = (
        f'{source}<vertices id="v"><input semantic="POSITION" source="#p"/></vertices><triangles count="{vertices // 3}">'
        f'<input semantic="VERTEX" source="#v" offset="0"/><p>{corners}</p></triangles>'
    )
    geometry = f'<library_geometries><geometry id="g"><mesh>{mesh}</mesh></geometry></library_geometries>'
    library = f"<library_nodes>{nodes}</library_nodes>" if nodes else ""
    scenes = f'<library_visual_scenes><visual_scene id="s"><node id="root">{scene}</node></visual_scene></library_visual_scenes>'
    return f'{_COLLADA}{geometry}{library}{scenes}<scene><instance_visual_scene url="#s"/></scene></COLLADA>'.encode()


def _gltf() -> Iterator[tuple[str, bytes]]:
    """Primitives times nodes, shared accessors, deep chains, textures large, many and shared."""
    triangle = np.eye(3, dtype=np.float32).tobytes()
    position = [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}]
    views = [{"buffer": 0, "byteLength": 36}]
    primitive = {"attributes": {"POSITION": 0}}

    def glb(data: bytes = triangle, **header: object) -> bytes:
        whole = {
            "asset": {"version": "2.0"},
            "accessors": position,
            "bufferViews": views,
            "scene": 0,
            "buffers": [{"byteLength": len(data)}],
            **header,
        }
        text = json.dumps(whole).encode()
        text += b" " * (-len(text) % 4)
        data += b"\0" * (-len(data) % 4)
        body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
        return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body

    nodes = [{"mesh": 0} for _ in range(90_000)]
    yield "primitives_x_nodes.glb", glb(meshes=[{"primitives": [primitive] * 1000}], nodes=nodes, scenes=[{"nodes": list(range(90_000))}])
    many = np.zeros((1_000_000, 3), np.float32).tobytes()
    yield (
        "shared_accessor.glb",
        glb(
            many,
            accessors=[{"bufferView": 0, "componentType": 5126, "count": 1_000_000, "type": "VEC3"}],
            bufferViews=[{"buffer": 0, "byteLength": len(many)}],
            meshes=[{"primitives": [primitive] * 200}],
            nodes=[{"mesh": 0}],
            scenes=[{"nodes": [0]}],
        ),
    )
    deep = [{"children": [i + 1]} for i in range(50_000)] + [{"mesh": 0}]
    yield "deep_nodes.glb", glb(meshes=[{"primitives": [primitive]}], nodes=deep, scenes=[{"nodes": [0]}])
    yield "deep_json.gltf", b'{"asset":{"version":"2.0"},"extras":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    for name, side, images, materials in (("one_bomb", 30_000, 1, 1), ("many", 8192, 20, 20), ("shared", 8192, 1, 500)):
        yield f"textures_{name}.glb", _textured(glb, side, images, materials)
    yield from _rest(glb)


def _rest(glb: Callable[..., bytes]) -> Iterator[tuple[str, bytes]]:
    """Long names, morph targets, joints, instances, zeros packed by meshoptimizer, textures in KTX 2 and ones that are blended."""
    scene = {"meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}]}
    for name in ("a{}_LOD{}_collider", "x" * 300 + "{}_LOD{}"):
        nodes = [{"mesh": 0, "name": name.format(i % 9, i)} for i in range(100_000)]
        yield f"names_{len(name)}.glb", glb(**scene, nodes=nodes, scenes=[{"nodes": list(range(100_000))}])
    zeros = [{"componentType": 5126, "count": 15_000_000, "type": "VEC3", "sparse": {"count": 0, "indices": {}, "values": {}}}]
    place = np.zeros(16, np.uint8).tobytes()
    zeros[0]["sparse"] = {"count": 1, "indices": {"bufferView": 0, "componentType": 5125}, "values": {"bufferView": 1}}
    views = [{"buffer": 0, "byteLength": 4}, {"buffer": 0, "byteOffset": 4, "byteLength": 12}]
    morphing = [{"primitives": [{"attributes": {"POSITION": 0}, "targets": [{"POSITION": 0}] * 10_000}], "weights": [1] * 10_000}]
    yield "morph_targets.glb", glb(place, accessors=zeros, bufferViews=views, meshes=morphing, nodes=[{"mesh": 0}], scenes=[{"nodes": [0]}])
    held = np.eye(3, dtype=np.float32).tobytes() + bytes(12) + np.full((3, 4), 0.25, np.float32).tobytes()
    joints = {
        "accessors": [
            {"bufferView": 0, "byteOffset": start, "componentType": kind, "count": 3, "type": size}
            for start, kind, size in ((0, 5126, "VEC3"), (36, 5121, "VEC4"), (48, 5126, "VEC4"))
        ],
        "bufferViews": [{"buffer": 0, "byteLength": 96}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}}]}],
    }
    chain: list[dict[str, object]] = [{"children": [i + 1]} if i % 100 < 99 else {} for i in range(90_000)]
    nodes = [{"mesh": 0, "skin": i % 50} for i in range(5000)]
    skins = [{"joints": list(range(i, 90_000, 50))} for i in range(50)]
    yield "joints.glb", glb(held, **joints, skins=skins, nodes=[*chain, {"mesh": 0, "skin": 0}], scenes=[{"nodes": [90_000]}])
    yield (
        "skins_x_nodes.glb",
        glb(held, **joints, skins=skins[:1] * 50, nodes=chain + nodes, scenes=[{"nodes": list(range(90_000, 95_000))}]),
    )
    copies = {"extensions": {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 0}}}}
    yield (
        "instances_x_nodes.glb",
        glb(**scene, nodes=[{"mesh": 0, **copies}] * 90_000, scenes=[{"nodes": list(range(90_000))}]),
    )
    for count in (20_000_000, 8_000_000):
        packed = bytes([0xA1]) + bytes([0b10101010] * 32) * (count // 64) + bytes(128 + 32)
        view: dict[str, object] = {"buffer": 0, "byteLength": len(packed), "byteStride": 128, "count": count, "mode": "ATTRIBUTES"}
        packs = [{"buffer": 0, "byteLength": count * 128, "byteStride": 128, "extensions": {"EXT_meshopt_compression": view}}]
        points = [{"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3"}]
        yield (
            f"meshopt_{count}.glb",
            glb(packed, **scene, accessors=points, bufferViews=packs, nodes=[{"mesh": 0}], scenes=[{"nodes": [0]}]),
        )
    for side in (60_000, 8192):
        header = np.array([43, 1, side, side, 0, 0, 1, 1, 3, 0, 0, 0, 0], "<u4").tobytes() + bytes(16)
        stored = zlib.compress(bytes(4 * side * 100))
        ktx = b"\xabKTX 20\xbb\r\n\x1a\n" + header + np.array([104, len(stored), 4 * side * side], "<u8").tobytes() + stored
        yield f"ktx2_{side}.glb", _textured(glb, 0, 1, 1, picture=ktx)
    yield "blended.glb", _textured(glb, 4096, 1, 500, blend=True)


def _textured(glb: Callable[..., bytes], side: int, images: int, materials: int, *, picture: bytes = b"", blend: bool = False) -> bytes:
    picture = picture or png(side)
    data = np.concatenate([np.eye(3, dtype=np.float32).ravel(), np.zeros(6, np.float32)]).tobytes() + picture
    end = len(data) - len(picture)
    return glb(
        data,
        accessors=[
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC2"},
        ],
        bufferViews=[
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 24},
            {"buffer": 0, "byteOffset": end, "byteLength": len(picture)},
        ],
        images=[{"bufferView": 2, "mimeType": "image/png"} for _ in range(images)],
        textures=[{"source": i} for i in range(images)],
        materials=[
            {"pbrMetallicRoughness": {"baseColorTexture": {"index": i % images}}, **({"alphaMode": "BLEND"} if blend else {})}
            for i in range(materials)
        ],
        meshes=[{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "material": i} for i in range(materials)]}],
        nodes=[{"mesh": 0}],
        scenes=[{"nodes": [0]}],
    )


def png(side: int) -> bytes:
    """Write a black picture of any size as PNG, a thousand pixels a byte.

    Args:
        side: Width and height, pixels.

    Returns:
        The file.
    """
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + 3 * side)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def _threemf() -> Iterator[tuple[str, bytes]]:
    """Components of components, entities, and XML that packs a thousand to one."""
    corners = "".join(f'<vertex x="{x}" y="{y}" z="0"/>' for x, y in ((0, 0), (1, 0), (0, 1)))
    triangle = f'<mesh><vertices>{corners}</vertices><triangles><triangle v1="0" v2="1" v3="2"/></triangles></mesh>'
    objects = f'<object id="1">{triangle}</object>'
    for level in range(2, 30):
        objects += f'<object id="{level}"><components>{f"<component objectid={chr(34)}{level - 1}{chr(34)}/>" * 10}</components></object>'
    yield "components.3mf", _package(f'{_3MF}<resources>{objects}</resources><build><item objectid="29"/></build></model>'.encode())
    many = '<vertex x="0" y="0" z="0"/>' * 49_000
    large = f'<object id="1"><mesh><vertices>{many}</vertices><triangles><triangle v1="0" v2="1" v3="2"/></triangles></mesh></object>'
    item = '<item objectid="1"/>' * 1000
    yield "large_part_1000_times.3mf", _package(f"{_3MF}<resources>{large}</resources><build>{item}</build></model>".encode())
    yield "zeros.3mf", _package(_3MF.encode() + b" " * 200_000_000)
    yield "utf7.3mf", _package('<?xml version="1.0" encoding="utf-7"?><!DOCTYPE m [<!ENTITY e "x">]><model>&e;</model>'.encode("utf-7"))


def _package(model: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("3D/3dmodel.model", model)
    return out.getvalue()


def _hdf5() -> Iterator[tuple[str, bytes]]:
    """Fill values, chunks that were never written, zeros that pack well, cycles, and data that lie in other files."""
    import h5py

    def file(fill: Callable[[h5py.File], object]) -> bytes:
        out = io.BytesIO()
        with h5py.File(out, "w") as made:
            fill(made)
        return out.getvalue()

    huge = (49_000_000, 3)
    yield "fill.h5", file(lambda f: f.create_dataset("data", huge, "f4", fillvalue=1.0))
    yield "fill_columns.h5", file(lambda f: f.create_dataset("data", (49_000_000, 200), "f8", chunks=(1000, 200), fillvalue=1.0))
    yield "batch_fill.h5", file(lambda f: f.create_dataset("data", (1 << 40, 2048, 3), "f4", chunks=(1, 2048, 3)))
    yield "external.h5", file(lambda f: f.create_dataset("data", (100, 3), "f4", external=[("/etc/passwd", 0, 1200)]))
    yield "external_link.h5", file(lambda f: f.__setitem__("data", h5py.ExternalLink("/etc/passwd", "/data")))
    yield "cycle.h5", file(lambda f: f.create_group("data").__setitem__("data", f["data"]))


def _arrays() -> Iterator[tuple[str, bytes]]:
    """Headers that promise more than there is, zeros that pack well, pickles that set the state of a dtype."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s, 3), }"
    for name, rows in (("huge", b"99999999999"), ("negative", b"-5"), ("power", b"2**70")):
        yield f"header_{name}.npy", _npy(header % rows)
    out = io.BytesIO()
    np.savez_compressed(out, points=np.zeros((40_000_000, 3), np.float32))
    yield "zeros.npz", out.getvalue()
    objects = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    dtype = b"cnumpy\ndtype\n(X\x01\x00\x00\x00O\x89\x88tR"
    state = b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    scalar = b"cnumpy.core.multiarray\nscalar\n("
    yield "dtype_scalar.npy", _npy(objects) + b"\x80\x02" + scalar + dtype + state + b"C\x08AAAAAAAAtR."
    yield (
        "dtype_array.npy",
        _npy(objects)
        + b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01(K\x01t"
        + dtype
        + state
        + b"\x89C\x08AAAAAAAAtb.",
    )
    yield "names_system.npy", _npy(objects) + b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR."
    yield "nested.npy", _npy(objects) + b"\x80\x02" + b"(" * 100_000 + b"l" + b"t" * 99_999 + b"."
    laughs = b"\x80\x02]q\x00" + b"".join(b"]q%c(h%ch%ch%ch%ch%ch%ch%ch%ce" % (i + 1, *[i] * 8) for i in range(40)) + b"."
    yield "memo.npy", _npy(objects) + laughs


def _npy(header: bytes) -> bytes:
    padded = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


def _text() -> Iterator[tuple[str, bytes]]:
    """Text that costs a reader the square of its length, and counts that lie."""
    yield "newlines.stl", b"solid a\n" + b"endsolid" + b"\n" * 200_000 + b"x"
    solid = b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\nendsolid a\n"
    yield "solids_of_one_name.stl", solid * 100_000
    yield "no_newline.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf " + b"1 2 3 " * 300_000
    groups = b"".join(b"g g%d\nusemtl m%d\nf 1 2 3\n" % (i, i) for i in range(100_000))
    yield "groups.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + groups
    yield "objects.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + b"o a\nf 1 2 3\n" * 200_000
    yield "relative.obj", b"v 0 0 0\n" * 3 + b"f -1 -2 -3\n" * 300_000
    pictures = b"".join(b"newmtl m%d\nmap_Kd bomb.png\n" % i for i in range(40))
    faces = b"".join(b"usemtl m%d\nf 1/1 2/1 3/1\n" % i for i in range(40))
    yield "bomb.png", png(8192)
    yield "bomb.mtl", pictures
    yield "textures.obj", b"mtllib bomb.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\n" + faces
    yield from _headers().items()


def _headers() -> Mapping[str, bytes]:
    ply = "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n{}end_header\n"
    lists = "element face 1\nproperty list uint uint vertex_indices\n"
    corners = struct.pack("<9f", *range(9)) + struct.pack("<I", 0xFFFFFFF0)
    return {
        "count.ply": ply.format("binary_little_endian", 49_999_999, "").encode(),
        "count_text.ply": ply.format("ascii", 49_999_999, "").encode() + b"0 0 0\n" * 3,
        "list.ply": ply.format("binary_little_endian", 3, lists).encode() + corners,
        "comments.ply": b"ply\nformat ascii 1.0\n" + b"comment x\n" * 300_000,
        "count.off": b"OFF\n49999999 49999999 0\n0 0 0\n",
        "polygon.off": b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n" + b"1000000 " + b"0 1 2 " * 333_333,
        "blank.xyz": b"\n" * 30_000_000,
        "ragged.xyz": b"0 0 0\n" * 2_000_000 + b"0 0\n",
        "wide.xyz": b"0 " * 5_000_000,
    }


def _pcd() -> Iterator[tuple[str, bytes]]:
    """LZF that unpacks 130 to 1, and counts that lie."""
    head = "# .PCD v0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH {0}\nHEIGHT 1\nPOINTS {0}\nDATA {1}\n"
    count = 22_000_000
    size = 12 * count
    packed = b"\x00\x00" + b"\xe0\xff\x00" * (size // 264)
    size = 1 + 264 * (size // 264)
    count = size // 12
    yield "lzf.pcd", head.format(count, "binary_compressed").encode() + struct.pack("<II", len(packed), 12 * count) + packed
    yield "count.pcd", head.format(49_999_999, "binary").encode()
    yield "count_text.pcd", head.format(49_999_999, "ascii").encode() + b"0 0 0\n"
