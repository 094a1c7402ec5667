"""Reading what `trtexec` prints, from TensorRT 5 to 10.

Five generations of text are known. 5 and 6 print an average of every ten runs; 7 prints blocks with one figure a line;
8.0 to 8.3 a summary with one quantity a line, among them an end-to-end latency; 8.4 leaves that out; 8.5 and later give
three percentiles. The layers' times, `--exportProfile`, are read by `profile`.

Source: logs in NVIDIA's public issues; NVIDIA TensorRT, samples/common/sampleReporting.cpp.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from dongfeng.backends.tensorrt.trtexec.profile import TrtexecLayer
from dongfeng.errors import DeviceError

_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
_STAMP = re.compile(r"^(?:\[[^\]\s]*\] )?\[[VIWEF]\] ?")  # "[06/12/2022-22:34:00] [I] "
_BANNER = re.compile(r"&&&& \w+ TensorRT\.trtexec \[TensorRT v(\d+)\]")
_VERSION = re.compile(r"TensorRT version: (\d+(?:\.\d+)+)")
_SUMMARY = "=== Performance summary ==="
_AVERAGE_OF_5 = re.compile(rf"Average over \d+ runs is {_NUMBER} ms \(host walltime is {_NUMBER} ms, .*\)\.")
_AVERAGE_OF_7 = re.compile(rf"Average on \d+ runs - GPU latency: {_NUMBER} ms - Host latency: {_NUMBER} ms \(.*\)")
_FIGURE_OF_7 = re.compile(rf"(min|max|mean|median|percentile): {_NUMBER} ms(?: at ([0-9.]+)%)?(?: \(end to end .*\))?")
_FIGURE_OF_8 = re.compile(rf"(min|max|mean|median|percentile\([0-9.]+%\)) = {_NUMBER} ms")
_THROUGHPUT = re.compile(rf"throughput: {_NUMBER} qps", re.IGNORECASE)
_CONSEQUENCE = re.compile(
    r"(?:set up|Parsing model|Building engine) failed|Failed to (?:create|parse|build)", re.IGNORECASE
)
_MOST_SHOWN = 300  # characters of a line of trtexec's in a message
_EXPECTED = 'expected trtexec\'s summary ("GPU Compute Time: min = ... ms, ... median = ... ms"), TensorRT 5 to 10'


@dataclass(frozen=True)
class Latency:
    """Statistics of one time over all runs, in milliseconds; None where that trtexec does not print them."""

    mean_ms: float
    median_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True)
class TrtexecTiming:
    """One run of trtexec.

    Attributes:
        gpu: Time of the network alone, on the GPU.
        host: With the copies to the GPU and back.
        throughput_qps: Runs per second; None where it is not known (old ones print 0).
        version: TensorRT's, such as "8.4.0"; None where it is not printed.
        layers: Time of each layer, from a profile of a run of its own, which is slower as a whole.
    """

    gpu: Latency
    host: Latency | None
    throughput_qps: float | None
    version: str | None
    layers: tuple[TrtexecLayer, ...] = ()

    @property
    def headline(self) -> str:
        """Name of the statistic that `latency_ms` is: "median", or "mean" where no median is printed."""
        return "mean" if self.gpu.median_ms is None else "median"

    @property
    def latency_ms(self) -> float:
        """Milliseconds of the network alone."""
        return self.gpu.mean_ms if self.gpu.median_ms is None else self.gpu.median_ms


def parse_timing(text: str) -> TrtexecTiming:
    """Read what one run of trtexec has printed, stdout and stderr together or stdout alone.

    Args:
        text: The whole output, or its part from the summary on.

    Raises:
        DeviceError: trtexec has failed (with its own error), the text holds no summary or one that is cut off, or more
            than one run.
    """
    if "&&&& FAILED" in text:
        raise DeviceError(f"trtexec failed: {last_error(text)}")
    lines = [_STAMP.sub("", line).rstrip() for line in text.splitlines()]
    found = [read for generation in (_read_8, _read_7, _read_5) if (read := generation(lines))]
    if not found:
        raise DeviceError(f"not the output of a whole run of trtexec: {_EXPECTED}; {_ending(lines)}")
    gpu, host = found[0]
    return TrtexecTiming(gpu, host, _throughput(lines), version_of(text))


def last_error(text: str) -> str:
    """Return trtexec's last error that is a cause, printable and in one line.

    "Engine set up failed" and its like only follow from a cause.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\[[EF]\]", line)]
    causes = [line for line in errors if not _CONSEQUENCE.search(line)]
    last = next((found[-1] for found in (causes, errors, lines) if found), "it printed nothing")
    return _shown(_STAMP.sub("", last))


def version_of(text: str) -> str | None:
    """Return TensorRT's version as printed, or taken from the banner: v8401 is 8.4.1 and v100300 is 10.3.0."""
    printed = _VERSION.search(text)
    if printed:
        return printed[1]
    banner = _BANNER.search(text)
    if not banner:
        return None
    number = int(banner[1])
    major, rest = divmod(number, 10_000 if number >= 100_000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def _read_8(lines: Sequence[str]) -> tuple[Latency, Latency | None] | None:
    starts = [index for index, line in enumerate(lines) if line == _SUMMARY]
    if not starts:
        return None
    if len(starts) > 1:
        raise DeviceError(f"output of {len(starts)} runs of trtexec, expected one: give the part of a single run")
    quantities = dict(line.split(": ", 1) for line in lines[starts[0] :] if ": " in line)
    if "GPU Compute Time" not in quantities:
        raise DeviceError(f'trtexec\'s summary is cut off: no line "GPU Compute Time"; {_ending(lines)}')
    host = _line_of_8("Latency", quantities) if "Latency" in quantities else None
    return _line_of_8("GPU Compute Time", quantities), host


def _line_of_8(name: str, quantities: Mapping[str, str]) -> Latency:
    figures: dict[str, float] = {}
    for part in quantities[name].split(", "):
        match = _FIGURE_OF_8.fullmatch(part)
        if not match:
            raise DeviceError(f'trtexec\'s line "{name}" is damaged: expected "median = 1.5 ms", got "{_shown(part)}"')
        figures[match[1]] = float(match[2])
    return _latency(name, figures, p99=figures.get("percentile(99%)"))


def _read_7(lines: Sequence[str]) -> tuple[Latency, Latency | None] | None:
    """Read the block "GPU Compute"; where a log leaves it out, the mean of the averages, if the run got to its end."""
    if "Host Latency" not in lines:
        return None
    host = _block_of_7("Host Latency", lines)
    if "GPU Compute" in lines:
        return _block_of_7("GPU Compute", lines), host
    averages = [float(match[1]) for line in lines if (match := _AVERAGE_OF_7.fullmatch(line))]
    if not averages:
        raise DeviceError(f'trtexec\'s output is cut off: no block "GPU Compute"; {_ending(lines)}')
    return Latency(_checked("GPU latency", fmean(averages))), host


def _block_of_7(name: str, lines: Sequence[str]) -> Latency:
    figures: dict[str, float] = {}
    p99 = None
    for line in lines[lines.index(name) + 1 :]:
        match = _FIGURE_OF_7.fullmatch(line)
        if not match:
            break
        figures[match[1]] = float(match[2])
        if match[1] == "percentile" and match[3] == "99":
            p99 = float(match[2])
    return _latency(name, figures, p99)


def _read_5(lines: Sequence[str]) -> tuple[Latency, Latency | None] | None:
    """Read the averages of ten runs each; the percentiles are left out, for of ten runs they are the largest."""
    averages = [match.groups() for line in lines if (match := _AVERAGE_OF_5.fullmatch(line))]
    if not averages:
        return None
    gpu, host = ([float(pair[index]) for pair in averages] for index in (0, 1))
    return Latency(_checked("GPU time", fmean(gpu))), Latency(_checked("host walltime", fmean(host)))


def _latency(name: str, figures: Mapping[str, float], p99: float | None) -> Latency:
    """Check that the figures can be true of one list of times."""
    missing = [key for key in ("min", "max", "mean", "median") if key not in figures]
    if missing:
        raise DeviceError(f'trtexec\'s "{name}" is cut off: {missing[0]} is missing')
    low, high = figures["min"], figures["max"]
    for key, value in figures.items():
        if not low <= _checked(f"{name}: {key}", value) <= high:
            raise DeviceError(f'trtexec\'s "{name}" is damaged: {key} {value:g} ms is not within {low:g}..{high:g} ms')
    return Latency(figures["mean"], figures["median"], low, high, p99)


def _checked(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise DeviceError(f'trtexec\'s "{name}" is damaged: {value:g} ms is no time')
    return value


def _throughput(lines: Sequence[str]) -> float | None:
    found = [float(match[1]) for line in lines if (match := _THROUGHPUT.fullmatch(line))]
    return found[-1] if found and found[-1] > 0 else None


def _ending(lines: Sequence[str]) -> str:
    written = [line for line in lines if line]
    return f'it ends with "{_shown(written[-1])}"' if written else "it is empty"


def _shown(text: str) -> str:
    """Return text in one line of limited length, without the control sequences that a board may print."""
    plain = "".join(char if char.isprintable() else " " for char in text).strip()
    return plain if len(plain) <= _MOST_SHOWN else f"{plain[:_MOST_SHOWN]}..."
