from __future__ import annotations

import itertools

import numpy as np
import pytest

from dongfeng.architectures import DF1, DF2, DFLITE
from dongfeng.search import Encoding, Space, precedes
from dongfeng.search.candidates import Candidates, candidates
from dongfeng.search.order import preceding

WIDTHS = (1, 2, 4)


def whole(widths: tuple[tuple[int, ...], ...], depths: tuple[tuple[int, int], ...]) -> Candidates:
    space = Space(widths, depths, lambda encoding: pytest.fail("never built"))
    return candidates(space, lambda encoding: 1.0, (0, 2))


SPACES = {
    "three stages": whole((WIDTHS,) * 3, ((1, 2), (1, 2), (1, 2))),
    "deep": whole((WIDTHS,), ((1, 6),)),
    "least depth 2": whole((WIDTHS, WIDTHS), ((2, 4), (2, 3))),
    "widths differ": whole(((1, 2), (2, 4, 8), (1, 8, 16)), ((1, 2), (1, 3), (1, 1))),
}


@pytest.fixture(params=SPACES, ids=list(SPACES))
def found(request: pytest.FixtureRequest) -> Candidates:
    return SPACES[request.param]


def order_matrix(found: Candidates) -> np.ndarray:
    """[x, y]: whether x precedes y, by the arrays."""
    columns = [preceding(found.space.stages, found.rows, found.rows[:, y]) for y in range(len(found))]
    return np.stack(columns, axis=1)


def embeds(x: Encoding, y: Encoding) -> bool:
    """Whether some order-preserving injection of blocks exists in each stage, all of them tried."""
    return all(
        any(
            all(a <= b for a, b in zip(small, chosen, strict=True))
            for chosen in itertools.combinations(big, len(small))
        )
        for small, big in zip(x, y, strict=True)
    )


def smaller_by_one_step(y: Encoding, space: Space) -> set[Encoding]:
    """Members of the space that are y with a block dropped or narrowed."""
    made = set()
    for stage, widths in enumerate(y):
        for index in range(len(widths)):
            changes = [(), *((width,) for width in space.widths[stage] if width < widths[index])]
            made |= {(*y[:stage], (*widths[:index], *new, *widths[index + 1 :]), *y[stage + 1 :]) for new in changes}
    return {x for x in made if x in space}


def test_it_is_a_partial_order(found: Candidates) -> None:
    le = order_matrix(found)
    assert le.diagonal().all()
    assert not (le & le.T & ~np.eye(len(le), dtype=bool)).any()
    reached = (le.astype(np.float32) @ le.astype(np.float32)) > 0
    assert (reached == le).all()


def test_arrays_and_function_agree_with_every_embedding_tried(found: Candidates) -> None:
    le = order_matrix(found)
    encodings = [found.encoding(number) for number in range(len(found))]
    for (i, x), (j, y) in itertools.product(enumerate(encodings), repeat=2):
        assert le[i, j] == precedes(x, y) == embeds(x, y)


def test_it_is_the_closure_of_dropping_and_narrowing_blocks_inside_the_space(found: Candidates) -> None:
    encodings = [found.encoding(number) for number in range(len(found))]
    below: dict[Encoding, set[Encoding]] = {}
    for y in sorted(encodings, key=lambda e: (sum(map(len, e)), sum(map(sum, e)))):  # steps lead to earlier ones
        below[y] = {y}.union(*(below[x] for x in smaller_by_one_step(y, found.space)))
    le = order_matrix(found)
    for j, y in enumerate(encodings):
        assert {encodings[i] for i in np.flatnonzero(le[:, j])} == below[y]


def test_counts_of_blocks_at_least_as_wide_tell_the_order(found: Candidates) -> None:
    le = order_matrix(found)
    pairs = zip(found.space.stages, found.rows, strict=True)
    counts = np.hstack([stage.counts[rows] for stage, rows in pairs])
    assert ((counts[:, None] <= counts[None]).all(axis=2) == le).all()


def test_the_released_backbones_stand_in_their_order() -> None:
    assert precedes(DFLITE.encoding, DF1.encoding)
    assert precedes(DF1.encoding, DF2.encoding)
    assert not precedes(DF2.encoding, DF1.encoding)
    assert not precedes(((64,),), DF1.encoding)
