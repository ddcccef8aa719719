"""The page itself, in Gradio: what is drawn where, and which answer of the service goes there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import gradio as gr
from gradio.components.gallery import GalleryData, GalleryImage
from gradio.data_classes import ImageData

from basrelief.errors import BasreliefError, ConfigError
from basrelief.io import FORMATS
from basrelief.limits import limits
from basrelief.markup import as_text, visible
from basrelief.web.service import PICTURES, LibraryService

if TYPE_CHECKING:
    import numpy as np

P = ParamSpec("P")
T = TypeVar("T")
Thumbnails = Sequence[tuple[str, str]]
Upload = tuple[str, "np.ndarray"]
"""Path and vector of an upload that was read."""

LOOK: dict[str, Any] = {
    "theme": gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    "css": "footer { display: none !important }",
}
"""How the page looks; with the fonts of the visitor's own machine."""

_SEARCHES = 4
"""Searches at a time; they wait for the database most of the time."""

_MESSAGE_CHARACTERS = 600
_ROWS = 1000
_log = logging.getLogger(__name__)


def build(service: LibraryService) -> gr.Blocks:
    """Lay the page out."""
    with gr.Blocks(title="basrelief", analytics_enabled=False) as page:
        with gr.Tab("Search"):
            _search_tab(service)
        with gr.Tab("Name a file"):
            _classify_tab(service)
        with gr.Tab("Index a folder"):
            _index_tab(service)
        with gr.Tab("Tags"):
            _tag_tab(service)
    page.queue(api_open=False, max_size=limits().waiting, default_concurrency_limit=_SEARCHES)
    page.state_session_capacity = limits().visitors
    return page


def takes(page: gr.Blocks, number: int, values: Sequence[Any], queued: bool) -> bool:
    """Whether a function of the page has a number, takes such values, and is called so; Gradio would log those that it does not."""
    if number not in page.fns or len(values) != len(page.fns[number].inputs) or bool(page.fns[number].queue) != queued:
        return False
    return all(_holds(part, value) for part, value in zip(page.fns[number].inputs, values, strict=True))


def _holds(part: Any, value: Any) -> bool:  # noqa: ANN401 - any component, and anything may be sent
    if isinstance(part, gr.Slider):
        return type(value) in (int, float) and part.minimum <= value <= part.maximum
    if isinstance(part, gr.File):
        return value is None or (isinstance(value, dict) and isinstance(value.get("path"), str))
    if isinstance(part, gr.Textbox):
        return value is None or isinstance(value, str)
    return isinstance(part, gr.State)  # whose value is not taken from the request


def show_errors(call: Callable[P, T]) -> Callable[P, T]:
    """Show our errors to the visitor as they are; of all others only that there was one, the log has the rest."""

    @wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except BasreliefError as error:
            message = str(error)
            shown = message if len(message) <= _MESSAGE_CHARACTERS else f"{message[:_MESSAGE_CHARACTERS]}…"
            raise gr.Error(as_text(shown), print_exception=False) from error  # Gradio reads a message as HTML
        except Exception as error:
            _log.exception("the page failed")
            raise gr.Error("Something went wrong here, not with you. The log of the server says more.", print_exception=False) from error

    return wrapped


def _search_tab(service: LibraryService) -> None:
    paths, read_picture, read_shape = gr.State([]), gr.State(None), gr.State(None)
    with gr.Row():
        with gr.Column(scale=1):
            words = gr.Textbox(label="Words", placeholder="red double-decker bus", elem_id="words")
            with gr.Accordion("More", open=False):
                without = gr.Textbox(label="Not", placeholder="toy; broken")
                where = gr.Textbox(label="Filters", placeholder="faces<50k; format:glb; under:furniture/")
            picture = gr.File(label="A picture", file_types=[f".{kind}" for kind in PICTURES], height=120, elem_id="picture")
            shape = gr.File(label="A shape", file_types=[f".{kind}" for kind in FORMATS], height=120, elem_id="shape")
            go = gr.Button("Search", variant="primary", elem_id="search")
        gallery = gr.Gallery(label="Hits", columns=4, object_fit="contain", allow_preview=False, scale=3, elem_id="hits", buttons=[])
    gallery.postprocess = _pictures
    said = gr.Markdown(elem_id="said")
    with gr.Row():
        viewer = gr.Model3D(label="Shape", height=380, elem_id="viewer", buttons=[])
        sheet = gr.Image(show_label=False, elem_id="sheet", buttons=[])

    @show_errors
    def embed_picture(file: str | None) -> Upload | None:
        return None if file is None else (file, service.picture_vector(Path(file)))

    @show_errors
    def embed_shape(file: str | None) -> Upload | None:
        return None if file is None else (file, service.shape_vector(Path(file)))

    @show_errors
    def hits(text: str | None, away: str | None, filters: str | None, *uploads: Any) -> tuple[Thumbnails, Sequence[str], str]:  # noqa: ANN401 - two files, what was read of them
        vectors = [_vector(file, read) for file, read in zip(uploads[:2], uploads[2:], strict=True) if file is not None]
        found = service.answer(service.query(text or "", without=away or "", where=filters or "", vectors=vectors))
        said = f"{len(found.paths)} shapes, best first" if found.paths else "nothing found"
        return found.thumbnails, found.paths, said

    def find(*given: Any) -> tuple[Thumbnails, Sequence[str], str]:  # noqa: ANN401 - as above
        try:
            return hits(*given)
        except gr.Error as error:  # Gradio shows those of calls through the queue only
            return (), (), error.message

    @show_errors
    def look(known: Sequence[str], event: gr.SelectData) -> tuple[str, str, str]:
        place = event.index if isinstance(event.index, int) else -1
        if not 0 <= place < len(known):
            raise ConfigError("hit must be one of those shown, but got another. Search again.")
        opened = service.open(known[place])
        return str(opened.viewer_file), str(opened.sheet), f"{as_text(opened.place)} · {as_text(opened.facts)}"

    reading: dict[str, Any] = {"concurrency_id": "read", "concurrency_limit": service.jobs, "api_visibility": "private"}
    for box, embed, vector in ((picture, embed_picture, read_picture), (shape, embed_shape, read_shape)):
        box.change(embed, [box], [vector], **reading)
    given = [words, without, where, picture, shape, read_picture, read_shape]
    for event in (go.click, words.submit):
        event(find, given, [gallery, paths, said], queue=False, api_visibility="private")
    opening: dict[str, Any] = {"concurrency_id": "open", "concurrency_limit": service.jobs, "trigger_mode": "always_last"}
    gallery.select(look, [paths], [viewer, sheet, said], api_visibility="private", **opening)


def _classify_tab(service: LibraryService) -> None:
    with gr.Row():
        with gr.Column(scale=1):
            file = gr.File(label="A shape", file_types=[f".{kind}" for kind in FORMATS], elem_id="upload")
            labels = gr.Textbox(label="Labels", value="chair, table, lamp, car, airplane, bottle, mug", elem_id="labels")
            go = gr.Button("Name it", variant="primary", elem_id="classify")
            ranked = gr.Label(label="Answer", num_top_classes=5, elem_id="answer")
        evidence = gr.Image(show_label=False, scale=2, elem_id="evidence", buttons=[])

    @show_errors
    def name(upload: str | None, text: str | None) -> tuple[dict[str, float], str]:
        if upload is None:
            raise ConfigError("file must be chosen first, but got none. Drop a shape.")
        prediction, picture = service.classify(Path(upload), text or "")
        sure = prediction.scores if prediction.probabilities is None else prediction.probabilities
        return {visible(label): float(p) for label, p in zip(prediction.labels, sure, strict=True)}, str(picture)

    go.click(name, [file, labels], [ranked, evidence], concurrency_id="read", concurrency_limit=service.jobs, api_visibility="private")


def _index_tab(service: LibraryService) -> None:
    folder = gr.Textbox(label="Folder on this machine", elem_id="folder")
    go = gr.Button("Index", variant="primary", elem_id="index")
    said = gr.Markdown(elem_id="report")

    @show_errors
    def add(path: str | None, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008 - Gradio finds it by its default
        report = service.add(path or "", progress=lambda done, total: progress((done, total), unit="files"))
        counts = f"{report.read} read, {report.copied} moved or copied, {report.gone} gone, {report.unchanged} unchanged"
        bad = "".join(f"\n- {as_text(path)}: {as_text(reason)}" for path, reason in report.failures[:50])
        return f"{counts}; {len(service.index)} files in the library{bad}"

    go.click(add, [folder], [said], concurrency_id="index", concurrency_limit=1, api_visibility="private")


def _tag_tab(service: LibraryService) -> None:
    found = gr.State([])
    with gr.Row():
        labels = gr.Textbox(label="Your words", value="chair, table, lamp", elem_id="tags")
        where = gr.Textbox(label="Filters", placeholder="under:furniture/")
        least = gr.Slider(0, 1, value=0.5, label="No tag below")
    with gr.Row():
        go, write, undo = gr.Button("Propose", variant="primary", elem_id="propose"), gr.Button("Write"), gr.Button("Undo")
    said = gr.Markdown(elem_id="tagged")
    table = gr.Dataframe(headers=["file", "tag", "confidence", "view"], interactive=False, elem_id="proposals")

    @show_errors
    def propose(text: str | None, filters: str | None, confidence: float) -> tuple[list[list[str]], list[tuple[str, str]], str]:
        answers = service.name(text or "", where=filters or "", confidence=confidence)
        rows = [
            [visible(Path(a.path).name), visible(a.label) or "none of these", f"{a.confidence:.3f}", str(a.view)] for a in answers[:_ROWS]
        ]
        more = f", the first {_ROWS:,} of them shown" if len(answers) > _ROWS else ""
        return rows, [(a.path, a.label) for a in answers], f"{len(answers)} files{more}; nothing is written yet"

    @show_errors
    def keep(answers: list[tuple[str, str]]) -> str:
        changed = service.index.tag((path, [label] if label else []) for path, label in answers)
        return f"{changed} files have other tags now"

    @show_errors
    def back() -> str:
        return f"{service.index.undo()} files have their former tags again"

    one_at_a_time: dict[str, Any] = {"concurrency_id": "tags", "concurrency_limit": 1, "api_visibility": "private"}
    go.click(propose, [labels, where, least], [table, found, said], **one_at_a_time)
    write.click(keep, [found], [said], **one_at_a_time)
    undo.click(back, None, [said], **one_at_a_time)


def _pictures(value: Thumbnails | None) -> GalleryData:
    """Small pictures come with the answer: no file is written and no request made for any of them, as Gradio would."""
    return GalleryData(root=[GalleryImage(image=ImageData(path=None, url=url), caption=text) for url, text in value or []])


def _vector(file: str, upload: Upload | None) -> np.ndarray:
    """The vector of an upload.

    Raises:
        ConfigError: If it was not read, or is still being read.
    """
    if upload is None or upload[0] != file:
        raise ConfigError("upload must have been read before it is searched with, but it was not. Wait a moment, or choose another file.")
    return upload[1]
