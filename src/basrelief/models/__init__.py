"""Models: a recipe (data) plus loaded towers. The one place where rendering and encoding meet."""

from basrelief.models.cost import ModelCost, measured_model_cost, model_cost
from basrelief.models.embed import Change, Embedded, Embedder, Failure, Progress, Tally, embed_paths
from basrelief.models.few_shot import FewShotClassifier, default_head, head_paths, published_dual_path, taught_recipes, view_features
from basrelief.models.files import FileAnswer, ReadOptions, classify_files
from basrelief.models.model import Model
from basrelief.models.picture import evidence_picture
from basrelief.models.pose import POSE_SEARCHES, Pose, PoseSearch, resolve_pose
from basrelief.models.prompting import Prompter
from basrelief.models.recipe import Checkpoint, PaperNumber, Recipe, get_recipe, recipes
from basrelief.models.registry import ModelStatus, drawn_recipe, list_models, load_model, load_untuned, with_tuned_views

__all__ = [
    "POSE_SEARCHES",
    "Change",
    "Checkpoint",
    "Embedded",
    "Embedder",
    "Failure",
    "FewShotClassifier",
    "FileAnswer",
    "Model",
    "ModelCost",
    "ModelStatus",
    "PaperNumber",
    "Pose",
    "PoseSearch",
    "Progress",
    "Prompter",
    "ReadOptions",
    "Recipe",
    "Tally",
    "classify_files",
    "default_head",
    "drawn_recipe",
    "embed_paths",
    "evidence_picture",
    "get_recipe",
    "head_paths",
    "list_models",
    "load_model",
    "load_untuned",
    "measured_model_cost",
    "model_cost",
    "published_dual_path",
    "recipes",
    "resolve_pose",
    "taught_recipes",
    "view_features",
    "with_tuned_views",
]
