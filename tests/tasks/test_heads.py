"""All kinds of heads: fitting, seeds, saving, errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from basrelief.errors import ConfigError, OutputError, WeightsError
from basrelief.tasks import HEADS, FitOptions, Head, fit_head, head_scores
from basrelief.tasks.few_shot import ViewProbe
from basrelief.tasks.heads.kinds import read_head

CLASSES, VIEWS, DIM = 5, 4, 16
QUICK = FitOptions(epochs=30, batch_size=16, lr=3e-3)
SLOW_KINDS = ("simplified", "inter-view", "dual-path")


def shapes(each: int, seed: int, *, noise: float = 0.8, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Views of any length around a middle of each class, which lies towards its word."""
    middles = 4 * words(classes)[:, None] + torch.randn(classes, VIEWS, DIM, generator=torch.Generator().manual_seed(99))
    truth = torch.arange(classes).repeat_interleave(each)
    spread = torch.randn(len(truth), VIEWS, DIM, generator=torch.Generator().manual_seed(seed))
    return 7 * (middles[truth] + noise * spread), truth


def words(classes: int = CLASSES) -> Tensor:
    return F.normalize(torch.randn(classes, DIM, generator=torch.Generator().manual_seed(5)), dim=-1)


def fitted(kind: str, *, each: int = 8, fit: FitOptions = QUICK) -> Head:
    views, truth = shapes(each, 0)
    return fit_head(kind, views, truth=truth, texts=words(), fit=fit)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_names_shapes_it_has_not_seen(kind: str) -> None:
    views, truth = shapes(10, 1)
    scores = head_scores(fitted(kind), views)
    assert scores.shape == (50, CLASSES)
    assert (scores.argmax(dim=1) == truth).float().mean() > 0.8


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_knows_its_own_support(kind: str) -> None:
    views, truth = shapes(8, 0)
    assert (head_scores(fitted(kind), views).argmax(dim=1) == truth).float().mean() > 0.9


@pytest.mark.parametrize("kind", HEADS)
def test_fitting_is_seeded_and_leaves_the_global_state_alone(kind: str) -> None:
    before = torch.random.get_rng_state()
    one, other = fitted(kind, fit=FitOptions(epochs=3)), fitted(kind, fit=FitOptions(epochs=3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.tensors.keys() == other.tensors.keys()
    for name in one.tensors:
        torch.testing.assert_close(one.tensors[name], other.tensors[name], atol=0, rtol=0)


@pytest.mark.parametrize("kind", SLOW_KINDS)
def test_another_seed_is_another_adapter(kind: str) -> None:
    one, other = fitted(kind, fit=FitOptions(epochs=1)), fitted(kind, fit=FitOptions(epochs=1, seed=1))
    assert any(not torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_survives_its_file(kind: str, tmp_path: Path) -> None:
    head = fitted(kind, fit=FitOptions(epochs=2))
    read = read_head(head.save(tmp_path / "head.safetensors"))
    assert (read.kind, read.views, read.dim, read.classes, read.fit) == (kind, VIEWS, DIM, CLASSES, head.fit)
    views, _ = shapes(3, 2)
    torch.testing.assert_close(head_scores(read, views), head_scores(head, views), atol=0, rtol=0)


def test_notes_survive_the_file(tmp_path: Path) -> None:
    from dataclasses import replace

    head = replace(fitted("cache"), notes={"labels": ["a", "é"], "n": 3})
    assert read_head(head.save(tmp_path / "h.safetensors")).notes == {"labels": ["a", "é"], "n": 3}


@pytest.mark.parametrize("kind", HEADS)
def test_shapes_are_scored_one_by_one_as_together(kind: str) -> None:
    head, (views, _) = fitted(kind, fit=FitOptions(epochs=2)), shapes(2, 3)
    together = head_scores(head, views)
    for i in range(len(views)):
        torch.testing.assert_close(head_scores(head, views[i : i + 1])[0], together[i], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_probe_scores_as_scikit_learn_does(classes: int) -> None:
    views, truth = shapes(6, 0, classes=classes)
    unit = F.normalize(views, dim=-1)
    expected = ViewProbe().fit(unit.numpy(), truth.numpy()).scores(unit.numpy())
    head = fit_head("probe", views, truth=truth, texts=words(classes))
    torch.testing.assert_close(head_scores(head, views).double(), torch.from_numpy(expected), atol=2e-3, rtol=1e-3)


def test_a_class_without_a_shape_never_wins_the_probe() -> None:
    views, truth = shapes(6, 0)
    keep = truth != 2
    head = fit_head("probe", views[keep], truth=truth[keep], texts=words())
    assert not (head_scores(head, views).argmax(dim=1) == 2).any()


def test_the_cache_without_strength_is_zero_shot() -> None:
    views, truth = shapes(4, 0)
    head = fit_head("cache", views, truth=truth, texts=words(), fit=FitOptions(strength=0.0), logit_scale=50.0)
    pooled = F.normalize(F.normalize(views, dim=-1).mean(dim=1), dim=-1)
    torch.testing.assert_close(head_scores(head, views), 50 * pooled @ words().T)


def test_the_cache_by_its_definition() -> None:
    views, truth = shapes(3, 0)
    head = fit_head("cache", views, truth=truth, texts=words(), fit=FitOptions(strength=2.0, sharpness=3.0), logit_scale=10.0)
    pooled = F.normalize(F.normalize(views, dim=-1).mean(dim=1), dim=-1)
    query = pooled[0]
    expected = 10 * query @ words().T
    for key, label in zip(pooled, truth.tolist(), strict=True):
        expected[label] += 2 * torch.exp(-3 * (1 - query @ key))
    torch.testing.assert_close(head_scores(head, views)[0], expected)


def test_more_shots_are_better(monkeypatch: pytest.MonkeyPatch) -> None:
    views, truth = shapes(20, 1, noise=3.0)
    right = []
    for each in (1, 16):
        support = shapes(each, 0, noise=3.0)
        head = fit_head("simplified", support[0], truth=support[1], texts=words(), fit=QUICK)
        right.append(float((head_scores(head, views).argmax(dim=1) == truth).float().mean()))
    assert right[1] > right[0] + 0.1


def test_the_dual_path_needs_two_paths() -> None:
    views, truth = shapes(2, 0)
    with pytest.raises(ConfigError, match=r"views has shape \(10, 3, 16\); head .* needs shapes with views of 2 tower"):
        fit_head("dual-path", views[:, :3], truth=truth, texts=words())


def test_what_does_not_fit_is_explained() -> None:
    views, truth = shapes(2, 0)
    with pytest.raises(ConfigError, match="Unknown head 'prob'; expected one of probe, cache, .*. Did you mean 'probe'?"):
        fit_head("prob", views, truth=truth, texts=words())
    with pytest.raises(ConfigError, match="truth ranges from 0 to 4; expected 0 to 2"):
        fit_head("cache", views, truth=truth, texts=words()[:3])
    with pytest.raises(ConfigError, match=r"views has shape \(0, 4, 16\)"):
        fit_head("cache", views[:0], truth=truth[:0], texts=words())
    with pytest.raises(ConfigError, match=r"views has shape \(.*, 3, 16\); expected \(N, 4, 16\)"):
        head_scores(fitted("cache"), views[:, :3])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"lr": 0.0}, "lr is 0.0; it must be finite and positive"),
        ({"penalty": float("inf")}, "penalty is inf; it must be finite and positive"),
        ({"dropout": 1.0}, r"dropout is 1.0; it must lie in \[0, 1\)"),
        ({"smoothing": -0.1}, r"smoothing is -0.1; it must lie in \[0, 1\)"),
    ],
)
def test_settings_are_checked(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FitOptions(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"junk", b"\x08\0\0\0\0\0\0\0{}      "])
def test_another_file_is_no_head(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "h.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="h.safetensors is not a head written by basrelief train adapter"):
        read_head(tmp_path / "h.safetensors")


@pytest.mark.parametrize(
    "changes", [{"format": "other"}, {"head": "[]"}, {"fit": '{"colour": 1}'}, {"notes": "{"}, {"head": '{"kind": "x", "views": 1}'}]
)
def test_a_head_of_another_form_is_refused(changes: dict[str, str], tmp_path: Path) -> None:
    fitted("cache").save(tmp_path / "h.safetensors")
    from safetensors import safe_open

    with safe_open(str(tmp_path / "h.safetensors"), framework="pt") as file:
        metadata, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in ("keys", "values", "texts", "scale")}
    save_file(tensors, tmp_path / "h.safetensors", metadata=metadata | changes)
    with pytest.raises(WeightsError, match="is not a head written by basrelief train adapter"):
        read_head(tmp_path / "h.safetensors")


def test_an_unwritable_path_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write .*h\.safetensors"):
        fitted("cache").save(tmp_path / "file" / "h.safetensors")


def test_the_size_of_a_head_is_counted() -> None:
    assert fitted("cache", each=8).parameters == 40 * DIM + 40 * CLASSES + CLASSES * DIM + 1


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_without_a_tensor_or_of_another_size_is_refused(kind: str, tmp_path: Path) -> None:
    from dataclasses import replace

    head = fitted(kind, fit=FitOptions(epochs=1))
    absent = next(iter(head.tensors))
    broken = [
        replace(head, tensors={name: tensor for name, tensor in head.tensors.items() if name != absent}),
        replace(head, dim=DIM + 2),
        replace(head, classes=CLASSES + 1),
        replace(head, views=10**6),
        replace(head, dim=0),
    ]
    for one in broken:
        with pytest.raises(WeightsError, match="is not a head written by basrelief train adapter"):
            read_head(one.save(tmp_path / "h.safetensors"))
