"""Networks that read sequences."""

from __future__ import annotations

from tests.networks.prototxt import Prototxt

WORDS, STEPS, BATCH = 50, 6, 2


def captioner(hidden: int = 24, size: int = 32) -> str:
    """LRCN's captioner: words through an embedding and two LSTMs, the second of which sees the image at every step."""
    net = Prototxt(
        "lrcn_caption",
        data=(BATCH, 3, size, size),
        cont_sentence=(STEPS, BATCH),
        input_sentence=(STEPS, BATCH),
    )
    image = net.pool("pool1", net.conv_relu("conv1", "data", 8, 5, stride=2), 3, 2)
    image = net.inner("image_features", image, hidden)
    param = {"bias_term": False, "input_dim": WORDS, "num_output": hidden}
    words = net.add("Embed", "embedding", "input_sentence", "embedded_input_sentence", embed_param=param)
    lstm = {"num_output": hidden, "weight_filler": {"type": "uniform", "min": -0.08, "max": 0.08}}
    x = net.add("LSTM", "lstm1", [words, "cont_sentence"], recurrent_param=lstm)
    x = net.add("LSTM", "lstm2", [x, "cont_sentence", image], recurrent_param=lstm)
    net.softmax("probs", net.inner("predict", x, WORDS, axis=2), axis=2)
    return net.text


def crnn(width: int = 8, height: int = 16, columns: int = 40) -> str:
    """A text reader: the columns of a feature map are the time steps of an LSTM and an RNN."""
    net = Prototxt("crnn", data=(BATCH, 1, height, columns), indicator=(columns // 4, BATCH))
    x = net.pool("pool1", net.conv_relu("conv1", "data", width, 3, pad=1), 2, 2)
    x = net.pool("pool2", net.conv_bn_relu("conv2", x, 2 * width, 3, pad=1), 2, 2)
    x = net.add("Permute", "permuted", x, permute_param={"order": [3, 0, 1, 2]})
    x = net.add("Flatten", "sequence", x, flatten_param={"axis": 2})
    x = net.add("LSTM", "lstm", [x, "indicator"], recurrent_param={"num_output": 2 * width})
    x = net.add("RNN", "rnn", [x, "indicator"], recurrent_param={"num_output": width})
    net.softmax("prob", net.inner("score", x, WORDS, axis=2), axis=2)
    return net.text
