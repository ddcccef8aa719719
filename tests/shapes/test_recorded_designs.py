"""The first design of every category equals the recorded one that the shipped weights were trained on."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.shapes import CATEGORIES, make_shape

RECORDED = {
    "chair": (156, 272, 0.8486, 0.00956),
    "stool": (158, 272, 0.7375, 0.00805),
    "bench": (148, 256, 2.5780, 0.02516),
    "sofa": (1486, 2928, 13.2701, 0.84783),
    "armchair": (210, 400, 2.1226, 0.07835),
    "ottoman": (222, 424, 1.9256, 0.18102),
    "bed": (658, 1216, 24.2351, 1.87611),
    "bunk bed": (590, 1104, 19.8418, 0.89480),
    "toilet": (216, 416, 2.3474, 0.09346),
    "table": (150, 256, 2.9535, 0.03845),
    "desk": (238, 400, 7.4633, 0.19902),
    "cabinet": (78, 128, 5.0272, 0.34399),
    "wardrobe": (112, 192, 15.7845, 1.66878),
    "dresser": (160, 272, 6.7290, 0.46314),
    "nightstand": (190, 352, 1.6647, 0.09533),
    "bookshelf": (100, 160, 6.9759, 0.06924),
    "shelf": (70, 112, 2.1907, 0.01876),
    "tv stand": (170, 304, 2.7159, 0.12012),
    "television": (20, 32, 2.9343, 0.05590),
    "monitor": (98, 176, 0.8540, 0.01186),
    "laptop": (70, 112, 0.5657, 0.00278),
    "computer keyboard": (860, 1376, 0.1548, 0.00057),
    "phone": (192, 376, 0.0271, 0.00011),
    "refrigerator": (66, 112, 9.2411, 1.01770),
    "washing machine": (444, 872, 3.3335, 0.32804),
    "stove": (1066, 2096, 3.9413, 0.33191),
    "microwave": (88, 160, 0.9677, 0.04608),
    "range hood": (30, 48, 2.2079, 0.07089),
    "air conditioner": (606, 1200, 2.2782, 0.16238),
    "fan": (1592, 3160, 0.4497, 0.00355),
    "clock": (382, 704, 0.3272, 0.00343),
    "lamp": (174, 336, 0.4346, 0.00108),
    "picture frame": (60, 96, 0.5286, 0.00191),
    "mirror": (262, 512, 1.0762, 0.01037),
    "door": (66, 112, 5.6335, 0.11842),
    "window": (80, 128, 6.4773, 0.04805),
    "curtain": (742, 1472, 9.6412, 0.02566),
    "dish rack": (586, 1120, 0.3181, 0.00066),
    "ball": (410, 816, 12.4373, 4.10279),
    "traffic cone": (60, 112, 0.7310, 0.02182),
    "umbrella": (166, 324, 3.1312, 0.02153),
    "plate": (122, 240, 0.1553, 0.00086),
    "cardboard box": (70, 112, 0.7580, 0.00210),
    "coat rack": (802, 1568, 0.4651, 0.00388),
    "mug": (244, 480, 0.0596, 0.00012),
    "cup": (146, 288, 0.0442, 0.00007),
    "bottle": (196, 384, 0.0652, 0.00096),
    "bowl": (338, 672, 0.2428, 0.00114),
    "vase": (434, 864, 0.2812, 0.00079),
    "wine glass": (266, 528, 0.0350, 0.00005),
    "glass": (98, 192, 0.0592, 0.00009),
    "teapot": (548, 1080, 0.0757, 0.00137),
    "pot": (598, 1176, 0.4009, 0.00111),
    "frying pan": (124, 240, 0.1550, 0.00034),
    "bucket": (310, 608, 0.7714, 0.00221),
    "trash can": (120, 224, 0.7480, 0.02433),
    "bathtub": (922, 1824, 5.1035, 0.12458),
    "sink": (312, 608, 3.0431, 0.20084),
    "jar": (172, 336, 0.1091, 0.00215),
    "can": (122, 240, 0.0267, 0.00034),
    "hammer": (256, 496, 0.0474, 0.00026),
    "screwdriver": (102, 192, 0.0091, 0.00004),
    "wrench": (288, 568, 0.0225, 0.00007),
    "axe": (52, 92, 0.0818, 0.00006),
    "shovel": (52, 92, 0.2884, -0.00004),
    "rake": (172, 304, 0.1785, 0.00100),
    "broom": (92, 176, 0.2600, 0.00556),
    "knife": (38, 68, 0.0112, 0.00000),
    "fork": (436, 848, 0.0066, 0.00001),
    "spoon": (216, 424, 0.0074, 0.00002),
    "spatula": (108, 208, 0.0223, 0.00004),
    "scissors": (444, 872, 0.0171, 0.00003),
    "pliers": (266, 512, 0.0162, 0.00004),
    "saw": (202, 400, 0.1061, 0.00010),
    "drill": (100, 184, 0.0815, 0.00082),
    "ladder": (70, 112, 0.6671, 0.00510),
    "guitar": (412, 784, 0.4398, -0.00630),
    "dumbbell": (130, 240, 0.0782, 0.00066),
    "car": (292, 560, 38.2792, 1.29917),
    "truck": (352, 660, 85.0727, -2.82514),
    "bus": (342, 632, 198.8996, 76.39045),
    "airplane": (168, 308, 118.0570, 29.88003),
    "boat": (112, 212, 37.2731, 1.88445),
    "train": (696, 1336, 142.4634, 34.34462),
    "bicycle": (1450, 2760, 1.3391, 0.01030),
    "motorcycle": (1326, 2608, 4.1299, 0.13788),
    "helicopter": (398, 744, 28.4435, 4.45979),
    "rocket": (212, 400, 9.2816, 1.12907),
    "potted plant": (1098, 2112, 2.2173, 0.01027),
    "tree": (280, 552, 10.8824, 2.47443),
    "pine tree": (200, 384, 21.3464, 3.67955),
    "palm tree": (448, 864, 13.7894, 0.50355),
    "cactus": (116, 220, 2.8111, 0.19401),
    "flower": (1938, 3824, 0.1691, 0.00079),
    "house": (168, 300, 375.9215, 103.87059),
    "building": (1590, 2544, 12233.3795, 7777.93569),
    "tower": (142, 240, 246.6628, 185.29802),
    "staircase": (450, 784, 25.3149, 2.01430),
    "fence": (110, 176, 2.6441, 0.03146),
    "street light": (280, 552, 3.7212, 0.14520),
    "traffic sign": (68, 128, 0.9976, 0.01398),
}
"""Vertices, faces, area and signed volume of `make_shape(category, seed=0)`."""


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_first_design_is_the_recorded_one(category: str) -> None:
    mesh = make_shape(category, seed=0)
    vertices, faces, area, volume = RECORDED[category]
    corners = mesh.vertices[mesh.faces].astype(float)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (len(mesh.vertices), len(mesh.faces)) == (vertices, faces)
    assert 0.5 * np.linalg.norm(normals, axis=1).sum() == pytest.approx(area, rel=1e-3, abs=1e-4)
    signed = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert signed == pytest.approx(volume, rel=1e-2, abs=2e-5)


def test_every_category_is_recorded_and_no_other() -> None:
    assert tuple(RECORDED) == CATEGORIES


def test_categories_are_not_copies_of_each_other() -> None:
    seen: dict[tuple[int, int, float, float], str] = {}
    for category, record in RECORDED.items():
        assert record not in seen, f"{category} is {seen.get(record)}"
        seen[record] = category
