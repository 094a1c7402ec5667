from __future__ import annotations

from pathlib import Path

from dongfeng.datasets.cityscapes_folder import Frame, find_frames, find_truth


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_frames_are_found_in_the_order_of_city_and_name(tmp_path: Path) -> None:
    folder = "leftImg8bit/val"
    touch(
        tmp_path,
        f"{folder}/lindau/lindau_000000_000019_leftImg8bit.png",
        f"{folder}/frankfurt/frankfurt_000001_000019_leftImg8bit.png",
        f"{folder}/frankfurt/frankfurt_000000_000294_leftImg8bit.png",
        f"{folder}/frankfurt/._frankfurt_000000_000294_leftImg8bit.png",
        f"{folder}/frankfurt/frankfurt_000000_000294_rightImg8bit.png",
        f"{folder}/frankfurt_000000_000295_leftImg8bit.png",
        "leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png",
    )
    names = ["frankfurt_000000_000294", "frankfurt_000001_000019", "lindau_000000_000019"]
    assert find_frames(tmp_path, "val") == [
        Frame(tmp_path / folder / city / f"{name}_leftImg8bit.png", city, name)
        for name, city in ((name, name.partition("_")[0]) for name in names)
    ]


def test_labels_lie_in_gt_fine(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png",
        "leftImg8bit/val/ulm/ulm_000001_000019_leftImg8bit.png",
        "gtFine/val/ulm/ulm_000001_000019_gtFine_labelIds.png",
    )
    frames = find_frames(tmp_path, "val")
    truth = find_truth(tmp_path, "val", frames)
    assert truth.label_ids(frames[1]) == tmp_path / "gtFine/val/ulm/ulm_000001_000019_gtFine_labelIds.png"
    assert truth.instance_ids(frames[1]) is None
    touch(tmp_path, "gtFine/val/ulm/ulm_000000_000019_gtFine_instanceIds.png")
    instances = find_truth(tmp_path, "val", frames).instance_ids(frames[1])
    assert instances == tmp_path / "gtFine/val/ulm/ulm_000001_000019_gtFine_instanceIds.png"
