"""What was measured: every value of every round, and why a figure is missing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured."""

    key: str
    title: str
    unit: str
    #: Heading of the table that it stands in.
    group: str
    #: Digits after the point.
    digits: int = 0
    #: None where the figure only explains others.
    more_is_better: bool | None = True


class Figures:
    """Values and failures, by metric and peer."""

    def __init__(self, metrics: list[Metric], peers: dict[str, str]) -> None:
        """Know what will come: `peers` are names and titles."""
        self.metrics = metrics
        self.peers = peers
        self._values: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._failures: dict[tuple[str, str], str] = {}
        #: What failed, and why.
        self.failures: dict[str, str] = {}

    def add(self, peer: str, values: dict[str, float]) -> None:
        """Keep the values of one round, by the keys of their metrics."""
        for key, value in values.items():
            self._values[key, peer].append(value)

    def fail(self, peer: str, bench: str, metrics: list[Metric], reason: str) -> None:
        """Say why figures are missing; one round that failed spoils the others, whose values are still kept."""
        self.failures[f"{bench}, {self.peers[peer]}"] = reason
        for metric in metrics:
            self._failures[metric.key, peer] = reason

    def value(self, metric: Metric, peer: str) -> float | None:
        """Give the median of all rounds; None if there is none, or a round failed."""
        values = self._values.get((metric.key, peer))
        return median(values) if values and (metric.key, peer) not in self._failures else None

    def failure(self, metric: Metric, peer: str) -> str | None:
        """Say why there is no figure."""
        return self._failures.get((metric.key, peer))

    @property
    def groups(self) -> dict[str, list[Metric]]:
        """The metrics by the heading of their table; those that nobody has a word on are left out."""
        known = {key for key, _ in (*self._values, *self._failures)}
        groups = defaultdict(list)
        for metric in self.metrics:
            if metric.key in known:
                groups[metric.group].append(metric)
        return dict(groups)

    def as_data(self) -> list[dict[str, Any]]:
        """Give all as data for JSON."""
        return [
            {
                **asdict(metric),
                "peers": {
                    peer: {
                        "median": self.value(metric, peer),
                        "values": self._values.get((metric.key, peer), []),
                        "failure": self.failure(metric, peer),
                    }
                    for peer in self.peers
                    if (metric.key, peer) in self._values or self.failure(metric, peer)
                },
            }
            for metrics in self.groups.values()
            for metric in metrics
        ]
