"""What a wheel holds, and that each way of installing works from a folder that is not the checkout."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

import dongfeng
from dongfeng._version import __version__
from dongfeng.zoo.manifest import manifest
from dongfeng.zoo.models import model_info
from tests.conftest import CHECKOUT

LARGEST_WEIGHTS = 1_500_000  # bytes of a network that comes with the package

# What a program of a user's gets back -> its type, by the last part of every dotted name.
REVEALED = {
    "dongfeng.__version__": "str",
    'dongfeng.list_models("df1*")': "list[str]",
    'dongfeng.load("df1seg")': "Model[Segmentation]",
    'dongfeng.load("df1seg", weights="random", threads=1)("street.jpg")': "Segmentation",
    'dongfeng.load("df1seg")(["a.jpg", "b.jpg"])': "list[Segmentation]",
    'dongfeng.load("df1")("cat.jpg")': "Classification",
    'dongfeng.load("net.onnx", task="segmentation")("street.jpg")': "Segmentation",
    'dongfeng.load("net.onnx", task="classification")("cat.jpg")': "Classification",
    'model("street.jpg")': "Segmentation | Classification",
    'model.segment("street.jpg")': "Segmentation",
    "model.classify(image)": "Classification",
    'next(model.stream(["a.jpg"]))': "Segmentation | Classification",
    'model.segment("street.jpg").labels': "array of unsignedinteger 8",
    'model.segment("street.jpg").scores': "array of floating 32",
    'model.segment("street.jpg").color()': "array of unsignedinteger 8",
    'model.segment("street.jpg").timing.infer': "float",
    'model.classify("cat.jpg").logits': "array of floating 32",
    'model.classify("cat.jpg").top(3)': "list[tuple[int, str, float]]",
    "model.size_hw": "tuple[int, int]",
    "model.net": "Net | None",
    "model.palette": "array of unsignedinteger 8",
    "model.preprocessing": "Preprocessing",
    "net": "Net",
    "net.inputs": "Mapping[str, tuple[int | None, ...]]",
    "net.outputs": "tuple[str, ...]",
    "net.layers": "tuple[Layer, ...]",
    "net.resize(4, 4).shapes()": "dict[str, tuple[int, ...]]",
    "net.cost()": "list[LayerCost]",
    'dongfeng.read_ncnn("a.param")': "Net",
    "dongfeng.fold(net)": "Net",
    "dongfeng.to_onnx(net)": "ModelProto",
    'dongfeng.run(net, {"data": image})': "dict[str, array of floating 32]",
    'dongfeng.verify(net, "a.onnx")': "Verdict",
    "dongfeng.to_torch(net)": "Network",
    "dongfeng.from_torch({}, net)": "Net",
    'dongfeng.convert("df1", "df1.onnx")': "Conversion",
    'dongfeng.quantize("df1", "df1.onnx", ["images"])': "QuantizationReport",
    'dongfeng.batch("photos", "out")': "BatchResult[SegmentedImage | SegmentedVideo]",
    'dongfeng.batch("photos")': "BatchResult[ClassifiedImage]",
    'dongfeng.evaluate("df1", "imagenet")': "ImagenetEvaluation",
    'dongfeng.evaluate("df1seg", "c", dataset="cityscapes", out="out")': "CityscapesEvaluation",
    'dongfeng.bench(["df1"])': "BenchReport",
}

CONSUMER = """\
from __future__ import annotations

import numpy as np

import dongfeng


def labels_of(model: dongfeng.Model, net: dongfeng.Net) -> None:  # `Model` alone is a model of either task
    model.close()
    dongfeng.write_caffe(net, "b.prototxt", "b.caffemodel")
    dongfeng.write_ncnn(net, "b.param", "b.bin")


size_hw: int = dongfeng.list_models()  # type: ignore[assignment]
dongfeng.nonsense  # type: ignore[attr-defined]
image = np.zeros((4, 4, 3), np.uint8)
model = dongfeng.load("net.onnx")
net = dongfeng.read_caffe("a.prototxt", "a.caffemodel")
labels_of(model, net)
"""

FIND_DATA = """\
import json, sys
import dongfeng
from dongfeng.zoo.paths import data_root
print(json.dumps({
    "package": dongfeng.__file__,
    "version": dongfeng.__version__,
    "manifest": (data_root() / "weights_manifest.json").is_file(),
    "prototxt": sorted(path.name for path in (data_root() / "prototxt").iterdir()),
    "models": dongfeng.list_models(),
}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that has to succeed; what it says is shown where it does not."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Installed:
    """An environment with one way of installing, and a folder elsewhere to work in."""

    bin: Path
    folder: Path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout without what git ignores, so that building leaves no trace in it."""
    ignored = (CHECKOUT / ".gitignore").read_text(encoding="utf-8").split()
    names = shutil.ignore_patterns(".git", *(name.strip("/") for name in ignored))
    return Path(shutil.copytree(CHECKOUT, tmp_path_factory.mktemp("tree") / "dongfeng", ignore=names))


@pytest.fixture(scope="module")
def wheels(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    built = {}
    for name, options in {"wheel from the tree": ["--wheel"], "wheel through the sdist": []}.items():
        folder = tmp_path_factory.mktemp("dist")
        run(sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", folder, tree, cwd=folder)
        (built[name],) = folder.glob("*.whl")
    return built


@pytest.fixture(
    scope="module",
    params=["wheel from the tree", "wheel through the sdist", "editable"],
    ids=lambda name: name.replace(" ", "-"),
)
def installed(
    request: pytest.FixtureRequest, tree: Path, wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """An empty environment with dongfeng alone; what it needs is borrowed from the environment of the tests."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    bin_folder = home / ("Scripts" if os.name == "nt" else "bin")
    scheme = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    # A path file inside a folder that a path file adds is not read: an editable install of the tests stays unseen.
    Path(scheme["purelib"], "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    what = ["--no-build-isolation", "--editable", tree] if request.param == "editable" else [wheels[request.param]]
    pip = [sys.executable, "-m", "pip", "--python", bin_folder / "python", "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", *what, cwd=home)
    return Installed(bin_folder, tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.slow
def test_wheels_hold_the_package_and_its_data_and_nothing_else(tree: Path, wheels: dict[str, Path]) -> None:
    contents = {name: sorted(zipfile.ZipFile(path).namelist()) for name, path in wheels.items()}
    from_tree, through_sdist = contents.values()
    assert from_tree == through_sdist
    held = {name for name in from_tree if not name.startswith(f"dongfeng-{__version__}.dist-info/")}
    package = {path.relative_to(tree).as_posix() for path in tree.glob("dongfeng/**/*") if path.is_file()}
    networks = {f"dongfeng/data/prototxt/{path.name}" for path in tree.glob("prototxt/*")}
    weights = {name for name in networks if not name.endswith(".prototxt")}
    assert networks - weights
    assert weights == {f"dongfeng/data/prototxt/{name}" for name, file in manifest().files.items() if file.shipped}
    assert held == package | networks | {"dongfeng/data/weights_manifest.json"}
    with zipfile.ZipFile(wheels["wheel from the tree"]) as wheel:
        assert all(wheel.getinfo(name).file_size <= LARGEST_WEIGHTS for name in weights)
    assert "dongfeng/py.typed" in held


@pytest.mark.slow
def test_an_install_finds_its_data_from_another_folder(tree: Path, installed: Installed) -> None:
    seen = json.loads(run(installed.bin / "python", "-c", FIND_DATA, cwd=installed.folder))
    assert seen["version"] == __version__
    assert seen["manifest"] is True
    assert seen["prototxt"] == sorted(path.name for path in tree.glob("prototxt/*"))
    assert not Path(seen["package"]).is_relative_to(CHECKOUT)
    listed = json.loads(run(installed.bin / "dongfeng", "models", "--json", cwd=installed.folder))
    assert [row["model"] for row in listed["rows"]] == seen["models"]
    assert run(installed.bin / "python", "-m", "dongfeng", "--version", cwd=installed.folder).split()[1] == __version__


@pytest.mark.slow
def test_an_install_has_all_that_the_demo_needs(installed: Installed) -> None:
    """The tests switch the network off, and an empty folder is a new user's cache."""
    command = [installed.bin / "dongfeng", "demo", "-o", "demo", "--count", "1", "--json"]
    assert json.loads(run(*command, cwd=installed.folder))["scenes"] == 1
    assert (installed.folder / "demo/contact_sheet.png").is_file()


@pytest.mark.slow
def test_a_consumer_knows_what_it_gets_back(installed: Installed) -> None:
    """An unused `type: ignore` is an error too, so that types which are not seen cannot pass."""
    consumer = installed.folder / "consumer.py"
    consumer.write_text(CONSUMER + "".join(f"reveal_type({text})\n" for text in REVEALED), encoding="utf-8")
    options = ["--strict", "--python-executable", installed.bin / "python", "--cache-dir", installed.folder / "cache"]
    printed = run(sys.executable, "-m", "mypy", *options, consumer, cwd=installed.folder)
    found = [_plain(text) for text in re.findall(r'Revealed type is "(.*)"', printed)]
    assert dict(zip(REVEALED, found, strict=True)) == REVEALED


def test_the_consumer_uses_every_public_function() -> None:
    used = CONSUMER + "".join(REVEALED)
    functions = {name for name in dongfeng.__all__ if name.islower() and name != "errors"}
    assert {name for name in functions if f"dongfeng.{name}" not in used} == set()


def test_zoo_names_are_typed_by_their_task() -> None:
    from dongfeng.runtime.load import Classifier, Segmenter

    tasks = {"classification": get_args(Classifier), "segmentation": get_args(Segmenter)}
    for task, names in tasks.items():
        assert sorted(names) == sorted(name for name in dongfeng.list_models() if model_info(name).task == task)


def _plain(revealed: str) -> str:
    """A type as mypy prints it, without the modules, and arrays without their shape, which no annotation of NumPy has."""
    array = (
        r"numpy\.ndarray\[tuple\[(?:Any|builtins\.int|int), \.\.\.\], numpy\.dtype\[numpy\.(\w+)\[[\w.]*_(\d+)Bit\]\]\]"
    )
    return re.sub(r"\w+\.(?=\w)", "", re.sub(array, r"array of \1 \2", revealed).replace("builtins.", ""))


def test_importing_dongfeng_imports_no_heavy_library() -> None:
    heavy = {"cv2", "gdown", "google.protobuf", "onnx", "onnxruntime", "requests", "rich"}
    script = "import sys, dongfeng; print(*sys.modules)"
    seen = set(run(sys.executable, "-c", script, cwd=CHECKOUT).split())
    assert seen & heavy == set()


def test_version_is_that_of_the_changelog() -> None:
    text = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__


def test_what_the_package_imports_is_what_it_requires() -> None:
    config = ConfigParser()
    config.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    required = {_distribution(line) for line in config["options"]["install_requires"].split()}
    imported = {name for path in CHECKOUT.glob("dongfeng/**/*.py") for name in _third_party_imports(path)}
    # For `make proto`, HDF5 weights, images that are PIL's already, and what is in extras.
    optional = {"grpc_tools", "h5py", "PIL", "matplotlib", "ncnn", "openvino", "ray", "safetensors", "torch"}
    optional |= {"typing_extensions"}  # for type checkers alone, which know it without an installation
    other_names = {"cv2": "opencv-python-headless", "google": "protobuf"}
    needed = {other_names.get(name, name) for name in imported - optional}
    assert needed == required


def _third_party_imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"dongfeng"}


def _distribution(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")
