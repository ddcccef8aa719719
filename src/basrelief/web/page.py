"""Layout of the page in Gradio, and which answer of the service goes where."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import gradio as gr
from gradio.components.gallery import GalleryData, GalleryImage
from gradio.data_classes import ImageData

from basrelief.errors import BasreliefError, ConfigError
from basrelief.io import FORMATS, unread_note
from basrelief.limits import limits
from basrelief.markup import as_text, visible
from basrelief.web.service import IMAGE_SUFFIXES, LibraryService

if TYPE_CHECKING:
    import numpy as np

P = ParamSpec("P")
T = TypeVar("T")
Thumbnails = Sequence[tuple[str, str]]
EmbeddedUpload = tuple[str, "np.ndarray"]
"""Path and embedding of an upload."""

APPEARANCE: dict[str, Any] = {
    "theme": gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    "css": "footer { display: none !important }",
}
"""Options of Gradio; only fonts of the visitor's machine, so that nothing is loaded from elsewhere."""

_CONCURRENT_CALLS = 4
_MESSAGE_CHARACTERS = 600
_TABLE_ROWS = 1000
_SHAPE_TYPES = [f".{suffix}" for suffix in FORMATS]
_IMAGE_TYPES = [f".{suffix}" for suffix in IMAGE_SUFFIXES]
_FILTER_EXAMPLE = "faces<50k; format:glb; under:furniture/"
_log = logging.getLogger(__name__)


def build_page(service: LibraryService) -> gr.Blocks:
    """Build the page of a library."""
    with gr.Blocks(title="basrelief", analytics_enabled=False) as page:
        with gr.Tab("Search"):
            _search_tab(service)
        with gr.Tab("Classify a file"):
            _classify_tab(service)
        with gr.Tab("Index a folder"):
            _index_tab(service)
        with gr.Tab("Tags"):
            _tag_tab(service)
    page.queue(api_open=False, max_size=limits().waiting, default_concurrency_limit=_CONCURRENT_CALLS)
    page.state_session_capacity = limits().visitors
    return page


def is_valid_call(page: gr.Blocks, number: int, values: Sequence[Any], queued: bool) -> bool:
    """Return whether the page has a function of this number that takes such values and is called that way.

    Gradio would log a traceback for other calls.
    """
    if number not in page.fns or len(values) != len(page.fns[number].inputs) or bool(page.fns[number].queue) != queued:
        return False
    return all(_accepts(part, value) for part, value in zip(page.fns[number].inputs, values, strict=True))


def show_errors(call: Callable[P, T]) -> Callable[P, T]:
    """Show errors of basrelief to the visitor; of others show only that there was one, and log it."""

    @wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except BasreliefError as error:
            message = str(error)
            shortened = message if len(message) <= _MESSAGE_CHARACTERS else f"{message[:_MESSAGE_CHARACTERS]}…"
            raise gr.Error(as_text(shortened), print_exception=False) from error  # Gradio reads a message as HTML
        except Exception as error:
            _log.exception("a call of the page failed")
            raise gr.Error("Something went wrong on the server. Its log says more.", print_exception=False) from error

    return wrapped


def _search_tab(service: LibraryService) -> None:
    with gr.Row():
        with gr.Column(scale=1):
            words = gr.Textbox(label="Words", placeholder="red double-decker bus", elem_id="words")
            with gr.Accordion("More options", open=False):
                without = gr.Textbox(label="Exclude", placeholder="toy; broken", info="Separate several by semicolons.")
                where = gr.Textbox(label="Filters", placeholder=_FILTER_EXAMPLE, info="All must hold.")
            image = gr.File(label="Similar to an image", file_types=_IMAGE_TYPES, height=120, elem_id="image")
            shape = gr.File(label="Similar to a shape", file_types=_SHAPE_TYPES, height=120, elem_id="shape")
            start = gr.Button("Search", variant="primary", elem_id="search")
        gallery = gr.Gallery(label="Results", columns=4, object_fit="contain", allow_preview=False, scale=3, elem_id="results", buttons=[])
    gallery.postprocess = _inline_images
    status = gr.Markdown(elem_id="search-status")
    with gr.Row():
        viewer = gr.Model3D(label="Shape", height=380, elem_id="viewer", buttons=[])
        sheet = gr.Image(show_label=False, elem_id="sheet", buttons=[])
    paths, embedded_image, embedded_shape = gr.State([]), gr.State(None), gr.State(None)

    @show_errors
    def embed_image(file: str | None) -> EmbeddedUpload | None:
        return None if file is None else (file, service.embed_image(Path(file)))

    @show_errors
    def embed_shape(file: str | None) -> EmbeddedUpload | None:
        return None if file is None else (file, service.embed_shape(Path(file)))

    @show_errors
    def search(inputs: Mapping[Any, Any]) -> tuple[Thumbnails, Sequence[str], str]:
        uploads = [(inputs[image], inputs[embedded_image]), (inputs[shape], inputs[embedded_shape])]
        embeddings = [_embedding(file, upload) for file, upload in uploads if file is not None]
        query = service.make_query(inputs[words] or "", without=inputs[without] or "", where=inputs[where] or "", embeddings=embeddings)
        results = service.search_results(query)
        found = f"{len(results.paths)} shapes, best first. Click one to view it." if results.paths else "Nothing found."
        return results.thumbnails, results.paths, found

    def search_or_show_error(inputs: Mapping[Any, Any]) -> tuple[Thumbnails, Sequence[str], str]:
        try:
            return search(inputs)
        except gr.Error as error:  # Gradio only shows errors of calls through the queue
            return (), (), error.message

    @show_errors
    def open_hit(known: Sequence[str], event: gr.SelectData) -> tuple[str, str, str]:
        position = event.index if isinstance(event.index, int) else -1
        if not 0 <= position < len(known):
            raise ConfigError("This shape is no longer among the results. Search again.")
        opened = service.open(known[position])
        return str(opened.viewer_file), str(opened.sheet), f"{as_text(opened.relative_path)} · {as_text(opened.description)}"

    embedding: dict[str, Any] = {"concurrency_id": "read", "concurrency_limit": service.jobs, "api_visibility": "private"}
    image.change(embed_image, [image], [embedded_image], **embedding)
    shape.change(embed_shape, [shape], [embedded_shape], **embedding)
    inputs = {words, without, where, image, shape, embedded_image, embedded_shape}  # a set: the function gets them as one mapping
    for event in (start.click, words.submit):
        event(search_or_show_error, inputs, [gallery, paths, status], queue=False, api_visibility="private")
    opening: dict[str, Any] = {"concurrency_id": "open", "concurrency_limit": service.jobs, "trigger_mode": "always_last"}
    gallery.select(open_hit, [paths], [viewer, sheet, status], api_visibility="private", **opening)


def _classify_tab(service: LibraryService) -> None:
    with gr.Row():
        with gr.Column(scale=1):
            file = gr.File(label="Shape file", file_types=_SHAPE_TYPES, elem_id="upload")
            labels = gr.Textbox(label="Labels", value="chair, table, lamp, car, airplane, bottle, mug", elem_id="labels")
            start = gr.Button("Classify", variant="primary", elem_id="classify")
            ranking = gr.Label(label="Best labels", num_top_classes=5, elem_id="answer")
        evidence = gr.Image(show_label=False, scale=2, elem_id="evidence", buttons=[])

    @show_errors
    def classify(upload: str | None, text: str | None) -> tuple[dict[str, float], str]:
        if upload is None:
            raise ConfigError("No file is chosen. Upload a shape file first.")
        prediction, picture = service.classify(Path(upload), text or "")
        confidences = prediction.scores if prediction.probabilities is None else prediction.probabilities
        return {visible(label): float(p) for label, p in zip(prediction.labels, confidences, strict=True)}, str(picture)

    options: dict[str, Any] = {"concurrency_id": "read", "concurrency_limit": service.jobs, "api_visibility": "private"}
    start.click(classify, [file, labels], [ranking, evidence], **options)


def _index_tab(service: LibraryService) -> None:
    folder = gr.Textbox(label="Folder", info="On the computer that runs basrelief.", elem_id="folder")
    start = gr.Button("Index", variant="primary", elem_id="index")
    status = gr.Markdown(elem_id="index-status")

    @show_errors
    def add(path: str | None, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008 - Gradio finds it by its default
        report = service.add(path or "", progress=lambda done, total: progress((done, total), unit="files"))
        counts = f"{report.read} read, {report.reused} moved or copied, {report.removed} removed, {report.unchanged} unchanged"
        failures = "".join(f"\n- {as_text(path)}: {as_text(reason)}" for path, reason in report.failures[:50])
        boxes = f"; {report.boxes} boxes in scans" if report.boxes else ""
        unread = "".join(f"\n\n{note}" for note in filter(None, [unread_note(report.unread)]))
        return f"{counts}{boxes}; {len(service.index)} files in the library{unread}{failures}"

    start.click(add, [folder], [status], concurrency_id="index", concurrency_limit=1, api_visibility="private")


def _tag_tab(service: LibraryService) -> None:
    proposed = gr.State([])
    with gr.Row():
        labels = gr.Textbox(label="Labels", value="chair, table, lamp", elem_id="tag-labels")
        where = gr.Textbox(label="Filters", placeholder="under:furniture/")
        min_confidence = gr.Slider(0, 1, value=0.5, label="Minimum confidence")
    with gr.Row():
        propose = gr.Button("Propose tags", variant="primary", elem_id="propose")
        write, undo = gr.Button("Write tags"), gr.Button("Undo last change")
    status = gr.Markdown(elem_id="tag-status")
    table = gr.Dataframe(headers=["file", "tag", "confidence", "view"], interactive=False, elem_id="proposals")

    @show_errors
    def propose_tags(text: str | None, filters: str | None, confidence: float) -> tuple[list[list[str]], list[tuple[str, str]], str]:
        proposals = service.propose_tags(text or "", where=filters or "", min_confidence=confidence)
        rows = [
            [visible(Path(each.path).name), visible(each.label) or "none of these", f"{each.confidence:.3f}", str(each.view)]
            for each in proposals[:_TABLE_ROWS]
        ]
        more = f" (the first {_TABLE_ROWS:,} are shown)" if len(proposals) > _TABLE_ROWS else ""
        return rows, [(each.path, each.label) for each in proposals], f"{len(proposals)} files{more}. Nothing is written yet."

    @show_errors
    def write_tags(proposals: list[tuple[str, str]]) -> str:
        changed = service.index.tag({path: [label] if label else [] for path, label in proposals})
        return f"Changed the tags of {changed} files."

    @show_errors
    def undo_tags() -> str:
        return f"Restored the tags of {service.index.undo_tags()} files."

    one_at_a_time: dict[str, Any] = {"concurrency_id": "tags", "concurrency_limit": 1, "api_visibility": "private"}
    propose.click(propose_tags, [labels, where, min_confidence], [table, proposed, status], **one_at_a_time)
    write.click(write_tags, [proposed], [status], **one_at_a_time)
    undo.click(undo_tags, None, [status], **one_at_a_time)


def _accepts(part: Any, value: Any) -> bool:  # noqa: ANN401 - any component, and clients can send anything
    if isinstance(part, gr.Slider):
        return type(value) in (int, float) and part.minimum <= value <= part.maximum
    if isinstance(part, gr.File):
        return value is None or (isinstance(value, dict) and isinstance(value.get("path"), str))
    if isinstance(part, gr.Textbox):
        return value is None or isinstance(value, str)
    return isinstance(part, gr.State)  # whose value is not taken from the request


def _inline_images(value: Thumbnails | None) -> GalleryData:
    """Send thumbnails with the answer; Gradio would write a file and make a request for each."""
    return GalleryData(root=[GalleryImage(image=ImageData(path=None, url=url), caption=text) for url, text in value or []])


def _embedding(file: str, upload: EmbeddedUpload | None) -> np.ndarray:
    """Return the embedding of an upload.

    Raises:
        ConfigError: If it is still being read, or could not be.
    """
    if upload is None or upload[0] != file:
        raise ConfigError("The uploaded file is still being read, or could not be. Wait a moment, or choose another file.")
    return upload[1]
