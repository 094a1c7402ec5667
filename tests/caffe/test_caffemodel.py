from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dongfeng.caffe import caffemodel
from dongfeng.caffe.caffemodel import LayerBlobs, read, read_file, write
from dongfeng.caffe.schema import message_class
from dongfeng.errors import CaffemodelError
from tests.caffe.programs import run_python
from tests.conftest import CHECKOUT, require_shared

SHARED = require_shared()
WEIGHTS = sorted(SHARED.glob("golden/cases/*/weights.caffemodel")) if SHARED else []

CONV = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) / 7
BIAS = np.array([1.5, -2.5], np.float32)


def layer(name: str = "conv", *blobs: np.ndarray, type_: str = "Convolution") -> LayerBlobs:
    return LayerBlobs(name, type_, ("a",), ("b", "c"), blobs, (False,) * len(blobs))


def proto_net(**fields: object) -> bytes:
    return message_class("NetParameter")(**fields).SerializeToString()


def read_bytes(tmp_path: Path, data: bytes) -> list[LayerBlobs]:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    return read(path)


def error_of(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(CaffemodelError) as caught:
        read_bytes(tmp_path, data)
    assert str(caught.value).startswith(f"{tmp_path / 'net.caffemodel'}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def protobuf_blobs(net: object) -> list[tuple[str, list[np.ndarray]]]:
    """Arrays by protobuf's parser, shaped by Caffe's rules."""
    found = []
    for old in net.layers:
        name = old.layer.name if old.HasField("layer") else old.name
        found.append((name, [*old.blobs, *old.layer.blobs]))
    found += [(new.name, list(new.blobs)) for new in net.layer]
    return [(name, [protobuf_array(blob) for blob in blobs]) for name, blobs in found]


def protobuf_array(blob: object) -> np.ndarray:
    is_old = any(blob.HasField(name) for name in ("num", "channels", "height", "width"))
    shape = (blob.num, blob.channels, blob.height, blob.width) if is_old else tuple(blob.shape.dim)
    return np.array(blob.double_data or blob.data, np.float32).reshape(shape)


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.parent.name)
def test_reads_the_arrays_that_protobuf_reads(path: Path, shared):
    net = message_class("NetParameter")()
    net.MergeFromString(path.read_bytes())
    file = read_file(path)
    assert file.net_name == net.name
    expected = protobuf_blobs(net)
    assert [part.name for part in file.layers] == [name for name, _ in expected]
    for part, (_, blobs) in zip(file.layers, expected, strict=True):
        assert len(part.blobs) == len(part.legacy) == len(blobs)
        for ours, theirs in zip(part.blobs, blobs, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_array_equal(ours, theirs)


def test_arrays_are_contiguous_float32_and_read_only(tmp_path):
    write(tmp_path / "x", "net", [layer("conv", CONV.astype(np.float64), np.float32(3))])
    for blob in read(tmp_path / "x")[0].blobs:
        assert blob.dtype == np.float32
        assert blob.flags.c_contiguous
        assert not blob.flags.writeable


def test_protobuf_reads_what_is_written(tmp_path):
    path = tmp_path / "net.caffemodel"
    layers = [layer("data", type_="Input"), layer("conv ü", CONV, BIAS), layer("s", np.float32(2).reshape(()))]
    write(path, "net", layers)
    net = message_class("NetParameter").FromString(path.read_bytes())
    assert net.name == "net"
    assert [[field.name for field, _ in part.ListFields()] for part in net.layer] == [
        ["name", "type", "bottom", "top"],
        ["name", "type", "bottom", "top", "blobs"],
        ["name", "type", "bottom", "top", "blobs"],
    ]
    assert [field.name for field, _ in net.layer[1].blobs[0].ListFields()] == ["data", "shape"]
    part = net.layer[1]
    assert (part.name, part.type, list(part.bottom), list(part.top)) == ("conv ü", "Convolution", ["a"], ["b", "c"])
    np.testing.assert_array_equal(protobuf_array(part.blobs[0]), CONV)
    np.testing.assert_array_equal(protobuf_array(part.blobs[1]), BIAS)
    assert list(net.layer[2].blobs[0].data) == [2]
    # Caffe is protobuf for C++: written again by protobuf, every byte is the same.
    assert net.SerializeToString(deterministic=True) == path.read_bytes()


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "net.caffemodel"
    transposed = CONV.transpose(0, 2, 3, 1)
    written = [layer("a", transposed, BIAS), layer("a"), layer("e", np.zeros((0, 3), np.float32))]
    write(path, "net", written)
    file = read_file(path)
    assert file.net_name == "net"
    assert [(p.name, p.type, p.bottoms, p.tops) for p in file.layers] == [
        (p.name, p.type, p.bottoms, p.tops) for p in written
    ]
    np.testing.assert_array_equal(file.layers[0].blobs[0], transposed)
    assert file.layers[2].blobs[0].shape == (0, 3)
    assert file.layers[0].legacy == (False, False)


def test_half_precision_in_nvcaffes_form(tmp_path):
    path = tmp_path / "net.caffemodel"
    write(path, "net", [layer("conv", CONV, BIAS)], half=True)
    net = message_class("NetParameter").FromString(path.read_bytes())
    blob = net.layer[0].blobs[0]
    assert [field.number for field, _ in blob.ListFields()] == [7, 10, 12]
    assert (blob.raw_data_type, blob.raw_data) == (2, CONV.astype("<f2").tobytes())
    np.testing.assert_array_equal(read(path)[0].blobs[0], CONV.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(("number", "dtype"), [(0, "<f8"), (1, "<f4"), (2, "<f2")])
def test_raw_data_of_other_types(tmp_path, number, dtype):
    blob = {"raw_data_type": number, "raw_data": BIAS.astype(dtype).tobytes(), "shape": {"dim": [2]}}
    layers = read_bytes(tmp_path, proto_net(layer=[{"name": "a", "blobs": [blob]}]))
    np.testing.assert_array_equal(layers[0].blobs[0], BIAS)


def test_doubles_beyond_float32_become_infinite(tmp_path):
    blob = {"double_data": [1e300, -1e300, 0.1], "shape": {"dim": [3]}}
    layers = read_bytes(tmp_path, proto_net(layer=[{"name": "a", "blobs": [blob]}]))
    np.testing.assert_array_equal(layers[0].blobs[0], np.array([np.inf, -np.inf, 0.1], np.float32))


def test_half_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(CaffemodelError, match='layer "conv": a weight beyond 65504'):
        write(tmp_path / "x", "net", [layer("conv", np.array([1e5], np.float32))], half=True)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "net.caffemodel"
    write(path, "old", [layer("conv", BIAS)])
    before = path.read_bytes()

    def layers():
        yield layer("conv", CONV)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(path, "new", layers())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_fields_and_parameters_never_stop_the_reader(tmp_path):
    # 148 as the release's interp_param: as clip_param its required fields are missing, and protobuf refuses the file.
    interp = b"\xa2\x09\x04\x08\x21\x10\x21"
    unknown = b"\xf8\x3f\x01" + b"\xfd\x3fabcd" + b"\xf9\x3fabcdefgh" + b"\xfb\x3f\x08\x01\xfc\x3f"
    inner = message_class("LayerParameter")(name="i", type="Interp").SerializeToString() + interp + unknown
    data = unknown + b"\xa2\x06" + bytes([len(inner)]) + inner
    (only,) = read_bytes(tmp_path, data)
    assert (only.name, only.type, only.blobs) == ("i", "Interp", ())


def test_v1_types_become_names(tmp_path):
    old = [{"name": "a", "type": "INNER_PRODUCT", "bottom": ["x"], "top": ["y"]}, {"name": "b"}]
    layers = read_bytes(tmp_path, proto_net(layers=old))
    assert [(p.name, p.type, p.bottoms, p.tops) for p in layers] == [
        ("a", "InnerProduct", ("x",), ("y",)),
        ("b", "", (), ()),
    ]


def test_v0_layers_are_nested(tmp_path):
    blob = {"num": 1, "channels": 1, "height": 1, "width": 2, "data": [1.5, -2.5]}
    old = [
        {"layer": {"name": "a", "type": "conv", "blobs": [blob]}, "bottom": ["x"]},
        {"layer": {"name": "p", "type": "padding"}},
    ]
    layers = read_bytes(tmp_path, proto_net(layers=old))
    assert [(p.name, p.type, p.bottoms, p.legacy) for p in layers] == [
        ("a", "Convolution", ("x",), (True,)),
        ("p", "padding", (), ()),
    ]
    np.testing.assert_array_equal(layers[0].blobs[0], BIAS.reshape(1, 1, 1, 2))


def field(number: int, payload: bytes) -> bytes:
    assert len(payload) < 128
    tag = number << 3 | 2
    return (bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])) + bytes([len(payload)]) + payload


SHAPE_4 = field(7, field(1, b"\x04"))
FOUR = np.array([1, 2, 3, 4], "<f4")


@pytest.mark.parametrize(
    "blob",
    [
        field(5, FOUR.tobytes()) + SHAPE_4,
        SHAPE_4 + field(5, FOUR[:1].tobytes()) + field(6, b"1234") + field(5, FOUR[1:].tobytes()),
        b"".join(b"\x2d" + value.tobytes() for value in FOUR) + SHAPE_4,
        field(5, FOUR[:2].tobytes()) + b"".join(b"\x2d" + value.tobytes() for value in FOUR[2:]) + SHAPE_4,
        b"".join(b"\x41" + value.astype("<f8").tobytes() for value in FOUR) + SHAPE_4,
        field(8, FOUR.astype("<f8").tobytes()) + field(5, b"") + SHAPE_4,
        field(8, b"") + field(5, FOUR.tobytes()) + SHAPE_4,
        field(5, FOUR.tobytes()) + field(7, b"\x08\x04"),
        field(5, FOUR.tobytes()) + field(7, field(1, b"\x02")) + field(7, field(1, b"\x02")),
        field(5, FOUR.tobytes()) + b"\x20\x04\x18\x01\x10\x01\x08\x01",
        field(5, FOUR.tobytes()) + b"\x20\x04\x18\x01\x10\x01\x08\x01" + SHAPE_4,
    ],
    ids=["packed", "chunks", "unpacked", "mixed", "double_unpacked", "double", "no_double", "unpacked_dim"]
    + ["split_shape", "legacy", "legacy_wins"],
)
def test_every_form_that_protobuf_allows_for_a_blob(tmp_path, blob):
    data = field(100, field(1, b"a") + field(7, blob))
    net = message_class("NetParameter").FromString(data)
    (only,) = read_bytes(tmp_path, data)
    np.testing.assert_array_equal(only.blobs[0].ravel(), FOUR)
    np.testing.assert_array_equal(only.blobs[0], protobuf_array(net.layer[0].blobs[0]))


@pytest.mark.parametrize(
    ("blob", "problem"),
    [
        ({"data": [1, 2, 3], "shape": {"dim": [2, 2]}}, 'layer "a": blob at byte 8: 3 values for shape 2x2'),
        ({"data": [1, 2]}, "2 values for shape of a scalar"),
        ({"shape": {"dim": [2]}}, "0 values for shape 2"),
        ({"data": [1], "shape": {"dim": [-1, -1]}}, "1 values for shape -1x-1"),
        ({"shape": {"dim": [0, 2**62, 2**62]}}, "0 values for shape 0x4611686018427387904x46"),
        ({"data": [1], "num": -1, "channels": -1, "height": 1, "width": 1}, "1 values for shape -1x-1x1x1"),
        ({"data": [1], "num": 1}, "1 values for shape 1x0x0x0"),
        ({"data": [1], "shape": {"dim": [1] * 33}}, "a blob of more than 32 axes"),
        ({"raw_data": b"123", "raw_data_type": 2, "shape": {"dim": [1]}}, "3 bytes of data are no whole number"),
        ({"raw_data": b"12", "shape": {"dim": [1]}}, "raw data of type None is not supported"),
    ],
)
def test_blobs_that_contradict_themselves(tmp_path, blob, problem):
    assert problem in error_of(tmp_path, proto_net(layer=[{"name": "a", "blobs": [blob]}]))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>quota exceeded", "a web page, not a caffemodel"),
        (b'name: "net"\nlayer { name: "x" }\n', "text, not a caffemodel; is this the prototxt?"),
        ('# ü\nname: "net"'.encode(), "text, not a caffemodel"),
        (b"\x89PNG\r\n\x1a\n\x00", "damaged, or no caffemodel"),
        (b"PK\x03\x04\x00", "damaged, or no caffemodel"),
        (b"\x00" * 100, "no field can begin here (byte 0)"),
        (b"\x0a\x03net", "no layers in this file"),
    ],
)
def test_files_that_are_no_caffemodel(tmp_path, data, problem):
    assert problem in error_of(tmp_path, data)


def test_the_rejected_weights_of_the_corpus(shared):
    rejects = shared / "golden/rejects"
    with pytest.raises(CaffemodelError, match='layer "conv1": blob at byte 30: 107 values for shape 4x3x3x3'):
        read(rejects / "weights_data_count/weights.caffemodel")
    with pytest.raises(CaffemodelError, match=r"1659 bytes should follow, 1622 are left: is the file cut short\?"):
        read(rejects / "weights_truncated/weights.caffemodel")


def test_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


def test_hdf5_weights_of_the_corpus(shared):
    pytest.importorskip("h5py")
    hdf5 = read(shared / "golden/cases/weights_hdf5/weights.caffemodel.h5")
    assert [(p.name, [blob.shape for blob in p.blobs]) for p in hdf5] == [
        ("conv1", [(4, 3, 3, 3), (4,)]),
        ("fc", [(5, 80), (5,)]),
    ]
    assert not hdf5[0].blobs[0].flags.writeable


def test_hdf5_files_that_are_no_weights(tmp_path):
    h5py = pytest.importorskip("h5py")
    assert "not a weight file of Caffe in HDF5" in error_of(tmp_path, b"\x89HDF\r\n\x1a\n\x00")
    for name, problem in (("other", "not a weight file of Caffe in HDF5"), ("data/x", "without weights of Caffe")):
        with h5py.File(tmp_path / "w.h5", "w") as file:
            file[name] = BIAS
        assert problem in error_of(tmp_path, (tmp_path / "w.h5").read_bytes())


def test_hdf5_layer_names_with_slashes(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/conv/0"] = CONV
        file["data/conv/bn/0"] = BIAS
        file["data/conv/bn/1"] = BIAS.astype(np.float64)
        file.create_group("data/relu")
    found = {part.name: part.blobs for part in read(tmp_path / "w.h5")}
    assert {name: len(blobs) for name, blobs in found.items()} == {"conv": 1, "conv/bn": 2}
    np.testing.assert_array_equal(found["conv"][0], CONV)
    np.testing.assert_array_equal(found["conv/bn"][1], BIAS)


def test_without_h5py_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert "pip install h5py" in error_of(tmp_path, b"\x89HDF\r\n\x1a\n\x00")


def small_file(path: Path) -> bytes:
    write(path, "n", [layer("c", CONV, BIAS), layer("d")])
    old = {"name": "o", "type": "POOLING", "blobs": [{"num": 1, "channels": 1, "height": 1, "width": 1, "data": [1]}]}
    return path.read_bytes() + proto_net(layers=[old, {"layer": {"name": "v0", "type": "conv"}}])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_gives_layers_or_an_error_and_takes_little_memory(tmp_path, data):
    damaged = bytearray(small_file(tmp_path / "whole"))
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    path = tmp_path / "damaged"
    path.write_bytes(damaged)
    problem = ""
    tracemalloc.start()
    try:
        read(path)
    except CaffemodelError as error:
        problem = str(error)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_000_000
    assert "\n" not in problem


def test_many_short_runs_of_unpacked_data_take_linear_time(tmp_path):
    values = b"\x2dabcd\x35abcd" * 20_000
    blob = values + b"\x3a\x05\x0a\x03" + bytes([20_000 & 127 | 128, (20_000 >> 7) & 127 | 128, 20_000 >> 14])
    inner = b"\x3a" + caffemodel.varint(len(blob)) + blob
    (only,) = read_bytes(tmp_path, b"\xa2\x06" + caffemodel.varint(len(inner)) + inner)
    assert only.blobs[0].shape == (20_000,)
    assert only.blobs[0].view(np.uint8)[:4].tobytes() == b"abcd"


def test_benchmark_shows_time_and_memory_of_both_readers(tmp_path):
    path = tmp_path / "net.caffemodel"
    write(path, "net", [layer(str(index), np.ones((1 << 20,), np.float32)) for index in range(4)])
    program = CHECKOUT / "benchmarks/caffemodel.py"
    if not program.is_file():
        pytest.skip("needs the checkout's benchmarks")
    result = json.loads(run_python(str(program), str(path), "--repeats", "1", "--json"))
    ours, theirs = result["rows"]
    assert (ours["reader"], theirs["reader"]) == ("dongfeng", "protobuf")
    assert ours["arrays"] == theirs["arrays"] == 4
    assert ours["time_ms"] > 0
    assert 1 <= ours["peak_per_file_size"] <= 3.5
