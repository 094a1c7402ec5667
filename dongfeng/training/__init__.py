"""Training the networks with PyTorch: `train`, how (`TrainConfig`), and what with (`open_data`)."""

from __future__ import annotations

from dongfeng.training.config import TrainConfig, read_config, read_recipe, recipe_names
from dongfeng.training.loop import TrainResult, train
from dongfeng.training.network import build_net, start, with_classes
from dongfeng.training.run import Trained, train_run
from dongfeng.training.samples import Data, Samples, open_data

__all__ = [
    "Data",
    "Samples",
    "TrainConfig",
    "TrainResult",
    "Trained",
    "build_net",
    "open_data",
    "read_config",
    "read_recipe",
    "recipe_names",
    "start",
    "train",
    "train_run",
    "with_classes",
]
