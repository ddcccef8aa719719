"""Write hits as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from basrelief.index.search import Hit
from basrelief.markup import standalone_page, visible
from basrelief.output import write_text

_STYLE = """
:root { color-scheme: light dark; } body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; }
h1 { font-size: 1.25rem; font-weight: 600; } ol { list-style: none; padding: 0; display: grid; gap: 1rem;
grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); } li { border: 1px solid #8884; border-radius: 8px; overflow: hidden; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; display: block; } div { padding: .5rem .7rem; }
b { overflow-wrap: anywhere; } small { display: block; opacity: .7; overflow-wrap: anywhere; }
""".strip()


def save_gallery(path: Path, hits: Sequence[Hit], *, thumbnails: Mapping[str, bytes], title: str) -> None:
    """Save hits as an HTML page, see `gallery_page`.

    Raises:
        OutputError: If the file cannot be written.
    """
    write_text(path, gallery_page(hits, thumbnails, title=title))


def gallery_page(hits: Sequence[Hit], thumbnails: Mapping[str, bytes], *, title: str) -> str:
    """Return an HTML page of hits in their order, each with its picture, name, score and metadata; every text is escaped.

    Args:
        hits: From a search.
        thumbnails: WebP pictures by path.
        title: Heading, e.g. the words that were searched for.
    """
    cards = "\n".join(_card(hit, thumbnails.get(hit.path, b"")) for hit in hits)
    count = f"<p>{len(hits)} shapes, best first</p>"
    return standalone_page(title, _STYLE, f"<h1>{_escape(title)}</h1>\n{count}\n<ol>\n{cards}\n</ol>")


def describe_file(metadata: Mapping[str, Any]) -> str:
    """Return format, number of faces or points, extent and tags in one line; for a box also its centre.

    Args:
        metadata: `Hit.metadata` or a row of the library.
    """
    size = f"{metadata['faces']:,} faces" if metadata["kind"] == "mesh" else f"{metadata['points']:,} points"
    extent = " x ".join(f"{metadata[name]:.3g}" for name in ("width", "depth", "height"))
    tags = ", ".join(metadata["tags"] or ())
    if metadata["kind"] == "box":
        extent += " at " + ", ".join(f"{value:.3g}" for value in metadata["center"])
    return " · ".join(filter(None, (metadata["format"], size, extent, tags)))


def _card(hit: Hit, thumbnail: bytes) -> str:
    image = f'<img alt="" src="data:image/webp;base64,{base64.b64encode(thumbnail).decode()}">' if thumbnail else ""
    lines = (f"{hit.score:.3f}" + (" · name matches" if hit.name_match else ""), describe_file(hit.metadata), hit.path)
    small = "".join(f"<small>{_escape(line)}</small>" for line in lines)
    return f"<li>{image}<div><b>{_escape(Path(hit.metadata['relative_path']).name)}</b>{small}</div></li>"


def _escape(text: str) -> str:
    return html.escape(visible(text))
