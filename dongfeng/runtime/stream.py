"""Reading ahead of the network: the next image is decoded while the current one is computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Stream(Iterator[Result], Generic[Result]):
    """Results of items, in order; one item is read before it is asked for.

    An error of an item is raised in its place, and the iterator lives on. Not for several threads at once.

    Args:
        items: Any iterable, may be endless.
        read: Runs in a thread of its own, ahead of `infer`.
        infer: Turns what `read` gave into a result, in the caller's thread.
    """

    def __init__(self, items: Iterable[object], read: Callable[[object], Any], infer: Callable[[Any], Result]) -> None:
        self._items = iter(items)
        self._read = read
        self._infer = infer
        self._reader: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="dongfeng-read")
        self._ahead: Future[Any] | None = None
        self._end: Exception | None = None  # of the iterable; kept until the items before it are done

    def __next__(self) -> Result:
        if self._ahead is None:
            self._read_ahead()
        reading, self._ahead = self._ahead, None
        if reading is None:
            self.close()
            end, self._end = self._end, None
            raise StopIteration if end is None else end
        given = reading.result()
        self._read_ahead()
        return self._infer(given)

    def close(self) -> None:
        """Stop reading; an item that was read ahead is dropped."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.shutdown(wait=False, cancel_futures=True)
        self._ahead = None

    def _read_ahead(self) -> None:
        if self._reader is None or self._end is not None:
            return
        try:
            item = next(self._items)
        except Exception as error:
            self._end = error
        else:
            self._ahead = self._reader.submit(self._read, item)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # __init__ may have failed, or the interpreter be ending
            self.close()
