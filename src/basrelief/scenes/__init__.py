"""Scans as labelled boxes: guard, proposals, crops, labels, suppression, outputs."""

from basrelief.scenes.detections import Detections
from basrelief.scenes.proposals import Proposals, propose
from basrelief.scenes.scene import Scene

__all__ = ["Detections", "Proposals", "Scene", "propose"]
