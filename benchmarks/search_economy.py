"""How many evaluations each way of searching needs, on a modelled accuracy.

    python benchmarks/search_economy.py [--seeds N] [--noise POINTS --margin POINTS] [--full] [--json]

Task: backbones on the TX2 between 2 and 7 ms; five widths and up to 4, 8 and 6 blocks per stage (--full: up to 4, 12
and 8). Counted are evaluations until the hypervolume of what was evaluated is within 1 % of that of the exhaustive
frontier. The reference corner is 7 ms and the least accuracy of the window; accuracies in it are true ones, also where
the searches see noisy ones. Searches that do not get there within --cap evaluations count as the cap.

Accuracy of an encoding x, in points of ImageNet top-1: a power law, as errors fall with the size of networks.

    Acc(x) = a - b exp(-k Q(x)),   Q(x) = -1/r log sum_s v_s exp(-r u_s(x)),   u_s(x) = log sum_i (width_i / 64)^p

u_s grows with every block and width of stage s, so Acc obeys the order. Per seed, the asymptote a is drawn from 77 to
82 points, the weights v of the stages about equal ones (Dirichlet, concentration 10), and how badly stages stand in for
each other, r, from 0.1 to 1. b, k and p are then what puts DF1 at 69.78, DF2 at 73.92 and ((128, 128), (256, 256),
(512, 512)) at 69.0; ResNet-18 is that behind a stem that the space does not have.

Contestants: uniform sampling without pruning ("random"); with pruning, as in the paper ("uniform"); the "surrogate"
sampler with pruning; regularised evolution (Real et al. 2019; population 50, tournaments of 25 for the most accurate
under a latency drawn for each, one step of the order up or down as mutation); NSGA-II of pymoo (population 40, one gene
per block, 0 for none, repaired to non-decreasing widths; constrained to the window). What lies outside the window, or
was evaluated before, costs neither of the latter two anything. Their settings were the best of six and of three tried
on other seeds. The number pruned after 200 evaluations is the median of all
seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.architectures import DF1, DF2
from dongfeng.devices import load_profile
from dongfeng.search import Encoding, Search, Space, Step, frontier, hypervolume, step_latencies_ms
from dongfeng.search.candidates import Candidates, candidates
from dongfeng.search.latency import steps_of

WINDOW_MS = (2.0, 7.0)
SMALLER = ((1, 4), (1, 8), (1, 6))
CALIBRATION = {DF1.encoding: 69.78, DF2.encoding: 73.92, ((128, 128), (256, 256), (512, 512)): 69.0}
CLOSE = 0.99
PAPER = {"evaluated": 200, "pruned": 438}
Array = npt.NDArray[Any]


class Accuracy:
    """The accuracy model of one seed."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        while True:
            self.asymptote, self.weights = rng.uniform(77, 82), rng.dirichlet([10.0] * 3)
            self.rigidity = rng.uniform(0.1, 1)
            if self._calibrate():
                return

    def sizes(self, widths: Array) -> Array:
        """Return u_s of rows of widths, 0 for no block."""
        return np.log(((widths / 64) ** self.power).sum(axis=-1))

    def quality(self, sizes: Array) -> Array:
        """Return Q of u (stages, ...)."""
        parts = (v * np.exp(-self.rigidity * u) for v, u in zip(self.weights, sizes, strict=True))
        return -np.log(sum(parts)) / self.rigidity

    def of_all(self, found: Candidates) -> Array:
        """Return the accuracies of candidates, (n,)."""
        pairs = zip(found.space.stages, found.rows, strict=True)
        return self._points(self.quality([self.sizes(stage.widths)[rows] for stage, rows in pairs]))

    def _points(self, quality: Array) -> Array:
        return self.asymptote - np.exp(self.offset - self.slope * quality)

    def _calibrate(self) -> bool:
        """Solve for b, k and p; return False where no p fits."""
        errors = np.log(self.asymptote - np.array(list(CALIBRATION.values())))
        low, high = 0.01, 3.0
        for _ in range(60):
            self.power = (low + high) / 2
            qualities = [
                float(self.quality([self.sizes(np.array(widths)) for widths in encoding])) for encoding in CALIBRATION
            ]
            self.slope = (errors[0] - errors[1]) / (qualities[1] - qualities[0])
            self.offset = errors[0] + self.slope * qualities[0]
            too_good = self.slope * (qualities[2] - qualities[0]) > errors[0] - errors[2]
            low, high = (low, self.power) if too_good else (self.power, high)
        return bool(0.02 < self.power < 2.9 and self.slope > 0)


class Task:
    """The candidates of the window, their true accuracies, and those that a search sees."""

    def __init__(self, space: Space, steps: dict[Step, float], seed: int, noise: float, corner: str) -> None:
        self.space, self.steps, self.seed = space, steps, seed
        self.found = candidates(space, steps, WINDOW_MS)
        self.truth = Accuracy(seed).of_all(self.found)
        self.seen = self.truth + noise * np.random.default_rng([seed, 1]).standard_normal(len(self.truth))
        front = frontier(self.found.latency_ms, self.truth)
        self.reference = (WINDOW_MS[1], float((self.truth[front] if corner == "frontier" else self.truth).min()))
        self.whole = self.covered(front)
        # rows of the stages -> number of the candidate
        self._number = {tuple(rows): number for number, rows in enumerate(self.found.rows.T.tolist())}

    def number(self, encoding: Encoding) -> int | None:
        """Return the number of an encoding, None outside the window or the space."""
        if encoding not in self.space:
            return None
        rows = (stage.row(widths) for stage, widths in zip(self.space.stages, encoding, strict=True))
        return self._number.get(tuple(rows))

    def accuracy(self, encoding: Encoding) -> float:
        """Return the accuracy that a search sees of a candidate, noise included."""
        number = self.number(encoding)
        assert number is not None
        return float(self.seen[number])

    def covered(self, numbers: Array) -> float:
        """Return the hypervolume of some candidates by their true accuracies."""
        return hypervolume(self.found.latency_ms[numbers], self.truth[numbers], self.reference)

    def needed(self, evaluated: Iterator[int], cap: int) -> int:
        """Count the evaluations until the hypervolume is close to the whole, at most `cap`."""
        corner = np.array([self.reference[0]]), np.array([self.reference[1]])
        ms, best = corner
        for count, number in enumerate(evaluated, 1):
            ms = np.append(ms, self.found.latency_ms[number])
            best = np.append(best, self.truth[number])
            kept = frontier(ms, best)
            if len(ms) - 1 in kept and hypervolume(ms[kept], best[kept], self.reference) >= CLOSE * self.whole:
                return count
            ms, best = ms[kept], best[kept]
            if count >= cap:
                break
        return cap


def random_search(task: Task, margin: float) -> Iterator[int]:
    """Evaluate candidates in random order, without pruning."""
    yield from np.random.default_rng(task.seed).permutation(len(task.truth)).tolist()


def pruned_search(sampler: str) -> Callable[[Task, float], Iterator[int]]:
    """Return our search with a sampler, as a method."""

    def run(task: Task, margin: float) -> Iterator[int]:
        search = _ours(task, margin, sampler)
        while drawn := search.ask():
            number = task.number(drawn[0])
            assert number is not None
            yield number
            search.tell(drawn[0], task.accuracy(drawn[0]))

    return run


def _ours(task: Task, margin: float, sampler: str) -> Search:
    return Search(task.space, latency=task.steps, window_ms=WINDOW_MS, seed=task.seed, margin=margin, sampler=sampler)


def evolution(task: Task, margin: float, population: int = 50, tournament: int = 25) -> Iterator[int]:
    """Evaluate by regularised evolution: the oldest dies."""
    rng = np.random.default_rng(task.seed)
    alive: deque[int] = deque()
    known: set[int] = set()
    while True:
        if len(alive) < population:
            child: int | None = int(rng.integers(len(task.truth)))
        else:
            limit_ms = rng.uniform(*WINDOW_MS)
            drawn = rng.choice(np.array(alive), tournament, replace=False)
            fast = drawn[task.found.latency_ms[drawn] <= limit_ms]
            parent = fast[np.argmax(task.seen[fast])] if len(fast) else drawn[np.argmin(task.found.latency_ms[drawn])]
            child = task.number(mutated(task.found.encoding(int(parent)), task.space, rng))
        if child is None:
            continue
        alive.append(child)
        if len(alive) > population:
            alive.popleft()
        if child not in known:
            known.add(child)
            yield child


def mutated(encoding: Encoding, space: Space, rng: np.random.Generator) -> Encoding:
    """Drop, double, widen or narrow a block, and make widths non-decreasing again."""
    stage = int(rng.integers(len(encoding)))
    widths, choices = list(encoding[stage]), list(space.widths[stage])
    index, change = int(rng.integers(len(widths))), rng.integers(4)
    if change == 0:
        del widths[index]
    elif change == 1:
        widths.insert(index, widths[index])
    else:
        place = choices.index(widths[index]) + (1 if change == 2 else -1)
        widths[index] = choices[min(max(place, 0), len(choices) - 1)]
        widths = [max(w, widths[index]) if i > index else min(w, widths[index]) for i, w in enumerate(widths)]
    changed = (*encoding[:stage], tuple(widths), *encoding[stage + 1 :])
    return tuple(changed)


def nsga2(task: Task, margin: float, population: int = 40) -> Iterator[int]:
    """Evaluate by NSGA-II of pymoo, through its ask and tell."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.problems.static import StaticProblem

    choices, depths = task.space.widths[0], task.space.depths
    genes = sum(most for _, most in depths)
    problem = Problem(n_var=genes, n_obj=2, n_ieq_constr=1, xl=0, xu=len(choices), vtype=int)
    algorithm = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=NoTermination(), seed=task.seed, verbose=False)
    known: set[int] = set()
    while True:
        asked = algorithm.ask()
        goals, outside = [], []
        for individual in asked.get("X"):
            encoding = decoded(individual, choices, depths)
            number = task.number(encoding)
            if number is None:
                ms = sum(task.steps[step] for step in steps_of(encoding))
                goals.append((ms, 0.0))
                outside.append(max(ms - WINDOW_MS[1], WINDOW_MS[0] - ms))
                continue
            goals.append((float(task.found.latency_ms[number]), -float(task.seen[number])))
            outside.append(0.0)
            if number not in known:
                known.add(number)
                yield number
        Evaluator().eval(StaticProblem(problem, F=np.array(goals), G=np.array(outside)[:, None]), asked)
        algorithm.tell(infills=asked)


def decoded(individual: Array, choices: Any, depths: Any) -> Encoding:
    """Decode genes: 0 is no block, the others are sorted, as widths must not decrease."""
    ordered = np.sort(individual[individual > 0])[::-1].tolist() or [1]
    encoding, start = [], 0
    counts = []
    for least, most in depths:
        counts.append(max(int((individual[start : start + most] > 0).sum()), least))
        start += most
    ordered += [ordered[-1]] * (sum(counts) - len(ordered))
    for count in counts:
        encoding.append(tuple(choices[int(ordered.pop()) - 1] for _ in range(count)))
    return tuple(encoding)


METHODS: dict[str, Callable[[Task, float], Iterator[int]]] = {
    "random": random_search,
    "uniform": pruned_search("uniform"),
    "surrogate": pruned_search("surrogate"),
    "evolution": evolution,
    "nsga2": nsga2,
}


def account(task: Task, margin: float, sampler: str) -> dict[str, int]:
    """Count the evaluated and the pruned when as many are evaluated as in the paper."""
    search = _ours(task, margin, sampler)
    for _ in range(PAPER["evaluated"]):
        for encoding in search.ask():
            search.tell(encoding, task.accuracy(encoding))
    result = search.result()
    return {"evaluated": len(result.evaluated), "pruned": result.pruned}


def main() -> None:
    """Print a line for each method, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="default: %(default)s")
    parser.add_argument("--noise", type=float, default=0.0, metavar="POINTS", help="standard deviation of accuracies")
    parser.add_argument("--margin", type=float, default=0.0, metavar="POINTS", help="of our two searches")
    parser.add_argument("--cap", type=int, default=6000, metavar="N", help="evaluations at most (default: %(default)s)")
    parser.add_argument("--corner", choices=("window", "frontier"), default="window", help="whose least accuracy")
    parser.add_argument("--full", action="store_true", help="the default space")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args()
    space = Space.backbone() if args.full else Space.backbone(depths=SMALLER)
    steps = step_latencies_ms(space, load_profile("tx2"))
    needed: dict[str, list[int]] = {method: [] for method in args.methods}
    accounts: dict[str, list[int]] = {"uniform": [], "surrogate": []}
    for seed in range(args.seeds):
        task = Task(space, steps, seed, args.noise, args.corner)
        for method in args.methods:
            needed[method].append(task.needed(METHODS[method](task, args.margin), args.cap))
        for sampler, counts in accounts.items():
            counts.append(account(task, args.margin, sampler)["pruned"])
        print(seed, {method: counts[-1] for method, counts in needed.items()}, file=sys.stderr, flush=True)
    report = {"candidates": len(task.truth), **_summary(needed, accounts, args.cap)}
    print(json.dumps(report, indent=2) if args.json else _lines(report))


def _summary(needed: dict[str, list[int]], accounts: dict[str, list[int]], cap: int) -> dict[str, Any]:
    base = statistics.median(needed["random"]) if "random" in needed else None
    rows = {}
    for method, counts in needed.items():
        low, middle, high = np.quantile(counts, [0.25, 0.5, 0.75]).tolist()
        share = round(middle / base, 4) if base else None
        rows[method] = {"median": middle, "quartiles": [low, high], "of_random": share, "capped": counts.count(cap)}
    pruned = {sampler: statistics.median(counts) for sampler, counts in accounts.items()}
    return {"evaluations": rows, "pruned_at_200": {**pruned, "paper": PAPER["pruned"]}}


def _lines(report: dict[str, Any]) -> str:
    lines = [f"{report['candidates']:,} architectures in the window"]
    for method, row in report["evaluations"].items():
        low, high = row["quartiles"]
        lines.append(
            f"{method:10} {row['median']:7.0f} evaluations ({low:.0f} to {high:.0f}), {row['of_random']} of random's, "
            f"{row['capped']} at the cap"
        )
    pruned = ", ".join(f"{name} {count:.0f}" for name, count in report["pruned_at_200"].items())
    return "\n".join([*lines, f"pruned when {PAPER['evaluated']} were evaluated: {pruned}"])


if __name__ == "__main__":
    main()
