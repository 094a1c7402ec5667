"""Settings of a training, in JSON and back."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from dongfeng.errors import DongfengError
from dongfeng.training.config import TrainConfig, read_config, read_recipe, recipe_names


def test_json_and_back(tmp_path: Path) -> None:
    config = TrainConfig(net="df1", size_hw=(64, 96), mean_bgr=(1, 2, 3), lr=0.3, threads=2, random_scale=(1.0, 2.0))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.as_dict()))
    assert read_config(path) == config


def test_what_a_file_does_not_say_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"steps": 7, "lr": 1}')
    assert read_config(path) == TrainConfig(steps=7, lr=1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stps": 3}, 'no setting "stps"'),
        ({"steps": 0}, "steps is 0; expected at least 1"),
        ({"steps": "many"}, "steps is 'many'; expected int"),
        ({"steps": True}, "steps is True; expected int"),
        ({"lr": -1.0}, "lr is -1.0; expected at least 0"),
        ({"average": 1.0}, "average is 1.0"),
        ({"optimizer": "lion"}, 'optimizer is "lion"; expected sgd or adamw'),
        ({"size_hw": [64]}, "size_hw is \\[64\\]; expected 2 numbers"),
        ({"random_scale": [2, 1]}, "random_scale is \\(2.0, 1.0\\)"),
        ({"flip": 1}, "flip is 1; expected bool"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_wrong_setting_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(DongfengError, match=f"here: .*{message}"):
        TrainConfig().updated(values, source="here")


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    with pytest.raises(DongfengError, match="no such file"):
        read_config(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(DongfengError, match="expected an object"):
        read_config(tmp_path / "list.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DongfengError, match="not JSON"):
        read_config(tmp_path / "broken.json")


def test_every_recipe_of_the_package_can_be_read() -> None:
    assert "toytown_seg" in recipe_names()
    for name in recipe_names():
        assert read_recipe(name).net is not None
    with pytest.raises(DongfengError, match='no recipe is called "nope"; there are .*toytown_seg'):
        read_recipe("nope")


def test_a_difference_is_named_unless_it_changes_no_number() -> None:
    config = TrainConfig()
    assert config.difference(replace(config, workers=3, checkpoint_every=7)) is None
    assert config.difference(replace(config, lr=0.5)) == "lr 0.05 there, 0.5 here"


def test_every_setting_is_in_the_docstring() -> None:
    assert all(f"\n        {field.name}: " in (TrainConfig.__doc__ or "") for field in fields(TrainConfig))
