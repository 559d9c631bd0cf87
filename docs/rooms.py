"""The rooms of the package and what they import of each other, read from the source: as Mermaid text, SVG and table.

A room is a folder of the top two levels, or a module at the root. An arrow means "imports". Diagrams leave out an arrow
where a longer path of arrows leads to the same room; the table has them all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["arrows", "floors", "mermaid", "reduced", "rooms", "svg", "table"]

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "faultwise"
_WIDTH, _BOX, _HEIGHT, _FLOOR, _GAP = 860, 8.2, 30, 72, 18
_INK, _RULE, _FILL, _FONT = "#1b2026", "#8a94a0", "#eef3f9", "system-ui, sans-serif"


@cache
def _modules() -> dict[str, ast.Module]:
    made = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        made[name] = ast.parse(file.read_text(encoding="utf-8"))
    return made


def _room(module: str) -> str:
    parts = module.split(".")
    folder = parts if PACKAGE.joinpath(*parts).is_dir() else parts[:-1]
    return ".".join(folder[:2]) if folder else parts[0]


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for full in names:
            package, _, inner = full.partition(".")
            known = inner if inner in _modules() else inner.rpartition(".")[0]
            if package == "faultwise" and known:
                yield known


@cache
def arrows() -> dict[str, frozenset[str]]:
    """Return for each room which others it imports, also inside functions."""
    made: dict[str, set[str]] = {_room(name): set() for name in _modules() if name}
    for name, tree in _modules().items():
        if name:
            made[_room(name)] |= {_room(other) for other in _imported(tree)} - {_room(name)}
    return {room: frozenset(others) for room, others in made.items()}


@cache
def floors() -> dict[str, int]:
    """Return for each room the length of the longest path of arrows below it. Raises ValueError for a circle."""
    known: dict[str, int] = {}

    def floor(room: str, above: tuple[str, ...] = ()) -> int:
        if room in above:
            raise ValueError("Rooms import each other: " + " -> ".join((*above[above.index(room) :], room)))
        if room not in known:
            known[room] = max((floor(other, (*above, room)) + 1 for other in sorted(arrows()[room])), default=0)
        return known[room]

    return {room: floor(room) for room in sorted(arrows())}


def rooms() -> list[str]:
    """Return all rooms, from the highest to the lowest."""
    return sorted(arrows(), key=lambda room: (-floors()[room], room))


@cache
def reduced() -> dict[str, tuple[str, ...]]:
    """Return the arrows that are left when those that a longer path replaces are left out."""
    below: dict[str, set[str]] = {}
    for room in reversed(rooms()):
        below[room] = {far for other in arrows()[room] for far in (other, *below[other])}
    order = rooms().index
    return {
        room: tuple(sorted((o for o in arrows()[room] if not any(o in below[p] for p in arrows()[room])), key=order))
        for room in rooms()
    }


def mermaid() -> str:
    """Return the diagram as Mermaid text.

    A room that imports no other is shown as the target of others.
    """
    lines = [f"  {room} --> {' & '.join(others)}" for room, others in reduced().items() if others]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def _meaning(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    words = ast.get_docstring(_modules()[room]) or ""
    return " ".join(words.partition("\n\n")[0].split())


def table() -> list[str]:
    """Return a table of all rooms in Markdown: what each holds, and what it imports."""
    lines = ["| room | what it holds | imports |", "|---|---|---|"]
    for room in rooms():
        others = ", ".join(f"`{one}`" for one in sorted(arrows()[room], key=rooms().index)) or "nothing"
        lines.append(f"| `{room}` | {_meaning(room)} | {others} |")
    return lines


Point = tuple[str, int]  # a room, or a bend of an arrow, on a floor


def _chains() -> list[list[Point]]:
    """Return each arrow as points, one on every floor that it passes."""
    return [
        [
            (room, floors()[room]),
            *((f"{room} to {other}", floor) for floor in range(floors()[room] - 1, floors()[other], -1)),
            (other, floors()[other]),
        ]
        for room, others in reduced().items()
        for other in others
    ]


def _places() -> dict[Point, tuple[float, float]]:
    """Return the middle of each room's box and of each bend: on every floor in the order of what they are joined to."""
    joined: dict[Point, set[Point]] = {(room, floor): set() for room, floor in floors().items()}
    for chain in _chains():
        for upper, lower in pairwise(chain):
            joined.setdefault(upper, set()).add(lower)
            joined.setdefault(lower, set()).add(upper)
    top = max(floors().values())
    at = dict.fromkeys(joined, (_WIDTH / 2, 0.0))
    for sweep in range(12):
        for floor in range(top + 1) if sweep % 2 == 0 else range(top, -1, -1):
            step = -1 if sweep % 2 == 0 else 1  # look at the floor that was placed before
            near = {p: [at[q][0] for q in sorted(joined[p]) if q[1] == floor + step] for p in joined if p[1] == floor}
            wish = {point: sum(xs) / len(xs) if xs else at[point][0] for point, xs in near.items()}
            _spread(sorted(near, key=lambda point: (wish[point], point)), _GAP + (top - floor) * _FLOOR, at)
    return at


def _spread(points: list[Point], y: float, at: dict[Point, tuple[float, float]]) -> None:
    """Set the places of a floor's points, left to right, with even gaps."""
    widths = [_width(name) for name, _ in points]
    free, x = (_WIDTH - sum(widths)) / (len(points) + 1), 0.0
    for point, width in zip(points, widths, strict=True):
        at[point] = (x + free + width / 2, y + _HEIGHT / 2)
        x += free + width


def _width(name: str) -> float:
    return len(name) * _BOX + 24 if name in arrows() else 0.0


def _curve(points: list[tuple[float, float]]) -> str:
    """Return a smooth path from the lower rim of a box through bends to the upper rim of another."""
    (x, y), (to, under) = points[0], points[-1]
    way = [(x, y + _HEIGHT / 2), *points[1:-1], (to, under - _HEIGHT / 2)]
    path = f"M{way[0][0]:.0f} {way[0][1]:.0f}"
    for (x, y), (to, under) in pairwise(way):
        half = (y + under) / 2
        path += f" C{x:.0f} {half:.0f} {to:.0f} {half:.0f} {to:.0f} {under:.0f}"
    return path


def svg() -> str:
    """Return the diagram as SVG, highest room first."""
    at = _places()
    height = 2 * _GAP + max(floors().values()) * _FLOOR + _HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="{_FONT}" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{_RULE}"/></marker></defs>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for chain in _chains():
        path = _curve([at[point] for point in chain])
        lines.append(f'<path d="{path}" fill="none" stroke="{_RULE}" marker-end="url(#tip)"/>')
    for room, floor in floors().items():
        (x, y), width = at[room, floor], _width(room)
        lines += [
            f'<rect x="{x - width / 2:.0f}" y="{y - _HEIGHT / 2:.0f}" width="{width:.0f}" height="{_HEIGHT}" rx="5" '
            f'fill="{_FILL}" stroke="{_RULE}"/>',
            f'<text x="{x:.0f}" y="{y + 4.5:.1f}" text-anchor="middle" fill="{_INK}">{escape(room)}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
