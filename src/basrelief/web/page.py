"""The page itself, in Gradio: what is drawn where, and which answer of the desk goes there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr
from PIL import Image

from basrelief.errors import BasreliefError, ConfigError
from basrelief.io import FORMATS
from basrelief.web.desk import PICTURES, Desk

P = ParamSpec("P")
T = TypeVar("T")
Gallery = list[tuple[Image.Image, str]]

LOOK: dict[str, Any] = {
    "theme": gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    "css": "footer { display: none !important }",
}
"""How the page looks; with the fonts of the visitor's own machine."""


def build(desk: Desk) -> gr.Blocks:
    """Lay the page out."""
    with gr.Blocks(title="basrelief", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        with gr.Tab("Search"):
            _search_tab(desk)
        with gr.Tab("Name a file"):
            _classify_tab(desk)
        with gr.Tab("Index a folder"):
            _index_tab(desk)
        with gr.Tab("Tags"):
            _tag_tab(desk)
    return page


def told(call: Callable[P, T]) -> Callable[P, T]:
    """Show our errors to the visitor as they are; all else stays in the log."""

    @wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except BasreliefError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return wrapped


def _search_tab(desk: Desk) -> None:
    paths = gr.State([])
    with gr.Row():
        with gr.Column(scale=1):
            words = gr.Textbox(label="Words", placeholder="red double-decker bus", elem_id="words")
            with gr.Accordion("More", open=False):
                without = gr.Textbox(label="Not", placeholder="toy; broken")
                where = gr.Textbox(label="Filters", placeholder="faces<50k; format:glb; under:furniture/")
            picture = gr.File(label="A picture", file_types=[f".{kind}" for kind in PICTURES], height=120)
            shape = gr.File(label="A shape", file_types=[f".{kind}" for kind in FORMATS], height=120)
            go = gr.Button("Search", variant="primary", elem_id="search")
        gallery = gr.Gallery(label="Hits", columns=4, object_fit="contain", allow_preview=False, scale=3, elem_id="hits", buttons=[])
    said = gr.Markdown(elem_id="said")
    with gr.Row():
        viewer = gr.Model3D(label="Shape", height=380, elem_id="viewer", buttons=[])
        sheet = gr.Image(show_label=False, elem_id="sheet", buttons=[])

    @told
    def find(
        text: str | None, away: str | None, filters: str | None, photo: str | None, file: str | None
    ) -> tuple[Gallery, list[str], str]:
        query = desk.query(text or "", without=away or "", where=filters or "", picture=_path(photo), shape=_path(file))
        hits = desk.search(query)
        return desk.gallery(hits), [hit.path for hit in hits], f"{len(hits)} shapes, best first" if hits else "nothing found"

    @told
    def look(known: list[str], event: gr.SelectData) -> tuple[str, Image.Image, str]:
        place = event.index if isinstance(event.index, int) else -1
        if not 0 <= place < len(known):
            raise ConfigError("hit must be one of those shown, but got another. Search again.")
        opened = desk.open(known[place])
        return str(opened.model), opened.sheet, f"`{opened.place}` · {opened.facts}"

    given = [words, without, where, picture, shape]
    for event in (go.click, words.submit):
        event(find, given, [gallery, paths, said], api_visibility="private")
    gallery.select(look, [paths], [viewer, sheet, said], api_visibility="private")


def _classify_tab(desk: Desk) -> None:
    with gr.Row():
        with gr.Column(scale=1):
            file = gr.File(label="A shape", file_types=[f".{kind}" for kind in FORMATS], elem_id="upload")
            labels = gr.Textbox(label="Labels", value="chair, table, lamp, car, airplane, bottle, mug", elem_id="labels")
            go = gr.Button("Name it", variant="primary", elem_id="classify")
            ranked = gr.Label(label="Answer", num_top_classes=5, elem_id="answer")
        evidence = gr.Image(show_label=False, scale=2, elem_id="evidence", buttons=[])

    @told
    def name(upload: str | None, text: str | None) -> tuple[dict[str, float], Image.Image]:
        if upload is None:
            raise ConfigError("file must be chosen first, but got none. Drop a shape.")
        prediction, picture = desk.classify(Path(upload), text or "")
        sure = prediction.scores if prediction.probabilities is None else prediction.probabilities
        return {label: float(p) for label, p in zip(prediction.labels, sure, strict=True)}, picture

    go.click(name, [file, labels], [ranked, evidence], api_visibility="private")


def _index_tab(desk: Desk) -> None:
    folder = gr.Textbox(label="Folder on this machine", elem_id="folder")
    go = gr.Button("Index", variant="primary", elem_id="index")
    said = gr.Markdown(elem_id="report")

    @told
    def add(path: str | None, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008 - Gradio finds it by its default
        report = desk.add(path or "", progress=lambda done, total: progress((done, total), unit="files"))
        counts = f"{report.read} read, {report.copied} moved or copied, {report.gone} gone, {report.unchanged} unchanged"
        bad = "".join(f"\n- `{path}`: {reason}" for path, reason in report.failures[:50])
        return f"{counts}; {len(desk.index)} files in the library{bad}"

    go.click(add, [folder], [said], api_visibility="private")


def _tag_tab(desk: Desk) -> None:
    found = gr.State([])
    with gr.Row():
        labels = gr.Textbox(label="Your words", value="chair, table, lamp", elem_id="tags")
        where = gr.Textbox(label="Filters", placeholder="under:furniture/")
        least = gr.Slider(0, 1, value=0.5, label="No tag below")
    with gr.Row():
        go, write, undo = gr.Button("Propose", variant="primary", elem_id="propose"), gr.Button("Write"), gr.Button("Undo")
    said = gr.Markdown(elem_id="tagged")
    table = gr.Dataframe(headers=["file", "tag", "confidence", "view"], interactive=False, elem_id="proposals")

    @told
    def propose(text: str | None, filters: str | None, confidence: float) -> tuple[list[list[str]], list[tuple[str, str]], str]:
        answers = desk.name(text or "", where=filters or "", confidence=confidence)
        rows = [[Path(a.path).name, a.label or "none of these", f"{a.confidence:.3f}", str(a.view)] for a in answers]
        return rows, [(a.path, a.label) for a in answers], f"{len(rows)} files; nothing is written yet"

    @told
    def keep(answers: list[tuple[str, str]]) -> str:
        changed = desk.index.tag((path, [label] if label else []) for path, label in answers)
        return f"{changed} files have other tags now"

    @told
    def back() -> str:
        return f"{desk.index.undo()} files have their former tags again"

    go.click(propose, [labels, where, least], [table, found, said], api_visibility="private")
    write.click(keep, [found], [said], api_visibility="private")
    undo.click(back, None, [said], api_visibility="private")


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
