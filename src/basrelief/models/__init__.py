"""Models: a recipe (data) plus loaded encoders. The only place where rendering and encoding meet."""

from basrelief.models.cost import measured_model_cost, model_cost
from basrelief.models.embed import Embedder, EmbedStats, Failure, Progress, ViewFeatures, embed_paths, load_second_path
from basrelief.models.few_shot import FewShotClassifier, default_head, load_few_shot, published_dual_path
from basrelief.models.files import FileResult, ReadOptions, classify_files
from basrelief.models.inputs import ShapeLike
from basrelief.models.model import Model
from basrelief.models.picture import evidence_picture
from basrelief.models.pose import POSE_SEARCHES, Pose, PoseSearch, resolve_pose
from basrelief.models.recipe import PaperNumber, Recipe, get_recipe, recipes
from basrelief.models.registry import ModelStatus, list_models, load_model, load_untuned, with_projection, with_tuned_views

__all__ = [
    "POSE_SEARCHES",
    "EmbedStats",
    "Embedder",
    "Failure",
    "FewShotClassifier",
    "FileResult",
    "Model",
    "ModelStatus",
    "PaperNumber",
    "Pose",
    "PoseSearch",
    "Progress",
    "ReadOptions",
    "Recipe",
    "ShapeLike",
    "ViewFeatures",
    "classify_files",
    "default_head",
    "embed_paths",
    "evidence_picture",
    "get_recipe",
    "list_models",
    "load_few_shot",
    "load_model",
    "load_second_path",
    "load_untuned",
    "measured_model_cost",
    "model_cost",
    "published_dual_path",
    "recipes",
    "resolve_pose",
    "with_projection",
    "with_tuned_views",
]
