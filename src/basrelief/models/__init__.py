"""Models: a recipe (data) plus loaded encoders. The only place where rendering and encoding meet."""

from basrelief.models.cost import model_cost
from basrelief.models.embed import Embedder, ViewFeatures, embed_paths
from basrelief.models.fetch import FetchPlan, plan_fetch
from basrelief.models.few_shot import FewShotClassifier, load_few_shot
from basrelief.models.files import FileResult, ReadOptions, classify_files
from basrelief.models.load import load_model, load_untuned
from basrelief.models.model import Model
from basrelief.models.pose import Pose, resolve_pose
from basrelief.models.recipe import Recipe, get_recipe, recipes
from basrelief.models.recipe_parts import PaperNumber
from basrelief.models.registry import ModelStatus, list_models

__all__ = [
    "Embedder",
    "FetchPlan",
    "FewShotClassifier",
    "FileResult",
    "Model",
    "ModelStatus",
    "PaperNumber",
    "Pose",
    "ReadOptions",
    "Recipe",
    "ViewFeatures",
    "classify_files",
    "embed_paths",
    "get_recipe",
    "list_models",
    "load_few_shot",
    "load_model",
    "load_untuned",
    "model_cost",
    "plan_fetch",
    "recipes",
    "resolve_pose",
]
