"""An iterator that keeps several items in progress in threads of its own, and gives their results in order."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class ResultIterator(Iterator[Result], Generic[Result]):
    """Iterates over the results of items, in order, taking as many items ahead of the caller as there are workers.

    So while the network works on some images, others are read, and the labels of others computed. An error of an item
    is raised in its place, and the iterator lives on. Not for several threads at once.

    Args:
        items: Any iterable, may be endless; it is advanced in the caller's thread.
        work: Turns an item into a result; runs in the workers' threads.
        workers: Number of items in progress at once.
    """

    def __init__(self, items: Iterable[object], work: Callable[[Any], Result], workers: int) -> None:
        self._items = iter(items)
        self._work = work
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(workers, thread_name_prefix="dongfeng-stream")
        self._ahead: deque[Future[Result]] = deque()
        self._end: Exception | None = None  # what ended the iterable; kept until the items before it are done

    def __next__(self) -> Result:
        self._take_ahead()
        if not self._ahead:
            self.close()
            end, self._end = self._end, None
            raise StopIteration if end is None else end
        done = self._ahead.popleft()
        try:
            return done.result()
        finally:
            self._take_ahead()

    def close(self) -> None:
        """Drop the items that were taken ahead; those in progress are finished in the background."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        self._ahead.clear()

    def _take_ahead(self) -> None:
        while self._pool is not None and self._end is None and len(self._ahead) < self._workers:
            try:
                item = next(self._items)
            except Exception as error:
                self._end = error
            else:
                self._ahead.append(self._pool.submit(self._work, item))

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # __init__ may have failed, or the interpreter be ending
            self.close()
