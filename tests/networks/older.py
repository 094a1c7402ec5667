"""AlexNet and CaffeNet in the forms people still have them in: the V1 text of 2014, and a file for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.networks.classification import alexnet_layers
from tests.networks.prototxt import Prototxt, block

V1_TYPES = {
    "Convolution": "CONVOLUTION",
    "Dropout": "DROPOUT",
    "InnerProduct": "INNER_PRODUCT",
    "LRN": "LRN",
    "Pooling": "POOLING",
    "ReLU": "RELU",
    "Softmax": "SOFTMAX",
}


class V1Prototxt(Prototxt):
    """A network file of 2014: `layers`, types in capitals, learning rates in lists, the input in the header."""

    def __init__(self, name: str, input_dim: Sequence[int]) -> None:
        super().__init__(name)
        dims = "\n".join(f"input_dim: {dim}" for dim in input_dim)
        self._parts.append(f'input: "data"\n{dims}')

    def add(self, kind: str, name: str, bottoms: str | Sequence[str], tops: Any = None, **fields: Any) -> str:
        top = tops or name
        rates = {}
        if kind in ("Convolution", "InnerProduct"):
            rates = {"blobs_lr": [1, 2], "weight_decay": [1, 0]}
        body = block({"name": name, "bottom": bottoms, "top": top, **rates, **fields})
        self._parts.append(f"layers {{ type: {V1_TYPES[kind]} {body[1:]}")
        return top


def alexnet_v1(size: int = 131) -> str:
    """What `classification.alexnet(lrn_first=True)` is, as a V1 file."""
    net = V1Prototxt("AlexNet", (2, 3, size, size))
    net.softmax("prob", alexnet_layers(net, lrn_first=True))
    return net.text


def caffenet_train_val(size: int = 131) -> str:
    """CaffeNet for training: an LMDB a phase, accuracies, a loss."""
    net = Prototxt("CaffeNet")
    for phase, batch_size in (("TRAIN", 256), ("TEST", 50)):
        transform = {"mirror": phase == "TRAIN", "crop_size": size, "mean_value": [104, 117, 123]}
        data = {"source": f"examples/{phase.lower()}_lmdb", "batch_size": batch_size, "backend": "LMDB"}
        rule = {"phase": phase}
        net.add("Data", "data", [], ["data", "label"], include=rule, transform_param=transform, data_param=data)
    scores = alexnet_layers(net, lrn_first=False)
    for name, top_k in (("accuracy", 1), ("accuracy_5", 5)):
        net.add("Accuracy", name, [scores, "label"], include={"phase": "TEST"}, accuracy_param={"top_k": top_k})
    net.add("SoftmaxWithLoss", "loss", [scores, "label"], loss_weight=1)
    return net.text
