"""The pictures of a direction that a report shows, with no more in memory."""

from tfi2i.evaluate.report import Pixels, Row


class Gallery:
    """The pictures to show of one direction: the first, the best and the worst; no more in memory.

    The first checkpoint that is measured chooses them; the others add their fakes to the same.
    """

    def __init__(self, first: int = 8, extremes: int = 6):
        self._count, self._extremes, self._closed = first, extremes, False
        self._first: dict[int, Row] = {}
        self._best: dict[int, Row] = {}
        self._worst: dict[int, Row] = {}

    def offer(self, index: int, row: Row) -> None:
        """Takes a picture in, if it is among the first, best or worst so far, and its fakes."""
        if self._closed:
            for group in (self._first, self._best, self._worst):
                if index in group:
                    group[index].fakes.update(row.fakes)
            return
        if index < self._count:
            self._first[index] = row
        self._best = self._ordered(self._best | {index: row})
        self._worst = self._ordered(self._worst | {index: row}, reverse=True)

    def _ordered(self, rows: dict[int, Row], reverse: bool = False) -> dict[int, Row]:
        ordered = sorted(rows.items(), key=lambda item: item[1].distance, reverse=reverse)
        return dict(ordered[: self._extremes])

    def close(self) -> None:
        """Ends the choice; what is offered from now on only adds fakes."""
        self._closed = True

    def vary(self, index: int, others: dict[str, Pixels]) -> None:
        """Adds the outputs under other values, by their names, if it is one of the first."""
        if index in self._first:
            self._first[index] = self._first[index]._replace(others=others)

    @property
    def first(self) -> list[Row]:
        return list(self._first.values())

    @property
    def best(self) -> list[Row]:
        """Smallest distance first."""
        return list(self._best.values())

    @property
    def worst(self) -> list[Row]:
        """Largest distance first."""
        return list(self._worst.values())
