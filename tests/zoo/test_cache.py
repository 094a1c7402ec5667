from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from dongfeng.zoo.cache import clear_cache, list_cache
from dongfeng.zoo.fetch import INCOMPLETE


def fill(cache: Path) -> None:
    (cache / INCOMPLETE).mkdir(parents=True)
    (cache / "df1.caffemodel").write_bytes(b"12345")
    (cache / "df1.caffemodel.sha256").write_text("0" * 64)
    (cache / "mine.txt").write_text("not dongfeng's")
    (cache / INCOMPLETE / "df2.caffemodel.part").write_bytes(b"123")
    (cache / INCOMPLETE / "df2.caffemodel.lock").write_bytes(b"")
    (cache.parent / "onnx" / "deep").mkdir(parents=True)
    (cache.parent / "onnx" / "deep" / "df1.onnx").write_bytes(b"1234567")


def test_empty_cache_that_does_not_exist() -> None:
    assert list_cache() == []
    assert clear_cache() == []


def test_list(cache: Path) -> None:
    fill(cache)
    assert [(entry.path.name, entry.content, entry.size_bytes) for entry in list_cache()] == [
        ("df1.caffemodel", "weights", 5),
        ("df2.caffemodel.part", "incomplete", 3),
        ("df1.onnx", "onnx", 7),
    ]


def test_clear_removes_what_was_listed_and_nothing_else(cache: Path) -> None:
    fill(cache)
    before = list_cache()
    assert clear_cache() == before
    assert list_cache() == []
    assert not (cache / "df1.caffemodel.sha256").exists()
    assert (cache / "mine.txt").exists()


def test_clear_one_kind(cache: Path) -> None:
    fill(cache)
    assert [entry.content for entry in clear_cache(("onnx",))] == ["onnx"]
    assert [entry.content for entry in list_cache()] == ["weights", "incomplete"]


def test_clear_leaves_a_running_download_alone(cache: Path) -> None:
    fill(cache)
    with FileLock(cache / INCOMPLETE / "df2.caffemodel.lock"):
        assert "incomplete" not in {entry.content for entry in clear_cache()}
        assert (cache / INCOMPLETE / "df2.caffemodel.part").exists()
    assert [entry.content for entry in clear_cache()] == ["incomplete"]
