"""From labels to text embeddings: templates or a published prompt list, averaged, cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.datasets import PromptList, check_labels, fill, read_prompt_list, templates
from basrelief.errors import ConfigError
from basrelief.tasks import Pooling

if TYPE_CHECKING:
    from basrelief.encoders import Encoder
