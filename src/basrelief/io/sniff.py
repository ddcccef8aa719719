"""Recognise formats by their first bytes, to tell a wrong file extension from a damaged file."""

from __future__ import annotations

from basrelief.errors import FileFormatError
from basrelief.io.source import Source

# (first bytes, description, suffixes that may have this content)
_SIGNATURES: tuple[tuple[bytes, str, tuple[str, ...]], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer (run `git lfs pull`)", ()),
    (b"glTF", "binary glTF (.glb)", ("glb",)),
    (b"ply\n", "PLY (.ply)", ("ply",)),
    (b"ply\r", "PLY (.ply)", ("ply",)),
    (b"PK\x03\x04", "a ZIP archive", ("3mf", "npz", "usdz")),
    (b"PK\x05\x06", "an empty ZIP archive", ("3mf", "npz")),
    (b"\x93NUMPY", "a NumPy array (.npy)", ("npy",)),
    (b"\x89HDF\r\n\x1a\n", "HDF5 (.h5)", ("h5", "hdf5")),
    (b"LASF", "LAS or LAZ (.las, .laz)", ("las", "laz")),
    (b"# .PCD", "PCD (.pcd)", ("pcd",)),
    (b"PXR-USDC", "binary USD (.usdc)", ("usdc", "usd")),
    (b"#usda", "text USD (.usda)", ("usda", "usd")),
    (b"ISO-10303-21", "STEP (.step)", ("step", "stp")),
    (b"\x89PNG", "a PNG image", ()),
    (b"\xff\xd8\xff", "a JPEG image", ()),
    (b"GIF8", "a GIF image", ()),
    (b"%PDF", "a PDF document", ()),
    (b"\x1f\x8b", "gzip data", ()),
    (b"BZh", "bzip2 data", ()),
    (b"7z\xbc\xaf", "a 7-Zip archive", ()),
    (b"Rar!", "a RAR archive", ()),
    (b"\x7fELF", "a program", ()),
    (b"Kaydara FBX", "FBX (.fbx)", ("fbx",)),
    (b"BLENDER", "a Blender file; export it as .glb", ()),
    (b"\x80\x04", "a Python pickle, which is never loaded", ()),
    (b"<!doctype html", "a web page", ()),
    (b"<html", "a web page", ()),
    (b"<collada", "COLLADA (.dae)", ("dae",)),
    (b"<?xml", "XML", ("dae",)),
)


def check_content(source: Source) -> None:
    """Reject a file whose first bytes belong to another format.

    Args:
        source: The file.

    Raises:
        FileFormatError: If the content has the signature of a format that does not match the suffix.
    """
    head = source.head()
    if source.format == "stl" and len(head) >= 84 and source.size == 84 + 50 * int.from_bytes(head[80:84], "little"):
        return  # a binary STL may begin with any 80 bytes
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, found, formats in _SIGNATURES:
        if not (text if start.startswith(b"<") else head).startswith(start):
            continue
        if source.format in formats:
            return
        remedy = f"Rename it to end in .{formats[0]}" if formats else "Download or export the shape again"
        raise FileFormatError(f"{source.path.name} is not a .{source.format} file; it looks like {found}. {remedy}.")
