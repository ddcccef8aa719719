"""Two-stage prompts (MV-CLIP, arXiv:2311.18402): general prompts name candidates, detailed prompts choose among them.

The paper says that its first prompts yield candidates and that the second ones, of function or of what tells the candidates apart, refine
the answer. Here the second stage has the same pooling rule, over the candidates alone. Ours: the other labels follow the candidates in
the order of the first stage, at the differences of their first scores below the last candidate; their probability is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from basrelief.checks import check_at_least


@dataclass(frozen=True, eq=False)
class SecondStage:
    """Detailed prompts for the candidates of a first comparison.

    Attributes:
        candidates: How many labels of each shape are compared again, best first; all where there are fewer.
        embed: Embed the detailed prompts of labels, given their numbers: (n, D) at unit length.

    Raises:
        ConfigError: If `candidates` is below 1.
    """

    candidates: int
    embed: Callable[[Sequence[int]], Float[Tensor, "some dim"]]

    def __post_init__(self) -> None:
        """Check the number of candidates."""
        check_at_least("candidates", self.candidates, 1, "Five are a good start.")

    def choose(self, scores: Float[Tensor, "shapes labels"]) -> Int[Tensor, "shapes candidates"]:
        """Return the numbers of the candidates of each shape, best first; of equal scores the first label."""
        return scores.argsort(dim=1, descending=True, stable=True)[:, : self.candidates]

    def similarity(
        self, views: Float[Tensor, "shapes views dim"], chosen: Int[Tensor, "shapes candidates"]
    ) -> Float[Tensor, "shapes views candidates"]:
        """Return the cosines of views with the detailed prompts of each shape's own candidates."""
        numbers, places = chosen.unique(return_inverse=True)
        texts = self.embed(numbers.tolist()).to(views.device)
        return torch.einsum("bvd,bkd->bvk", views, texts[places])


def merge_stages(
    first: Float[Tensor, "*shapes labels"], second: Float[Tensor, "*shapes candidates"], chosen: Int[Tensor, "*shapes candidates"]
) -> Float[Tensor, "*shapes labels"]:
    """Put the candidates' values of the second stage among those of the first, which are lowered until none is above a candidate's.

    Args:
        first: Value of every label.
        second: Value of every candidate.
        chosen: Numbers of the candidates.
    """
    last = first.gather(-1, chosen).amin(dim=-1, keepdim=True)
    others = second.amin(dim=-1, keepdim=True) + (first - last).clamp(max=0)
    return others.scatter(-1, chosen, second)
