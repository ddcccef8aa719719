"""How often shapes turned at random are turned upright again, and what that is worth to classification.

    python benchmarks/pose.py
    python benchmarks/pose.py --shapes SHAPES --realistic REALISTIC.npz --most 300
    python benchmarks/pose.py --shapes SHAPES --part test --most 300

Training packs, validation packs and test makers are those of `basrelief.datasets.maker_split`; the upright network was trained on the
first, chosen on the second, and the third chose nothing. The realistic clouds are validation, too.

A shape is turned by one of the 24 rotations between the axes (`axes`) or by any rotation (`any`); the answer is right when the
direction found is within 15 degrees of the true one. Class names fall into three groups by what they mean: the form tells what is up (a
chair); it is a box whose front alone tells (a refrigerator); nothing tells (a ball, a key, a sword, a window, which is the same upside
down). The loss is `tiny`'s top-1 over all names of the source: as they stand, turned, and turned back.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

import basrelief as br
from basrelief.datasets import maker_split
from basrelief.geometry import UP_AXES, rotation_to_z_up
from basrelief.geometry.transforms import axis_rotation
from basrelief.geometry.up_axis import form_evidence
from basrelief.models import Model, resolve_pose
from basrelief.shapes import CATEGORIES
from basrelief.train.data import ShapeSet, generated_shapes, read_shapes, split_by_maker
from basrelief.types import PointCloud

ROUND = """
apple avocado ball beet bomb cabbage cauliflower cherry cloud coconut crystal egg gem grapes hand_grenade heart lemon lettuce meat
onion orange pear planet pumpkin radish rice_ball rock sack snowflake star strawberry tomato watermelon
"""
LYING = """
bacon banana battery bell_pepper bone book bread broccoli carrot cheese chicken_leg chili_pepper chocolate_bar chopstick cobweb
coin compass cookie corn croissant cutting_board digit donut eggplant fish_bone french_fries fried_egg gear glove hot_dog
ice_cream key leek lightning_bolt lily_pad log lollipop mussel necklace pancakes phone pie pillow pineapple pizza pizza_box
popsicle propane_tank raft railway_track ring rug sandwich sausage saw_blade scroll skewer sushi taco towel waffle
"""
HELD = """
antenna arrow axe bat bow broom club computer_mouse crossbow dagger drill dumbbell fishing_lure fishing_rod flashlight fork
frying_pan game_controller guitar gun_scope hammer headphones knife lever matchstick meat_tenderizer paddle padlock pipe pistol
pizza_cutter pliers rake rifle rolling_pin saw scissors screwdriver scythe shield shotgun shovel spatula spear spoon staff sword
torch war_hammer whisk wrench
"""
SAME_UPSIDE_DOWN = """
air_conditioner archery_target bamboo barrel can cardboard_box clock column computer_keyboard crate curtain door fence gift_box
ladder matchbox mirror picture_frame toilet_paper window
"""
BOXES = """
bookshelf cabinet dresser microwave monitor nightstand radio refrigerator shelf speaker stove television train_car tv_stand
wardrobe washing_machine
"""


def words(text: str) -> frozenset[str]:
    """Class names of a group."""
    return frozenset(word.replace("_", " ") for word in text.split())


GROUPS = {"nothing tells": words(ROUND) | words(LYING) | words(HELD) | words(SAME_UPSIDE_DOWN), "a box": words(BOXES)}


def group_of(label: str) -> str:
    """What the class name says about up."""
    return next((group for group, members in GROUPS.items() if label in members), "form tells")


def turned(points: np.ndarray, how: str, seed: int) -> tuple[PointCloud, np.ndarray]:
    """A cloud turned at random, and where its up went."""
    random = np.random.default_rng(seed)
    if how == "any":
        rotation = Rotation.random(random_state=seed).as_matrix()
    else:
        axis, quarter = str(random.choice(UP_AXES)), int(random.integers(4))
        rotation = rotation_to_z_up(axis).T @ axis_rotation("z", quarter * np.pi / 2)
    return PointCloud((points @ rotation.T).astype(np.float32)), rotation[:, 2]


def right(rotation: np.ndarray, up: np.ndarray) -> bool:
    """Whether the direction found is within 15 degrees of the true one."""
    return bool(rotation[2] @ up > np.cos(np.radians(15)))


def top1(model: Model, clouds: Sequence[PointCloud], truth: Sequence[str], names: Sequence[str]) -> float:
    """Share of shapes named rightly."""
    return float(np.mean([p.label == label for p, label in zip(model.classify(clouds, names), truth, strict=True)]))


def measure(title: str, model: Model, shapes: ShapeSet, names: Sequence[str]) -> None:
    """Print all rows of one source."""
    labels = [shapes.names[i] for i in shapes.label.tolist()]
    groups = np.array([group_of(label) for label in labels])
    clouds = [points.numpy().astype(np.float32) for points in shapes.points]
    upright = top1(model, [PointCloud(c) for c in clouds], labels, names)
    print(f"\n{title}: {len(labels)} shapes, {len(names)} names, top-1 as they stand {upright:.1%}")
    for how in ("axes", "any"):
        moved, ups = zip(*(turned(cloud, how, i) for i, cloud in enumerate(clouds)), strict=True)
        start = time.perf_counter()
        poses = resolve_pose(moved, model=model, labels=names, search=how)
        each = 1000 * (time.perf_counter() - start) / len(moved)
        hits = np.array([right(pose.rotation, up) for pose, up in zip(poses, ups, strict=True)])
        sure = np.array([pose.confidence for pose in poses])
        parts = [
            f"{g} {hits[groups == g].mean():.1%} of {int((groups == g).sum())}"
            for g in ("form tells", "a box", "nothing tells")
            if (groups == g).any()
        ]
        print(f"  {how:<5} right: {', '.join(parts)}; all {hits.mean():.1%}; confidence {sure.mean():.1%}; {each:.0f} ms a shape")
        before = top1(model, moved, labels, names)
        after = top1(model, [pose.apply(cloud) for pose, cloud in zip(poses, moved, strict=True)], labels, names)
        saved = (after - before) / max(upright - before, 1e-9)
        print(f"        top-1 turned {before:.1%}, turned back {after:.1%}: {saved:.0%} of the loss undone")
    guesses = [guessed(cloud @ rotation_to_z_up(axis)) == axis for cloud in clouds[:200] for axis in ("z", "y")]
    print(f"  form alone, z or y: {np.mean(guesses):.1%}")


def guessed(points: np.ndarray) -> str:
    """The axis that looks most like up."""
    return UP_AXES[int(form_evidence(points, points.min(axis=0), points.max(axis=0)).argmax())]


def some(shapes: ShapeSet, most: int) -> ShapeSet:
    """A random part of a set, the same every time."""
    keep = np.zeros(len(shapes), dtype=bool)
    keep[np.random.default_rng(0).permutation(len(shapes))[:most]] = True
    return shapes.select(keep)


def realistic(path: Path) -> ShapeSet:
    """Recorded realistic clouds by their first label."""
    with np.load(path) as record:
        labels = [str(label) for label in record["label"]]
        names = tuple(sorted(set(labels)))
        number = torch.tensor([names.index(label) for label in labels])
        return ShapeSet(torch.from_numpy(record["points"][:, :4096].astype(np.float16)), number, names, ("realistic",) * len(labels))


def main() -> None:
    """Measure every source that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, help="folder of labelled shapes, its table beside it")
    parser.add_argument("--realistic", type=Path, help="recorded realistic clouds")
    parser.add_argument("--part", choices=("validation", "test"), default="validation", help="which shapes are turned")
    parser.add_argument("--most", type=int, default=100, help="shapes of each source")
    given = parser.parse_args()
    model = br.load_model("tiny", dtype="float32")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    seed = maker_split().seeds[given.part][-1][0]
    measure(f"generated, {given.part} seeds", model, some(generated_shapes(CATEGORIES, 3, count=4096, seed=seed), given.most), CATEGORIES)
    if given.shapes:
        train, validation, test = split_by_maker(read_shapes(given.shapes, count=4096))
        if given.part == "test":
            measure("test makers", model, some(test, given.most), test.names)
            return
        measure("validation packs", model, some(validation, given.most), validation.names)
        measure("training packs", model, some(train, given.most), train.names)
    if given.realistic and given.part == "validation":
        measure("realistic, validation", model, some(realistic(given.realistic), given.most), CATEGORIES)


if __name__ == "__main__":
    main()
