"""One figure, its floor and its limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`value` and `floor` are in `unit`. `limit` is on the ratio value/floor, or on the value when `absolute`.

    `at_least`: the limit is a lower one.
    """

    name: str
    value: float
    unit: str
    limit: float
    floor: float | None = None
    floor_name: str = ""
    absolute: bool = False
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def good(self) -> bool:
        judged = self.value if self.absolute or self.ratio is None else self.ratio
        return judged >= self.limit if self.at_least else judged <= self.limit


def show(figure: Figure) -> str:
    """One line for people."""
    sign = ">=" if figure.at_least else "<="
    limit = f"{sign} {figure.limit:g}{' ' + figure.unit if figure.absolute else ' x floor'}"
    floor = (
        f"  floor {figure.floor:.2f} {figure.unit} ({figure.floor_name})  ratio {figure.ratio:.2f}"
        if figure.floor
        else ""
    )
    return f"{'ok  ' if figure.good else 'OVER'}  {figure.name}: {figure.value:.2f} {figure.unit}{floor}  limit {limit}"


def median(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
