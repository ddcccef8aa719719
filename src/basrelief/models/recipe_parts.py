"""Parts of a recipe that are data of their own: published figures, checkpoints, clouds, two-stage prompts."""

from __future__ import annotations

from dataclasses import dataclass

from basrelief.checks import check_at_least
from basrelief.datasets.function_prompts import FUNCTION
from basrelief.datasets.prompts import list_templates
from basrelief.errors import ConfigError, unknown_choice
from basrelief.models.shape_input import FRAMES


@dataclass(frozen=True)
class PaperNumber:
    """A published figure: data set, metric, value in percent, and where it is printed."""

    dataset: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class Checkpoint:
    """A method's own weights on top of CLIP's.

    Attributes:
        layout: How its keys are named: `clip2point`, `opendlign`, `ulip`, `ulip2`, `openshape`, `tamm`, `uni3d`.
        file: File name, or which one to take.
        source: Where its authors published it, in words.
        licence: Its licence as stated there.
        repository: Its repository on the Hugging Face hub, `owner/name` or `datasets/owner/name`, or empty.
        path: Its path in the repository; if empty, the one file whose path names the architecture of the encoder.
        bytes: Its size, or None where it is not known.
        address: Page to download it from by hand where it is not on the hub, or empty.
        preset: Preset of `basrelief train point` that trains it, where nobody publishes it; empty for published weights.
    """

    layout: str
    file: str
    source: str
    licence: str
    repository: str = ""
    path: str = ""
    bytes: int | None = None
    address: str = ""
    preset: str = ""

    @property
    def published(self) -> bool:
        """Whether it can be had from somebody; otherwise it must be trained."""
        return not self.preset


@dataclass(frozen=True)
class CloudSettings:
    """What a point network reads.

    Attributes:
        network: Name of the point network, one of `basrelief.encoders.points.registry.list_point_networks()`.
        frame: Axes it was trained with, a key of `basrelief.models.shape_input.FRAMES`.
        missing_color: Red, green and blue of points without a colour.
        use_colors: Whether it reads colours; otherwise every point has `missing_color`.
        normalise: Whether clouds are centred on their mean and scaled to radius 1.
        replace: Whether points are drawn with replacement, so that smaller clouds are filled up.
    """

    network: str
    frame: str = "y-up"
    missing_color: float = 0.4
    use_colors: bool = True
    normalise: bool = True
    replace: bool = False

    def __post_init__(self) -> None:
        """Check the frame."""
        if self.frame not in FRAMES:
            raise ConfigError(unknown_choice("frame", self.frame, FRAMES))


@dataclass(frozen=True)
class TwoStagePrompts:
    """MV-CLIP's second stage, see `basrelief.tasks.two_stage`.

    Attributes:
        candidates: How many labels of each shape are compared again.
        prompts: `function`, our descriptions of what things are for, or the name of a template set.

    Raises:
        ConfigError: If a value is wrong.
    """

    candidates: int
    prompts: str = "function"

    def __post_init__(self) -> None:
        """Check both."""
        check_at_least("candidates", self.candidates, 1, "Five are a good start.")
        if self.prompts != FUNCTION and self.prompts not in list_templates():
            raise ConfigError(unknown_choice("prompts", self.prompts, (FUNCTION, *list_templates())))
