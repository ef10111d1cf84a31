"""The history of a run of `fit`: each metric's value for each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


class History(Mapping[str, list[float]]):
    """Metrics by name, one value per epoch: "loss", "lr", "seconds", and "val_loss", "val_accuracy", ... with
    validation data.

    `interrupted` is True after Ctrl-C, and `stopped` is the reason why the run ended early ("" if it did not). Only
    complete epochs are counted.
    Example: history["loss"][-1]; dict(history); history.last
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self.epochs = 0
        self.interrupted = False
        self.stopped = ""

    def extend(self, metrics: Mapping[str, Sequence[float]]) -> None:
        """Add one or several epochs: for each metric as many floats as there are epochs."""
        counts = {name: len(values) for name, values in metrics.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"history: every metric needs a value for each epoch, got {counts}")
        new = counts.popitem()[1]
        for name, values in metrics.items():
            column = self._values.setdefault(name, [float("nan")] * self.epochs)
            column.extend(values)
        self.epochs += new
        for name in self._values.keys() - metrics.keys():
            self._values[name].extend([float("nan")] * new)

    @property
    def last(self) -> dict[str, float]:
        """The latest epoch's metrics; empty before the first epoch has ended."""
        return {name: values[-1] for name, values in self._values.items()}

    def to_dict(self) -> dict[str, list[float]]:
        """A plain copy, ready for JSON or a table."""
        return {name: list(values) for name, values in self._values.items()}

    def __getitem__(self, name: str) -> list[float]:
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(self._values) or "nothing yet: no epoch has ended"
            raise KeyError(f"history has no {name!r}, it has {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={value:.4g}" for name, value in self.last.items())
        return f"<History of {self.epochs} epochs: {last}>" if last else "<History of 0 epochs>"
