"""`train`: the loop of a training."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dongfeng.errors import DongfengError, ShapeError, TrainingDiverged
from dongfeng.net.graph import Net
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.net.score_blob import find_score_blob
from dongfeng.training.batches import Batch, Batches
from dongfeng.training.config import TrainConfig
from dongfeng.training.data_sets import open_config_data
from dongfeng.training.log import EvaluationEntry, LogEntry, LossEntry
from dongfeng.training.metrics import Metrics
from dongfeng.training.network import initialize_weights, input_preprocessing, input_size
from dongfeng.training.samples import Data, Note, Samples
from dongfeng.training.settings import (
    check_installed,
    chosen_device,
    chosen_dtype,
    chosen_workers,
    memory_layout,
    training_mode,
)
from dongfeng.training.training_folder import TrainingFolder

if TYPE_CHECKING:
    import torch

_LARGEST_SEED = 2**63 - 1
_NORMS = ("BatchNorm", "BN")


@dataclass(frozen=True)
class TrainResult:
    """A trained network.

    Attributes:
        net: The network with its preprocessing.
        metrics: Its quality on the held-out images.
        log: Losses and evaluations on the way, as in the training's log.
    """

    net: Net
    metrics: Metrics
    log: Sequence[LogEntry]


def train(
    net: Net,
    config: TrainConfig,
    run_dir: str | PathLike[str] | None = None,
    *,
    data: Data | None = None,
    resume: bool = False,
    on_entry: Callable[[LogEntry], None] | None = None,
    note: Note | None = None,
) -> TrainResult:
    """Train a network.

    On the CPU the result depends on the network, the configuration and the machine alone, bit for bit, however often
    the training was killed and resumed.

    Args:
        net: The network. Layers that have weights keep them to begin with; the others get random ones.
        config: Settings; `net`, `weights` and `size_hw` are not read here.
        run_dir: Folder for log and checkpoints; None: nothing is written.
        data: Data set; None: the one that `config.data` names.
        resume: Go on with the training in `run_dir`.
        on_entry: Called with each entry of the log.
        note: Called with messages for people.

    Returns:
        The trained network and its metrics.

    Raises:
        BackendUnavailable: PyTorch is missing, or it cannot train so on this machine.
        DongfengError: the data or the folder are not there or not of the right form.
        TrainingDiverged: the loss became NaN or infinite.
        ShapeError: the network does not fit its input or the data.
        ImageError: an image cannot be read, or has labels outside of the classes.

    Example:
        >>> from dongfeng.architectures import backbone_net
        >>> net = backbone_net([[16], [32], [64]], classes=24, size_hw=(64, 64))
        >>> result = train(net, TrainConfig(data="toyshapes", steps=200, batch=32))  # doctest: +SKIP
        >>> result.metrics.top1  # doctest: +SKIP
        0.91
    """
    check_installed()
    size_hw = input_size(net)
    _check_batch(net, config)
    folder = None if run_dir is None else TrainingFolder(Path(run_dir))
    if folder is not None:
        folder.check(config, resume=resume)
    if data is None:
        data = open_config_data(config, size_hw, note)
    net = replace(net, preprocessing=input_preprocessing(net, config, data.train.task))
    _check_scores(net, data.train)
    device = chosen_device(config)
    with training_mode(config, device), nullcontext() if folder is None else folder.opened(config):
        trainer = _Trainer(initialize_weights(net, (), seed=config.seed).net, config, data, folder, device, on_entry)
        if folder is not None and resume:
            trainer.restore(folder)
        return trainer.run()


def _check_batch(net: Net, config: TrainConfig) -> None:
    """Refuse a batch from which BatchNorm cannot compute statistics."""
    if config.batch == 1 and any(layer.type in _NORMS for layer in net.layers):
        raise DongfengError("batch is 1, but the net has BatchNorm, which needs statistics; use a batch of at least 2")


def _check_scores(net: Net, samples: Samples) -> None:
    """Refuse a network whose scores do not fit the task and the classes of the data."""
    shape = net.shapes()[find_score_blob(net)]
    is_map = len(shape) == 4 and shape[2:] != (1, 1)
    if is_map != (samples.task == "segmentation") or shape[1] != len(samples.class_names):
        raise ShapeError(
            f"net {net.name!r}: its scores are {shape}; the data is a {samples.task} of {len(samples.class_names)} "
            "classes"
        )


class _Trainer:
    """A training under way."""

    def __init__(
        self,
        net: Net,
        config: TrainConfig,
        data: Data,
        folder: TrainingFolder | None,
        device: str,
        on_entry: Callable[[LogEntry], None] | None,
    ) -> None:
        import torch

        from dongfeng.formats.torch import to_torch
        from dongfeng.training.optimizer import build_optimizer

        self._net, self._config, self._data, self._folder = net, config, data, folder
        self._device, self._on_entry = device, on_entry
        self._size_hw, self._preprocessing = input_size(net), net.preprocessing or Preprocessing()
        self._dtype = chosen_dtype(config, device)
        module: Any = to_torch(net, outputs=[find_score_blob(net)])
        self._layout = memory_layout(module, device)
        self._module: torch.nn.Module = module.to(device, memory_format=self._layout).train()
        self._average: torch.nn.Module | None = copy.deepcopy(self._module) if config.average else None
        self._optimizer = build_optimizer(self._module, config)
        self._scaler = torch.amp.GradScaler(device.partition(":")[0], enabled=self._dtype == torch.float16)
        self._mean_bgr = torch.tensor(self._preprocessing.mean_bgr, device=device).expand(3).reshape(1, 3, 1, 1)
        self._step = 0  # updates done
        self._losses: list[torch.Tensor | float] = []  # since the last entry of the log
        self._metrics: Metrics | None = None  # of the last evaluation
        self._log: list[LogEntry] = []

    def run(self) -> TrainResult:
        """Train from the current step to the last."""
        from dongfeng.formats.torch import from_torch

        config = self._config
        batches = Batches(self._data.train, config, self._size_hw, self._preprocessing)
        since, images = time.perf_counter(), 0
        for batch in batches.stream(self._step, config.steps, chosen_workers(config)):
            rate = self._update(batch)
            self._step += 1
            images += config.batch
            is_last = self._step == config.steps
            if self._step % config.log_every == 0 or is_last:
                loss, now = self._mean_loss(), time.perf_counter()
                self._record(LossEntry(self._step, loss, rate, round(images / (now - since), 2)))
                self._losses.clear()
                since, images = now, 0
            is_evaluated = self._step % config.eval_every == 0 or is_last
            if is_evaluated:
                self._evaluate()
            if is_evaluated or self._step % config.checkpoint_every == 0:
                self._checkpoint()
            if is_evaluated:
                since, images = time.perf_counter(), 0
        metrics = self._metrics or self._evaluate()
        return TrainResult(from_torch(self._kept(), self._net), metrics, self._log)

    def restore(self, folder: TrainingFolder) -> None:
        """Go back to the checkpoint of a folder; to the beginning where there is none."""
        from dongfeng.training.checkpoint import read_checkpoint, restore_module, restore_optimizer

        if not folder.checkpoint_file.exists():
            folder.rewind(0)
            return
        parts, state = read_checkpoint(folder.checkpoint_file)
        try:
            restore_module(self._module, parts["model"])
            if self._average is not None:
                restore_module(self._average, parts["average"])
            restore_optimizer(self._optimizer, parts["optimizer"])
        except (KeyError, RuntimeError, IndexError) as error:
            raise DongfengError(f"{folder.checkpoint_file}: is of another network than {self._net.name!r}") from error
        self._scaler.load_state_dict(dict(state.scaler))
        self._step, self._losses, self._metrics = state.step, list(state.losses), state.metrics
        self._log = folder.rewind(self._step)

    def _update(self, batch: Batch) -> float:
        """Take one step of the optimizer; return its learning rate."""
        import torch

        from dongfeng.training.loss import cross_entropy
        from dongfeng.training.optimizer import learning_rate, update_average

        config, device_type = self._config, self._device.partition(":")[0]
        torch.manual_seed((config.seed << 32) + self._step & _LARGEST_SEED)  # for Dropout
        rate = learning_rate(config, self._step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["lr_mult"]
        images, targets = self._inputs(batch)
        with torch.autocast(device_type, dtype=self._dtype, enabled=self._dtype != torch.float32):
            scores = self._module(images)
        loss = cross_entropy(scores, targets, config.label_smoothing, batch.pixels)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self._scaler.scale(loss))
        if config.clip_norm:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self._module.parameters(), config.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._average is not None:
            update_average(self._average, self._module, config.average, self._step)
        self._losses.append(loss.detach())
        return rate

    def _inputs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Bring a batch to the device, as the network's input and targets."""
        import torch

        images = torch.from_numpy(batch.images_bgr).to(self._device).permute(0, 3, 1, 2)
        images = images.float().contiguous(memory_format=self._layout)  # channels are last already
        targets = torch.from_numpy(batch.targets).to(self._device)
        return images.sub_(self._mean_bgr).mul_(self._preprocessing.scale), targets

    def _mean_loss(self) -> float:
        """Compute the mean loss since the last entry of the log.

        Raises:
            TrainingDiverged: it is NaN or infinite.
        """
        self._losses[:] = [float(loss) for loss in self._losses]  # waits for a GPU, hence not at each step
        for back, loss in enumerate(reversed(self._losses)):
            if not math.isfinite(loss):
                kept = "" if self._folder is None else f"; {self._folder.checkpoint_file} is from before"
                raise TrainingDiverged(
                    f"the loss is {loss} at step {self._step - back}: use a lower lr than {self._config.lr:g}, or a "
                    f"warm-up{kept}"
                )
        return math.fsum(self._losses) / max(1, len(self._losses))

    def _evaluate(self) -> Metrics:
        """Measure the network that is kept, and log its metrics."""
        from dongfeng.training.evaluation import evaluate

        begun = time.perf_counter()
        self._mean_loss()
        metrics = evaluate(self._kept(), self._data.validation, self._preprocessing, self._size_hw, self._device)
        self._metrics = metrics
        self._record(EvaluationEntry(self._step, metrics, round(time.perf_counter() - begun, 2)))
        return metrics

    def _checkpoint(self) -> None:
        from dongfeng.training.checkpoint import TrainingState, optimizer_tensors, write_checkpoint

        self._mean_loss()
        if self._folder is None:
            return
        parts = {"model": self._module.state_dict(), "optimizer": optimizer_tensors(self._optimizer)}
        if self._average is not None:
            parts["average"] = self._average.state_dict()
        losses = tuple(float(loss) for loss in self._losses)
        state = TrainingState(self._step, losses, self._metrics, self._scaler.state_dict())
        write_checkpoint(self._folder.checkpoint_file, parts, state)

    def _record(self, entry: LogEntry) -> None:
        self._log.append(entry)
        if self._folder is not None:
            self._folder.log(entry)
        if self._on_entry is not None:
            self._on_entry(entry)

    def _kept(self) -> torch.nn.Module:
        """Return the network that is evaluated and kept: the average, where there is one."""
        if self._average is None:
            return self._module
        from dongfeng.formats.torch.batch_norm import TorchBatchNorm

        for module in self._average.modules():
            if isinstance(module, TorchBatchNorm):
                module.update_running_stats()  # statistics are a quotient of sums, of which each has been averaged
        return self._average
