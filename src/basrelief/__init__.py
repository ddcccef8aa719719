"""basrelief says what a 3D shape is: it draws depth maps, reads them with CLIP and compares them with words.

The methods of the papers use no labelled 3D shapes. The embedded model `tiny` was trained on labelled 3D shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_exports
from basrelief.version import __version__

if TYPE_CHECKING:
    from basrelief.errors import BasreliefError
    from basrelief.index import Index
    from basrelief.io import load, save
    from basrelief.limits import Limits, use_limits
    from basrelief.models import Model, list_models, load_model
    from basrelief.render import DepthViews, render_depth
    from basrelief.scenes import Detections, detect
    from basrelief.types import Mesh, PointCloud, Prediction

__all__ = [
    "BasreliefError",
    "DepthViews",
    "Detections",
    "Index",
    "Limits",
    "Mesh",
    "Model",
    "PointCloud",
    "Prediction",
    "__version__",
    "detect",
    "list_models",
    "load",
    "load_model",
    "render_depth",
    "save",
    "use_limits",
]

_MODULES = {
    "BasreliefError": "errors",
    "DepthViews": "render",
    "Detections": "scenes",
    "Index": "index",
    "Limits": "limits",
    "Mesh": "types",
    "Model": "models",
    "PointCloud": "types",
    "Prediction": "types",
    "detect": "scenes",
    "list_models": "models",
    "load": "io",
    "load_model": "models",
    "render_depth": "render",
    "save": "io",
    "use_limits": "limits",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES, public=__all__)
