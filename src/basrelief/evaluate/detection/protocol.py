"""Every choice of a detection protocol by name: what was proposed, cropped, asked, scored and suppressed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from basrelief.checks import check_at_least, check_positive
from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.detection.scoring import ScoringRules
from basrelief.scenes.crops import CropSettings
from basrelief.scenes.label import PROBABILITIES, LabelSettings
from basrelief.scenes.proposals import PROPOSERS

_CLOUDS = ("full", "sample")


@dataclass(frozen=True)
class DetectionProtocol:
    """The choices that PointCLIP V2, OpenDlign and CLIP2Point did not publish. The defaults follow 3DETR where they can.

    Attributes:
        proposals: One of `PROPOSERS`.
        proposal_weights: File of the proposer's weights; empty for the published ones of the data set.
        limit: Proposals of a scan, the best ones. 3DETR makes up to 256.
        cloud: Points that crops are cut from: `full`, or the `sample`.
        sample: Points of a scan that the proposer sees, and that count for `scoring.min_points`.
        crops: Which points stand for a box, and how many it needs to be labelled.
        classes: Label set of the true boxes; empty for the data set's own.
        synonyms: Ask for each class by all its wordings, and take the best one.
        background: Labels that compete but are no class, comma-separated. Those the model does not know are left out.
        reject: Drop a box that a background label fits best.
        probabilities: `cosine`: softmax of the mean cosine times the logit scale; `method`: the pooling rule's own, if it has any.
        temperature: Divides the logits of `cosine`.
        scoring: How labelled boxes become detections.
        large: Longest side in metres from which a true box counts for the recall of large things.

    Raises:
        ConfigError: If a value is unknown or out of range.
    """

    proposals: str = "3detr-m"
    proposal_weights: str = ""
    limit: int = 256
    cloud: str = "full"
    sample: int = 40_000
    crops: CropSettings = field(default_factory=lambda: CropSettings(source="box", margin=0.0, min_points=32))
    classes: str = ""
    synonyms: bool = False
    background: str = ""
    reject: bool = False
    probabilities: str = "cosine"
    temperature: float = 1.0
    scoring: ScoringRules = field(default_factory=ScoringRules)
    large: float = 0.2

    def __post_init__(self) -> None:
        """Check every field."""
        for name, known in (("proposals", PROPOSERS), ("cloud", _CLOUDS), ("probabilities", PROBABILITIES)):
            if getattr(self, name) not in known:
                raise ConfigError(unknown_choice(name, getattr(self, name), tuple(known)))
        check_at_least("limit", self.limit, 1, "Pass how many proposals of a scan are labelled.")
        check_at_least("sample", self.sample, 1, "3DETR sees 40,000 points of ScanNet.")
        check_positive("temperature", self.temperature, "1 keeps the logits.")
        check_positive("large", self.large, "Pass metres.", zero=True)

    @property
    def background_labels(self) -> tuple[str, ...]:
        """The background labels one by one."""
        return tuple(label.strip() for label in self.background.split(",") if label.strip())

    def settings(self) -> dict[str, Any]:
        """Return every choice as plain data, groups as `group.name`."""
        flat: dict[str, Any] = {}
        for name, value in dataclasses.asdict(self).items():
            flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        return flat

    def measured_settings(self) -> dict[str, Any]:
        """Return the choices that decide what is computed from a scan; the others only decide how it is scored."""
        scored = ("probabilities", "temperature", "large", "reject")
        return {name: value for name, value in self.settings().items() if name not in scored and not name.startswith("scoring.")}


def default_protocol(dataset: str) -> DetectionProtocol:
    """Return the protocol of a data set: 3DETR's for those that it was published on, otherwise that of `basrelief detect`."""
    if dataset == "sunrgbd":
        return DetectionProtocol(limit=128, sample=20_000)
    return DetectionProtocol() if dataset == "scannet" else detect_protocol()


def detect_protocol() -> DetectionProtocol:
    """Return what `basrelief detect` does by default: no trained proposals, one label for each box, background labels.

    Its smallest score is left out: it is for people who read the list, and would cut off the end of the precision curve.
    """
    labels = LabelSettings()
    return DetectionProtocol(
        proposals="segments",
        limit=200,
        crops=CropSettings(),
        background=", ".join(labels.background),
        reject=True,
        probabilities=labels.probabilities,
        temperature=labels.temperature,
        scoring=ScoringRules(
            classes="best",
            score=labels.score,
            order="score",
            min_points=0,
            suppression=labels.suppression,
            iou=labels.iou,
            min_objectness=0.0,
        ),
    )
