"""The archive of an ncnn network: what is packed comes back, and damage is named."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from dongfeng.errors import ConversionError
from dongfeng.formats.ncnn import weights_beside
from dongfeng.formats.ncnn.archive import SUFFIX, pack, unpacked

CONTENT = pack("param", b"weights", {"dongfeng.name": '"x"'}, {"y": (1, 2, 4, 5)})


def with_facts(facts: str) -> bytes:
    """An archive that says something else of its network."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (("net.param", "param"), ("net.bin", "weights"), ("about.json", facts)):
            archive.writestr(name, content)
    return buffer.getvalue()


def test_what_is_packed_comes_back(tmp_path: Path) -> None:
    path = tmp_path / f"net{SUFFIX}"
    path.write_bytes(CONTENT)
    for model in (path, CONTENT):
        with unpacked(model) as files:
            assert (files.param.read_text(), files.weights.read_bytes()) == ("param", b"weights")
            assert (files.metadata, files.output_shapes) == ({"dongfeng.name": '"x"'}, {"y": (1, 2, 4, 5)})
        assert not files.param.exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no zip", "the model: File is not a zip file; not a network packed for ncnn, or damaged; delete it"),
        (with_facts("{"), "the model/about.json:1:2: not JSON: .*; not a network packed"),
        (with_facts('{"metadata": {}}'), 'the model/about.json: key "output_shapes" is missing'),
        (with_facts('{"metadata": {}, "output_shapes": {"y": [0]}}'), r"output_shapes.y\[0\]: expected a positive"),
    ],
    ids=["no zip", "no JSON", "no shapes", "a shape with a zero"],
)
def test_damage_is_named(content: bytes, complaint: str) -> None:
    with pytest.raises(ConversionError, match=complaint), unpacked(content):
        pass


@pytest.mark.parametrize("name", ["net.param", "net.param.bin"])
def test_weights_stand_beside_the_network(name: str) -> None:
    assert weights_beside(f"folder/{name}") == Path("folder/net.bin")
