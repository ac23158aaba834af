"""The pictures of a direction that a report shows, with no more in memory."""

import heapq

from tfi2i.evaluate.report import Pixels, Row


class Gallery:
    """The pictures to show of one direction: the first, the best and the worst; no more in memory.

    The first checkpoint that is measured chooses them; the others add their fakes to the same.
    """

    def __init__(self, first: int = 8, extremes: int = 6):
        self._limit = extremes
        self._first_count = first
        self._first: dict[int, Row] = {}
        self._best: list[tuple[float, int, Row]] = []
        self._worst: list[tuple[float, int, Row]] = []
        self._chosen: dict[int, Row] | None = None

    def offer(self, index: int, row: Row) -> None:
        """Takes a picture in, if it is among the first, best or worst so far, and its fakes."""
        if self._chosen is not None:
            if index in self._chosen:
                self._chosen[index].fakes.update(row.fakes)
            return
        if index < self._first_count:
            self._first[index] = row
        for heap, sign in ((self._best, -1), (self._worst, 1)):
            entry = (sign * row.distance, index, row)
            if len(heap) < self._limit:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)

    def close(self) -> None:
        """Ends the choice; what is offered from now on only adds fakes."""
        extremes = {index: row for _, index, row in (*self._best, *self._worst)}
        self._chosen = self._first | extremes

    def vary(self, index: int, others: dict[str, Pixels]) -> None:
        """Adds the outputs under other values, by their names, if it is one of the first."""
        if index in self._first:
            self._first[index] = self._first[index]._replace(others=others)

    @property
    def first(self) -> list[Row]:
        return [self._first[index] for index in sorted(self._first)]

    @property
    def best(self) -> list[Row]:
        """Smallest distance first."""
        return [row for _, _, row in sorted(self._best, key=lambda entry: -entry[0])]

    @property
    def worst(self) -> list[Row]:
        """Largest distance first."""
        return [row for _, _, row in sorted(self._worst, key=lambda entry: -entry[0])]
