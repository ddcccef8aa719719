"""Label embeddings from templates or a published prompt list, averaged per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.datasets import PromptList, templates
from basrelief.datasets.function_prompts import FUNCTION, function_prompts
from basrelief.datasets.prompts import fill_template
from basrelief.errors import ConfigError
from basrelief.tasks import SecondStage

if TYPE_CHECKING:
    from basrelief.encoders import Encoder
    from basrelief.models.recipe import Recipe
    from basrelief.models.recipe_parts import TwoStagePrompts

_LABELS_PER_PASS = 64
_LABELS_KEPT = 8192


class Prompter:
    """Turns labels into embeddings and remembers them.

    Attributes:
        templates: Texts with `{}`; every one is filled with the label. None of them for the descriptions of `function_prompts`.
        prompt_list: Published prompts that take the templates' place, or None.
        detailed: What embeds the candidates of a second stage, or None for one stage.
    """

    def __init__(self, template_set: str, prompt_list: PromptList | None = None, *, second_stage: TwoStagePrompts | None = None) -> None:
        self._describes = template_set == FUNCTION
        self.templates = () if self._describes else templates(template_set)
        self._template_set = template_set
        self._second_stage = second_stage
        self.detailed: Prompter | None = None if second_stage is None else Prompter(second_stage.prompts, prompt_list)
        self.prompt_list = prompt_list if second_stage is None else None
        self._kept: dict[str, Float[Tensor, " dim"]] = {}

    @classmethod
    def of(cls, recipe: Recipe, prompt_list: PromptList | None = None) -> Prompter:
        """Build that of a recipe; a published prompt list takes the place of its templates, or of its second stage if it has one."""
        return cls(recipe.templates, prompt_list, second_stage=recipe.second_stage)

    def with_recipe(self, recipe: Recipe) -> Prompter:
        """Return that of another recipe with the same prompt list."""
        return Prompter.of(recipe, self.prompt_list if self.detailed is None else self.detailed.prompt_list)

    def second_stage(self, labels: Sequence[str], encoder: Encoder) -> SecondStage | None:
        """Return what embeds the detailed prompts of labels, or None for one stage."""
        stage, detailed = self._second_stage, self.detailed
        if stage is None or detailed is None:
            return None
        return SecondStage(stage.candidates, lambda numbers: detailed.embed([labels[number] for number in numbers], encoder))

    @property
    def description(self) -> str:
        """Name of the template set, or of the data set of the published prompts."""
        return self._template_set if self.prompt_list is None else f"published prompts of {self.prompt_list.dataset or 'a list'}"

    def prompts(self, label: str) -> tuple[str, ...]:
        """Return the prompts of a label.

        Raises:
            ConfigError: If a prompt list is in use that does not know the label.
        """
        if self.prompt_list is not None:
            return self.prompt_list.of(label)
        if self._describes:
            return function_prompts(label)
        return tuple(fill_template(template, label) for template in self.templates)

    def embed(self, labels: Sequence[str], encoder: Encoder) -> Float[Tensor, "labels dim"]:
        """Embed labels: prompts embedded, each at unit length, averaged per label, at unit length again.

        Args:
            labels: At least one text.
            encoder: The towers; the same one on every call.

        Raises:
            ConfigError: If there is no label or one is empty.
        """
        if isinstance(labels, str) or not labels or not all(label.strip() for label in labels):
            raise ConfigError(f"texts is {labels!r}; expected a list of texts with words. Pass at least one that is not empty.")
        kept = self._kept  # other threads may add to it, and one may replace it
        vectors = {label: kept[label] for label in labels if label in kept}
        new = [label for label in dict.fromkeys(labels) if label not in vectors]
        for start in range(0, len(new), _LABELS_PER_PASS):
            vectors |= self._read(new[start : start + _LABELS_PER_PASS], encoder)
        if len(self._kept) + len(new) > _LABELS_KEPT:
            self._kept = {}
        self._kept |= vectors
        return torch.stack([vectors[label] for label in labels])

    def _read(self, labels: Sequence[str], encoder: Encoder) -> dict[str, Float[Tensor, " dim"]]:
        prompts = [self.prompts(label) for label in labels]
        features = F.normalize(encoder.encode_text([p for group in prompts for p in group]), dim=-1)
        groups = torch.split(features, [len(g) for g in prompts])
        return {label: F.normalize(group.mean(dim=0), dim=-1) for label, group in zip(labels, groups, strict=True)}
