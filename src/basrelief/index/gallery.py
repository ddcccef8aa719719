"""Hits as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from basrelief.index.query import Hit
from basrelief.markup import standalone_page, visible

_STYLE = """
:root { color-scheme: light dark; } body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; }
h1 { font-size: 1.25rem; font-weight: 600; } ol { list-style: none; padding: 0; display: grid; gap: 1rem;
grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); } li { border: 1px solid #8884; border-radius: 8px; overflow: hidden; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; display: block; } div { padding: .5rem .7rem; }
b { overflow-wrap: anywhere; } small { display: block; opacity: .7; overflow-wrap: anywhere; }
""".strip()


def gallery_page(hits: Sequence[Hit], pictures: Mapping[str, bytes], *, title: str) -> str:
    """Draw hits in their order, each with its picture, name, score and what is known of the file; every text is escaped.

    Args:
        hits: From a search.
        pictures: WebP by path.
        title: Heading, e.g. the words that were looked for.
    """
    cards = "\n".join(_card(hit, pictures.get(hit.path, b"")) for hit in hits)
    count = f"<p>{len(hits)} shapes, best first</p>"
    return standalone_page(title, _STYLE, f"<h1>{_text(title)}</h1>\n{count}\n<ol>\n{cards}\n</ol>")


def facts(hit: Hit) -> str:
    """Format, faces or points, extent and tags of a hit in one line."""
    about = hit.about
    size = f"{about['faces']:,} faces" if about["kind"] == "mesh" else f"{about['points']:,} points"
    extent = " x ".join(f"{about[name]:.3g}" for name in ("width", "depth", "height"))
    tags = ", ".join(about["tags"] or ())
    return " · ".join(filter(None, (about["format"], size, extent, tags)))


def _card(hit: Hit, picture: bytes) -> str:
    place = hit.about["place"]
    shown = f'<img alt="" src="data:image/webp;base64,{base64.b64encode(picture).decode()}">' if picture else ""
    lines = (f"{hit.score:.3f}" + (" · by name" if hit.by_name else ""), facts(hit), hit.path)
    small = "".join(f"<small>{_text(line)}</small>" for line in lines)
    return f"<li>{shown}<div><b>{_text(Path(place).name)}</b>{small}</div></li>"


def _text(words: str) -> str:
    return html.escape(visible(words))
