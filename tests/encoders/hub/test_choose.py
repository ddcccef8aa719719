"""Which file holds the weights, and errors that list the candidates."""

from __future__ import annotations

import pytest

from basrelief.encoders.hub.choose import WEIGHTS_ORDER, choose_weights, weights_candidates
from basrelief.encoders.hub.licences import is_open
from basrelief.errors import WeightsNotFoundError

OPENDLIGN = ("README.md", "ViT-B-16.pth", "ViT-B-32.pth", "ViT-H-14-quickgelu.pth", "ViT-L-14-quickgelu.pth", ".gitattributes")


def test_the_order_is_open_clips() -> None:
    for number, name in enumerate(WEIGHTS_ORDER):
        assert choose_weights(WEIGHTS_ORDER[number:] + ("z.bin", "config.json"), origin="here") == name


def test_only_preferred_names_decide() -> None:
    """A hub copy of timm's holds the image tower alone under the usual name."""
    names = ("model.safetensors", "pytorch_model.bin", "config.json")
    assert weights_candidates(names, preferred=("open_clip_model.safetensors",)) == []
    with pytest.raises(
        WeightsNotFoundError, match=r"^No file of here is surely the weights: model\.safetensors, pytorch_model\.bin\. Name one of them\.$"
    ):
        choose_weights(names, origin="here", preferred=("open_clip_model.safetensors",))


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [("ViT-B-16", "ViT-B-16.pth"), ("ViT-B-32", "ViT-B-32.pth"), ("ViT-H-14", "ViT-H-14-quickgelu.pth"), ("ViT-L-14", "ViT-L-14-quickgelu.pth")],
)  # fmt: skip
def test_an_architecture_chooses_among_unknown_names(architecture: str, expected: str) -> None:
    assert choose_weights(OPENDLIGN, origin="OpenDlign/OpenDlign-Models", architecture=architecture) == expected


@pytest.mark.parametrize(
    "name", ["vit_h_14/best.pt", "OpenDlign-ViT-H-14.safetensors", "checkpoints/ViT_H_14_quickgelu/epoch_10.pth", "vit-h-14.ckpt"]
)
def test_spellings_of_an_architecture(name: str) -> None:
    assert choose_weights((name, "ViT-L-14.pt", "ViT-H-14.md"), origin="here", architecture="ViT-H-14") == name


@pytest.mark.parametrize("name", ["ViT-H-14-378.pth", "ViT-H-140.pth", "xvit-h-14.pth", "vith14.pth"])
def test_another_architecture_is_not_taken_for_it(name: str) -> None:
    with pytest.raises(WeightsNotFoundError, match="No file of here is surely the weights of ViT-H-14"):
        choose_weights((name,), origin="here", architecture="ViT-H-14")


def test_safetensors_win_over_the_same_name_as_a_pickle() -> None:
    assert (
        choose_weights(("a/vit-h-14.bin", "a/vit-h-14.safetensors", "a/vit-h-14.pth"), origin="x", architecture="ViT-H-14")
        == "a/vit-h-14.safetensors"
    )


def test_an_open_choice_shows_the_candidates() -> None:
    names = ("ViT-H-14/last.pth", "ViT-H-14/best.pth", "ViT-B-32.pth")
    message = (
        r"^here has 2 files that may be the weights of ViT-H-14: ViT-H-14/best\.pth, ViT-H-14/last\.pth\. "
        r"Name one: basrelief models fetch opendlign-h14 --file FILE\.$"
    )
    with pytest.raises(WeightsNotFoundError, match=message):
        choose_weights(names, origin="here", architecture="ViT-H-14", command="basrelief models fetch opendlign-h14 --file")
    with pytest.raises(WeightsNotFoundError, match=r"has 20 files that may be the weights: w00\.pt, .*w11\.pt and 8 more\. Name one"):
        choose_weights([f"w{i:02}.pt" for i in range(20)], origin="here")


def test_no_weights_and_parts_of_weights() -> None:
    with pytest.raises(WeightsNotFoundError, match=r"here has no weights: no file ends in \.safetensors, \.bin, \.pth, \.pt, \.ckpt\."):
        choose_weights(("README.md",), origin="here")
    parts = ("open_clip_pytorch_model-00001-of-00002.bin", "open_clip_pytorch_model-00002-of-00002.bin")
    assert weights_candidates(parts) == []
    with pytest.raises(WeightsNotFoundError, match="No file of here is surely the weights: open_clip_pytorch_model-00001-of-00002"):
        choose_weights(parts, origin="here")
    assert choose_weights(("best_eval.pth", *parts), origin="here") == "best_eval.pth"


@pytest.mark.parametrize("licence", ["mit", "MIT", "apache-2.0", "MIT (Copyright OpenAI)", "cc-by-4.0"])
def test_open_licences(licence: str) -> None:
    assert is_open(licence)


@pytest.mark.parametrize(
    "licence", ["", "none stated", "other", "apple-amlr (research use only)", "cc-by-nc-4.0", "mit cc-by-nc-4.0", "openrail", "gpl-3.0"]
)
def test_other_licences_are_not_open(licence: str) -> None:
    assert not is_open(licence)
