"""Costing a large search space and cutting it to a latency window: its size, seconds, peak memory.

    python benchmarks/search_space.py [--widths W ...] [--device NAME] [--window MS MS] [--json]

By default, backbones of seven widths and the usual depths on the TX2 between 2 and 7 ms. Seconds are of everything from
the widths to the arrays of what is inside the window, building and costing nets included; `draw_s` is what one draw
and one pruning step take on them.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time

from dongfeng.search import Search, Space

_WIDTHS = (64, 96, 128, 192, 256, 512, 1024)


def main() -> None:
    """Print the figures, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--widths", type=int, nargs="+", default=_WIDTHS, help="default: %(default)s")
    parser.add_argument("--device", default="tx2", help="default: %(default)s")
    parser.add_argument("--window", type=float, nargs=2, default=(2.0, 7.0), metavar="MS", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args()
    start = time.perf_counter()
    space = Space.backbone(tuple(args.widths))
    run = Search(space, latency=args.device, window_ms=tuple(args.window))
    done = time.perf_counter()
    (encoding,) = run.ask()
    run.tell(encoding, 70.0)
    drawn = time.perf_counter()
    report = {
        "encodings": len(space),
        "inside_window": len(run.candidates),
        "seconds": round(done - start, 2),
        "draw_s": round(drawn - done, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        // (1 << 20 if sys.platform == "darwin" else 1 << 10),
    }
    print(
        json.dumps(report, indent=2) if args.json else "\n".join(f"{key:14} {value:,}" for key, value in report.items())
    )


if __name__ == "__main__":
    main()
