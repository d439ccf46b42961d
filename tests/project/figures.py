"""How the house stands: `python -m tests.project.figures [ROOM]` prints what each room holds and what it costs to read.

A room is a folder of the product. "Used once" are private functions and methods that are named in one place only:
their callers could hold their lines. "Named twice" are public functions and classes of one name in two modules.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from config.models import RULES

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("config", "queries", "triggers", "dashboard")
KIND: Final = re.compile(rf"\b({'|'.join(model.__name__ for model in RULES)})\b")
ENTRY_POINTS: Final = frozenset({"main", "show", "upgrade"})
"""One name on purpose: each command line's, each page's, each migration's way in."""
LONGEST: Final = 350
FULLEST: Final = 13

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the product."""

    path: Path
    text: str = field(repr=False)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def room(self) -> str:
        return self.path.parent.relative_to(ROOT).as_posix()

    @cached_property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @cached_property
    def comments(self) -> tuple[int, ...]:
        """The numbers of the lines that hold a comment and nothing else."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return tuple(t.start[0] for t in tokens if t.type == tokenize.COMMENT and t.line.lstrip().startswith("#"))

    @cached_property
    def public(self) -> tuple[str, ...]:
        """Functions and classes that other modules may use."""
        made = (node.name for node in self.tree.body if isinstance(node, (*_FUNCTIONS, ast.ClassDef)))
        return tuple(name for name in made if not name.startswith("_"))

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        return tuple(node for node in ast.walk(self.tree) if isinstance(node, _FUNCTIONS))

    @cached_property
    def used_once(self) -> tuple[str, ...]:
        """Private functions that are named in one place of their module."""
        uses = Counter(
            node.id if isinstance(node, ast.Name) else node.attr
            for node in ast.walk(self.tree)
            if isinstance(node, (ast.Name, ast.Attribute))
        )
        return tuple(f.name for f in self.functions if re.match("_[^_]", f.name) and uses[f.name] <= 1)

    @cached_property
    def imports(self) -> frozenset[str]:
        """The modules of ours that it imports."""
        return frozenset(_imported(self.tree))


_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in PACKAGES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            offered = _offered(ROOT / node.module.replace(".", "/") / "__init__.py")
            for alias in node.names:
                inner = ROOT / node.module.replace(".", "/") / alias.name
                is_module = inner.with_suffix(".py").exists() or inner.is_dir()
                yield f"{node.module}.{alias.name}" if is_module and alias.name not in offered else node.module


@cache
def _offered(door: Path) -> frozenset[str]:
    """What a room's `__init__` imports from its modules: a function may be called as the module that it is from."""
    tree = ast.parse(door.read_text("utf-8")) if door.exists() else ast.Module([], [])
    return frozenset(a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names)


def modules(room: str = "") -> tuple[Module, ...]:
    """Every module of the product, or those of one room and the rooms within."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    read = (Module(path, path.read_text("utf-8")) for path in paths)
    return tuple(module for module in read if f"{module.room}/".startswith(f"{room}/" if room else ""))


def named_twice(of: tuple[Module, ...]) -> dict[str, list[str]]:
    """Public names that stand in more than one module, and where."""
    places: dict[str, list[str]] = {}
    for module in of:
        for name in module.public:
            if name not in ENTRY_POINTS:
                places.setdefault(name, []).append(module.name)
    return {name: where for name, where in places.items() if len(set(where)) > 1}


def rooms(of: tuple[Module, ...]) -> Counter[str]:
    """How many modules each room holds beside its `__init__`."""
    return Counter(module.room for module in of if module.path.stem != "__init__")


def report(room: str = "") -> Iterator[str]:
    """The figures, a line each."""
    of = modules(room)
    functions, once = sum(len(m.functions) for m in of), sum(len(m.used_once) for m in of)
    yield f"{len(of)} modules, {sum(m.lines for m in of)} lines, {functions} functions"
    yield f"lines of comment: {sum(len(m.comments) for m in of)}"
    yield f"lines without comments: {sum(m.lines - len(m.comments) for m in of)}"
    yield f"private functions used once: {once} ({once / max(functions, 1):.1%} of all functions)"
    yield f"own imports per module: {sum(len(m.imports) for m in of) / len(of):.2f}"
    naming = [m.name for m in of if KIND.search(m.text)]
    yield f"modules that name a rule kind: {len(naming)}"
    checks = sum(len(re.findall(r"isinstance\([^)]*Rule\b", m.text)) for m in of)
    yield f"isinstance checks of rule kinds: {checks}"
    yield f"public names in more than one module: {len(named_twice(of))}"
    yield from (f"  {name}: {', '.join(where)}" for name, where in sorted(named_twice(of).items()))
    yield "fullest rooms: " + ", ".join(f"{name} {count}" for name, count in rooms(of).most_common(5))
    yield from (f"over {LONGEST} lines: {m.name} ({m.lines})" for m in of if m.lines > LONGEST)
    if room:
        yield from (f"used once in {m.name}: {', '.join(m.used_once)}" for m in of if m.used_once)
        yield from (f"names a kind: {name}" for name in naming)


if __name__ == "__main__":
    print("\n".join(report(*(argument.strip("/") for argument in sys.argv[1:2]))))
