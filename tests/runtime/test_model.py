"""Models on images: results, lists, streams, threads, closing."""

from __future__ import annotations

import itertools
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from dongfeng.backends.onnxruntime import OnnxRuntime
from dongfeng.backends.threads import streams_for
from dongfeng.errors import BackendUnavailable, ImageError
from dongfeng.runtime.load import load, load_stream
from dongfeng.runtime.model import Model
from dongfeng.runtime.result_iterator import ResultIterator


@pytest.fixture
def model(onnx_file) -> Model:
    return load(onnx_file(), mean=(104, 117, 123), scale=0.01, threads=1)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Twelve images of different sizes and colours."""
    paths = []
    for index in range(12):
        paths.append(tmp_path / f"{index}.png")
        picture = np.full((10 + index, 20, 3), 20 * index, np.uint8)
        picture[:, index:, 1] = 255 - 20 * index
        paths[-1].write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return paths


def test_a_path_an_array_and_a_pil_image_give_one_result(model, street):
    expected = model(street).labels
    for image in (str(street), cv2.imread(str(street)), Pil.open(street)):
        np.testing.assert_array_equal(model(image).labels, expected)


def test_rgb_arrays_where_load_was_told_so(onnx_file, street):
    model = load(onnx_file(), mean=(104, 117, 123), scale=0.01, channel_order="rgb")
    rgb = cv2.imread(str(street))[..., ::-1]
    np.testing.assert_array_equal(model(rgb).labels, model(street).labels)
    np.testing.assert_array_equal(model(rgb).image_bgr, rgb[..., ::-1])


def test_labels_have_the_size_of_the_image(model, images):
    for image in images:
        height = 10 + int(image.stem)
        assert model(image).labels.shape == (height, 20)
    assert model(np.zeros((1, 1, 3), np.uint8)).labels.shape == (1, 1)


def test_the_result_carries_image_and_timing(model, street):
    result = model(street)
    np.testing.assert_array_equal(result.image_bgr, cv2.imread(str(street)))
    assert list(result.timing) == ["decode", "preprocess", "infer", "postprocess"]
    assert all(value > 0 for value in result.timing.values())


def test_a_list_or_tuple_gives_a_list(model, images):
    expected = [model(image).labels for image in images]
    for given in (images, tuple(images)):
        results = model(given)
        assert isinstance(results, list)
        for result, labels in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result.labels, labels)
    assert model([]) == []


def test_a_stream_keeps_the_order(model, images):
    heights = [result.labels.shape[0] for result in model.stream(iter(images))]
    assert heights == [10 + index for index in range(12)]


def test_a_stream_takes_no_more_ahead_than_it_has_workers(model, images):
    taken = []
    stream = model.stream(taken.append(image) or image for image in images)
    workers = max(2, streams_for(None, None))
    assert taken == []
    next(stream)
    assert len(taken) == 1 + workers
    next(stream)
    assert len(taken) == 2 + workers
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    assert len(taken) == 2 + workers


def test_a_stream_of_an_endless_source(model, images):
    assert len(list(itertools.islice(model.stream(itertools.cycle(images)), 30))) == 30


def test_an_unreadable_image_raises_in_its_place_and_the_stream_goes_on(model, images, tmp_path):
    images[3] = tmp_path / "gone.png"
    images[-1] = tmp_path / "gone too.png"
    stream = model.stream(images)
    seen: list[int | str] = []
    while True:
        try:
            seen.append(next(stream).labels.shape[0])
        except ImageError as error:
            seen.append(str(error).rpartition("/")[2])
        except StopIteration:
            break
    assert seen == [10, 11, 12, "gone.png: no such file", *range(14, 21), "gone too.png: no such file"]


def test_an_error_of_the_source_comes_behind_the_items_before_it(model, images):
    def source():
        yield from images[:2]
        raise RuntimeError("the camera is gone")

    stream = model.stream(source())
    assert [next(stream).labels.shape[0] for _ in range(2)] == [10, 11]
    with pytest.raises(RuntimeError, match="the camera is gone"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)


def test_items_overlap():
    """Two items are in progress at once: each waits for the other."""
    both = threading.Barrier(2, timeout=10)

    def work(item: object) -> object:
        both.wait()
        return item

    assert list(ResultIterator([0, 1, 2, 3], work, 2)) == [0, 1, 2, 3]


def test_the_results_of_a_stream_are_those_of_single_calls(model, images):
    many = [*images, *images]  # enough for several streams
    for result, image in zip(model.stream(many), many, strict=True):
        np.testing.assert_array_equal(result.labels, model(image).labels)


def test_a_model_for_streams_is_opened_once(onnx_file, images, monkeypatch):
    opened = []
    original = OnnxRuntime.__init__

    def counted(self, path, execution):
        opened.append(execution.streams)
        original(self, path, execution)

    monkeypatch.setattr(OnnxRuntime, "__init__", counted)
    options = {"mean": 0, "scale": 1 / 255, "size": (8, 16), "threads": 2}
    with load_stream(onnx_file(), count=50, **options) as model:
        heights = [result.labels.shape[0] for result in model.stream(images)]
        assert model(images[0]).labels.shape[0] == 10
    assert heights == [10 + index for index in range(12)]
    assert opened == [2]
    with load(onnx_file(), **options) as model:
        model(images[:3])
        assert opened == [2, 1]
        model(images), model(images)
    assert opened == [2, 1, 2]


def test_memory_does_not_grow_with_the_images(model):
    """Results that the caller has dropped are gone; only those in progress live."""
    alive = weakref.WeakSet()
    most = 0
    for result in model.stream(np.zeros((8, 16, 3), np.uint8) for _ in range(60)):
        alive.add(result)
        del result
        most = max(most, len(alive))
    assert most <= 2


def test_streams_leave_no_thread_behind(model, images):
    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("dongfeng-stream")]

    list(model.stream(images))
    half = model.stream(images)
    next(half)
    assert ours()
    del half
    for thread in ours():
        thread.join(10)
    assert not ours()


def test_several_threads_may_share_a_model(model, images):
    expected = [model(image).labels for image in images]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for result, labels in zip(pool.map(model, images), expected, strict=True):
                np.testing.assert_array_equal(result.labels, labels)


def test_a_closed_model_says_so(model, street):
    stream = model.stream([street] * 20)
    with model as same:
        assert same is model
        next(stream)
    model.close()
    # What was taken ahead may still come.
    for use in (lambda: model(street), lambda: model.stream([street]), lambda: list(stream)):
        with pytest.raises(BackendUnavailable, match="net: this model is closed; load it again"):
            use()
    assert repr(model) == "Model('net', segmentation, 8x16, closed)"


def test_an_image_that_cannot_be_read(model, tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        model(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="got NoneType"):
        model(None)
