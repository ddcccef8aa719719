"""Towers as OpenVINO graphs, exported from torch once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import threading
import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from basrelief.encoders.backends.store import load_graph, store_graph
from basrelief.encoders.convert import IMAGE_PARTS
from basrelief.encoders.fingerprint import sampled_bytes
from basrelief.encoders.towers import ClipTowers
from basrelief.version import __version__

if TYPE_CHECKING:
    import openvino

Part = Literal["image", "text"]
_FORMAT = 1
_warnings = threading.Lock()


class _Images(nn.Module):
    """Features of every branch of the image tower."""

    def __init__(self, towers: ClipTowers) -> None:
        super().__init__()
        self.towers = towers

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.towers.image_features(pixels) if self.towers.tuned_blocks is None else self.towers.both_features(pixels)


class _Texts(nn.Module):
    """Features of trimmed token ids."""

    def __init__(self, towers: ClipTowers) -> None:
        super().__init__()
        self.towers = towers

    def forward(self, ids: Tensor) -> Tensor:
        return self.towers.trimmed_text_features(ids)


def export_graph(towers: ClipTowers, part: Part) -> openvino.Model:
    """Export a tower for any number of inputs. The graph shares the memory of the weights.

    OpenVINO's `convert_model` is not called, because it reports its use to a server; this is what it does besides.

    Args:
        towers: In float32 on the CPU.
        part: Which tower.
    """
    import openvino as ov
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    vision = towers.config.vision
    module: nn.Module
    if part == "image":
        side = 0 if vision is None else vision.image_size
        module, example, shape = _Images(towers), torch.zeros(2, 3, side, side), [-1, 3, side, side]
    else:
        text = towers.config.text
        example = torch.zeros(2, text.context_length, dtype=torch.int64)
        example[:, -1] = text.eot or 0
        module, shape = _Texts(towers), [-1, -1]
    with _warnings, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of every constant, and of its own age
        traced: Any = torch.jit.trace(module.eval(), towers.trim_text(example) if part == "text" else example, check_trace=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # which the frontend does not keep alive
        graph: ov.Model = frontend.convert(frontend.load(decoder))
    graph.inputs[0].node.set_partial_shape(ov.PartialShape(shape))
    graph.inputs[0].node.set_element_type(ov.Type.f32 if part == "image" else ov.Type.i64)
    graph.validate_nodes_and_infer_types()
    return graph


class Graphs:
    """Graphs of towers: from this object, the user's cache folder, or a new export.

    Attributes:
        towers: In float32 on the CPU.
    """

    def __init__(self, towers: ClipTowers) -> None:
        self.towers = towers
        self._known: dict[Part, openvino.Model] = {}
        self._lock = threading.Lock()

    def read(self, part: Part) -> openvino.Model:
        """Return the graph of a tower.

        Raises:
            RuntimeError: If the tower cannot be exported.
        """
        with self._lock:
            if part not in self._known:
                key = self.key(part)
                found = load_graph(key)
                if found is None:
                    found = export_graph(self.towers, part)
                    store_graph(key, found)
                self._known[part] = found
            return self._known[part]

    def key(self, part: Part) -> str:
        """Return a hash of the weights of a tower, its architecture, and the versions that export it."""
        import openvino as ov

        about = [_FORMAT, __version__, ov.__version__, torch.__version__, part, self.towers.config.to_json(), self.towers.tuned_residual]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for name, tensor in self.towers.state_dict().items():
            if name.startswith(IMAGE_PARTS) == (part == "image"):
                digest.update(f"{name}{tuple(tensor.shape)}".encode() + sampled_bytes(tensor, torch.float64))
        return digest.hexdigest()[:40]
