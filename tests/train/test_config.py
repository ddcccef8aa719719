"""Settings from YAML files and overrides."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from basrelief.errors import BasreliefError, ConfigError, FileFormatError
from basrelief.train import Clip2PointSettings, OpenDlignSettings, TinySettings, UprightSettings
from basrelief.train.config import TrainingSettings, read_settings, settings_record
from basrelief.train.tiny.text import TextSettings


def test_defaults_are_the_papers() -> None:
    found = read_settings(Clip2PointSettings)
    assert found == Clip2PointSettings()
    assert (found.batch_size, found.epochs, found.points, found.temperature) == (256, 100, 1024, 0.07)
    assert (found.optimiser.name, found.optimiser.lr, found.optimiser.weight_decay) == ("lamb", 0.006, 1e-4)
    assert (found.optimiser.restart_epochs, found.optimiser.min_lr) == (2, 1e-5)


@pytest.mark.parametrize("kind", [Clip2PointSettings, OpenDlignSettings, TinySettings, TextSettings, UprightSettings])
def test_every_setting_is_documented(kind: type[TrainingSettings]) -> None:
    text = f"{kind.__doc__} {TrainingSettings.__doc__}"
    for field in dataclasses.fields(kind):
        assert f"        {field.name}: " in text


def test_overrides_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("batch_size: 64\nepochs: 5\noptimiser:\n  lr: 1e-3\n  name: adamw\n")
    found = read_settings(Clip2PointSettings, tmp_path / "r.yaml", ["epochs=7", "optimiser.weight_decay=0.5", "precision=bfloat16"])
    assert (found.batch_size, found.epochs, found.precision) == (64, 7, "bfloat16")
    assert (found.optimiser.lr, found.optimiser.name, found.optimiser.weight_decay) == (0.001, "adamw", 0.5)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("# nothing\n")
    assert read_settings(Clip2PointSettings, tmp_path / "r.yaml") == Clip2PointSettings()


def test_settings_are_restored_from_their_record() -> None:
    made = read_settings(Clip2PointSettings, None, ["optimiser.lr=0.5", "seed=3"])
    record = settings_record(made)
    assert record["optimiser"]["lr"] == 0.5
    flat = [f"{name}={value}" for name, value in record.items() if name != "optimiser"]
    flat += [f"optimiser.{name}={value}" for name, value in record["optimiser"].items()]
    assert read_settings(Clip2PointSettings, None, flat) == made


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch=64", "Unknown setting 'batch'; expected one of .*. Did you mean 'batch_size'?"),
        ("optimiser.weight_deca=1", "Unknown setting 'optimiser.weight_deca'; .* Did you mean 'optimiser.weight_decay'?"),
        ("batch_size", "'batch_size' is not of the form NAME=VALUE. Write, for example, batch_size=64."),
        ("batch_size=many", "batch_size is 'many'; expected a value of type int."),
        ("batch_size=true", "batch_size is True; expected a value of type int."),
        ("batch_size=1.5", "batch_size is 1.5; expected a value of type int."),
        ("optimiser=lamb", "optimiser is 'lamb'; it is a group of settings. Write optimiser.NAME=VALUE."),
        ("batch_size.size=3", "batch_size is .*; expected a value of type int"),
        ("optimiser.name=sgd", "Unknown optimiser.name '.*'; expected one of lamb, adamw"),
        ("precision=half", "Unknown precision '.*'; expected one of float32, bfloat16, float16"),
        ("batch_size=1", "batch_size is 1; it must be at least 2. Leave it out for the default."),
        ("epochs=0", "epochs is 0; it must be at least 1. Leave it out for the default."),
        ("temperature=0", "temperature is 0.0; it must be finite and positive. Leave it out for the default."),
        ("optimiser.lr=-1", "lr is -1.0; it must be finite and positive"),
    ],
)
def test_wrong_values_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_settings(Clip2PointSettings, None, [override])


@pytest.mark.parametrize("content", [b"batch_size: [", b"- 1\n", b"text", b"\xff\xfe", b"!!python/object/apply:os.mkdir [owned]"])
def test_files_that_are_not_yaml_mappings_are_rejected(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(FileFormatError, match="r.yaml' (is not valid YAML|holds a )|Cannot read the settings file 'r.yaml'"):
        read_settings(Clip2PointSettings, tmp_path / "r.yaml")
    assert not (tmp_path / "owned").exists()


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BasreliefError, match=r"Cannot read the settings file 'absent.yaml': .* Check the path\."):
        read_settings(Clip2PointSettings, tmp_path / "absent.yaml")


@dataclasses.dataclass(frozen=True)
class Part:
    a: int = 1
    b: float = 2.0


@dataclasses.dataclass(frozen=True)
class Whole:
    part: Part = dataclasses.field(default_factory=lambda: Part(a=10, b=20.0))


def test_groups_keep_the_values_that_are_not_named() -> None:
    assert read_settings(Whole, None, ["part.a=5"]) == Whole(Part(5, 20.0))
    assert read_settings(Whole) == Whole(Part(10, 20.0))
    assert read_settings(Part, None, ["a=5"]) == Part(5, 2.0)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{n}: &{n} [{', '.join([f'*{m}'] * 9)}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, r"aliases \(\*name\) are not allowed"),
        ("batch_size: &x 3\nepochs: *x\n", r"aliases \(\*name\) are not allowed"),
        ("[" * 50_000, "is not valid YAML"),
        ("batch_size: " + "9" * 10_000, "is not valid YAML|many digits"),
        ("batch_size: 2020-99-99", "is not valid YAML|type int"),
        ("batch_size: !!python/object/apply:os.system [ls]", "is not valid YAML"),
        ("x" * 200_000, "it is larger than 100,000 bytes"),
        ("batch_size: " + "0x" + "f" * 5000, "batch_size is a number of many digits; expected a number of at most 1,000,000,000"),
        ("epochs: 1000000000000", "epochs is 1000000000000; expected a number of at most"),
        ("temperature: .nan", "temperature is nan; expected a number of at most"),
        ("temperature: .inf", "temperature is inf; expected a number of at most"),
        ("batch_size: [1, 2, [3, [4, [5, [6, [7, [8]]]]]]]", "batch_size is .*; expected a value of type int"),
        ("\x00", "is not valid YAML"),
    ],
)
def test_hostile_files_are_rejected_quickly(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises((ConfigError, FileFormatError), match=said) as refused:
        read_settings(Clip2PointSettings, tmp_path / "r.yaml")
    assert len(str(refused.value)) < 1000


def test_overrides_have_the_same_limits() -> None:
    with pytest.raises(FileFormatError, match=r"aliases \(\*name\) are not allowed"):
        read_settings(Clip2PointSettings, None, ["batch_size=[&a 1, *a]"])
    with pytest.raises(ConfigError, match="batch_size is 99999999999; expected a number of at most"):
        read_settings(Clip2PointSettings, None, ["batch_size=99999999999"])


def test_a_device_is_rejected() -> None:
    with pytest.raises(FileFormatError, match="Cannot read the settings file 'zero': it is not a regular file"):
        read_settings(Clip2PointSettings, Path("/dev/zero"))
