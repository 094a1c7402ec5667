"""Put newly trained weights into the package: folded, in half precision, with their hash in the manifest."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dongfeng.errors import DongfengError
from dongfeng.formats.caffe import write_caffe
from dongfeng.net.fold import fold
from dongfeng.runtime.source import find_net
from dongfeng.support.files import sha256_of
from dongfeng.tools.program import parser
from dongfeng.zoo.models import model_info
from dongfeng.zoo.paths import MANIFEST, data_root
from dongfeng.zoo.shipped import shipped_path
from dongfeng.zoo.verify import verify_weights


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when the weights are in the package, 1 on an error."""
    arguments = parser(
        "python -m dongfeng.zoo", __doc__, "example:\n  python -m dongfeng.zoo --ship out/toytown_seg.caffemodel"
    )
    arguments.add_argument(
        "--ship", required=True, metavar="FILE", help='a .caffemodel, folded or not, or "random:SEED"'
    )
    arguments.add_argument("--model", default="toytown_seg", help="a model whose weights ship (default: %(default)s)")
    args = arguments.parse_args(argv)
    try:
        path = ship(args.model, args.ship)
    except (DongfengError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"wrote {path}, {path.stat().st_size} bytes, sha256 {sha256_of(path)}\n")
    return 0


def ship(model: str, weights: str) -> Path:
    """Replace the shipped weights of a model, and their size and hash in the manifest.

    Args:
        model: Name of a model whose weights ship.
        weights: A .caffemodel of its architecture, BatchNorm folded or not; or "random:SEED".

    Raises:
        DongfengError: the model's weights do not ship, or these are not its weights.
        OSError: a file cannot be read or written.
    """
    info = model_info(model)
    file = info.weights[0]
    if not file.shipped:
        raise DongfengError(f"{model}: its weights do not ship with the package; say so in {MANIFEST} first")
    path, manifest = shipped_path(file), data_root() / MANIFEST
    net = find_net(model, weights).net()
    with TemporaryDirectory() as folder:
        written = Path(folder) / file.name
        write_caffe(fold(net), written.with_suffix(".prototxt"), written, half=True)
        verify_weights(written, info)
        shutil.copyfile(written, path)
    text = manifest.read_text(encoding="utf-8")
    entry = re.search(rf'"{re.escape(file.name)}": \{{[^}}]*\}}', text)
    if entry is None:
        raise DongfengError(f'{manifest}: no entry "{file.name}" under files; write one by hand')
    renewed = re.sub(r'("size_bytes": )[^,\n]*', rf"\g<1>{path.stat().st_size}", entry[0])
    renewed = re.sub(r'("sha256": )[^,\n]*', rf'\g<1>"{sha256_of(path)}"', renewed)
    manifest.write_text(text.replace(entry[0], renewed), encoding="utf-8")
    return path
