"""Training of networks with PyTorch: `train`, its settings (`TrainConfig`) and its data (`open_data`)."""

from __future__ import annotations

from dongfeng.training.config import TrainConfig, command_config, read_config, read_recipe, recipe_names
from dongfeng.training.data_sets import DATA_SETS, open_data
from dongfeng.training.log import EvaluationEntry, LogEntry, LossEntry
from dongfeng.training.loop import TrainResult, train
from dongfeng.training.metrics import Metrics
from dongfeng.training.network import build_net, initialize_weights, with_classes
from dongfeng.training.run import Trained, train_run
from dongfeng.training.samples import Data, Samples

__all__ = [
    "DATA_SETS",
    "Data",
    "EvaluationEntry",
    "LogEntry",
    "LossEntry",
    "Metrics",
    "Samples",
    "TrainConfig",
    "TrainResult",
    "Trained",
    "build_net",
    "command_config",
    "initialize_weights",
    "open_data",
    "read_config",
    "read_recipe",
    "recipe_names",
    "train",
    "train_run",
    "with_classes",
]
