"""Small drawings for documents and pages, as SVG. Pure.

Their colours are legible on light and on dark paper.
"""

from collections.abc import Sequence
from typing import Final

LINE: Final = "#8a857a"
SIGNAL: Final = "#d4562b"
WIDTH, HEIGHT, MARGIN = 152, 34, 3
"""Of a trend, in pixels."""
BULLET_WIDTH, BULLET_HEIGHT = 220, 18


def trend_svg(ages: Sequence[int], values: Sequence[float], line: float | None) -> str:
    """Values over time with the newest marked, and the goal or limit as a dashed line."""
    around = [*values, values[0] if line is None else line]
    low, high = min(around), max(around)

    def across(age: int) -> float:
        return round(MARGIN + (WIDTH - 2 * MARGIN) * age / (ages[-1] or 1), 1)

    def down(value: float) -> float:
        return round(MARGIN + (HEIGHT - 2 * MARGIN) * (high - value) / ((high - low) or 1), 1)

    places = [(across(age), down(value)) for age, value in zip(ages, values, strict=True)]
    points = " ".join(f"{x:g},{y:g}" for x, y in places)
    drawn = f'<polyline points="{points}" fill="none" stroke="{LINE}" stroke-width="1.5"/>'
    if line is not None:
        y = down(line)
        drawn = f'<line x1="0" x2="{WIDTH}" y1="{y}" y2="{y}" stroke="{LINE}" stroke-dasharray="3 3"/>{drawn}'
    x, y = places[-1]
    return _svg(WIDTH, HEIGHT, f'{drawn}<circle cx="{x}" cy="{y}" r="2.6" fill="{SIGNAL}"/>')


def bullet_svg(
    ends: tuple[float, float], value: float, interval: tuple[float, float], goal: float | None, *, is_missed: bool
) -> str:
    """A value as a dot on a scale between two ends, its interval as a band, and its goal as a line across."""
    low, high = ends

    def across(at: float) -> float:
        return round(6 + (BULLET_WIDTH - 12) * (at - low) / ((high - low) or 1), 1)

    middle, color = BULLET_HEIGHT / 2, SIGNAL if is_missed else LINE
    first, last = across(interval[0]), across(interval[1])
    drawn = f'<line x1="0" x2="{BULLET_WIDTH}" y1="{middle}" y2="{middle}" stroke="{LINE}" stroke-opacity="0.3"/>'
    drawn += f'<rect x="{first}" y="{middle - 4}" width="{max(last - first, 1)}" height="8" fill="{color}" '
    drawn += 'fill-opacity="0.36"/>'
    if goal is not None:
        drawn += f'<line x1="{across(goal)}" x2="{across(goal)}" y1="0" y2="{BULLET_HEIGHT}" stroke="{LINE}" '
        drawn += 'stroke-width="2.2"/>'
    return _svg(
        BULLET_WIDTH, BULLET_HEIGHT, f'{drawn}<circle cx="{across(value)}" cy="{middle}" r="4.4" fill="{color}"/>'
    )


def _svg(width: int, height: int, drawn: str) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{drawn}</svg>'
