"""Resources of a training run."""

from __future__ import annotations

from dataclasses import dataclass

from basrelief.types import Progress


@dataclass(frozen=True)
class Resources:
    """Processes, device and feedback.

    Attributes:
        jobs: Worker processes for drawing; 0 draws in this process.
        cpu: Whether to ignore a GPU.
        progress: Called while data is prepared.
        echo: Whether to write the log to stderr, too.
    """

    jobs: int = 0
    cpu: bool = False
    progress: Progress | None = None
    echo: bool = False
