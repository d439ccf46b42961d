"""`python -m tests.benchmarks`: every benchmark, each figure beside what it is compared with."""

from argparse import ArgumentParser
from statistics import median

from tests.benchmarks.loading import report as report_load
from tests.benchmarks.process import Cost, cost
from tests.benchmarks.sizes import FOLDER, files, label

SMALL, MIDDLE, LARGE, HUGE = 100_000, 1_000_000, 10_000_000, 100_000_000


_OTHERS = {
    "view": "view: pages a second at the server, beside eight plain charts and an empty page of Streamlit alone",
    "backtest": "backtest: 50 rules over 24 months and all segments; against its bare queries, and one query a window",
}
_ALONE = {
    "deliver": "deliver: from a committed load to the message, `run` hearing of it; messages a second, unpaced",
}
"""Those that no size concerns."""


def main() -> None:
    """Run what was asked for. Medians of several runs; these figures are no tests."""
    parser = ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--large", action="store_true", help="100M contacts too: about an hour and 40 GB of disk")
    parser.add_argument("--small", action="store_true", help="only up to 1M contacts: a quick look")
    parser.add_argument("--runs", type=int, default=3, help="how often each load is repeated")
    parser.add_argument("--only", choices=("load", "page", "tick", *_OTHERS, *_ALONE), help="one of the benchmarks")
    words = parser.parse_args()
    sizes = [MIDDLE] if words.small else [MIDDLE, LARGE, *([HUGE] if words.large else [])]
    print(f"samples and warehouses are kept in {FOLDER}")
    if words.only in {None, "load"}:
        print("load: checked, keyed, published; against DuckDB creating the same tables from the same Parquet")
        for contacts in sizes:
            report_load(contacts, 1 if contacts == HUGE else words.runs)
    if words.only in {None, "page"}:
        _pages([SMALL, *sizes], words.runs)
    if words.only in {None, "tick"}:
        print("tick: 504 instances of 63 rules in one new slot; against one grouped query, and one query an instance")
        for contacts in sizes:
            _prepare(contacts)
            print(cost(["-m", "tests.benchmarks.ticking", str(contacts)]).output, end="", flush=True)
    _others(words.only, sizes)


def _others(only: str | None, sizes: list[int]) -> None:
    for name, said in (_OTHERS | _ALONE).items():
        if only not in {None, name}:
            continue
        print(said)
        for contacts in sizes if name in _OTHERS else ():
            _prepare(contacts)
            print(cost(["-m", f"tests.benchmarks.{name}ing", str(contacts)]).output, end="", flush=True)
        if name in _ALONE:
            print(cost(["-m", f"tests.benchmarks.{name}ing"]).output, end="", flush=True)


def _pages(sizes: list[int], runs: int) -> None:
    print("page: the review's script, cold and warm; eight plain Altair charts; the four metrics by plain pandas")
    for contacts in sizes:
        _prepare(contacts)
    rounds = [{contacts: _page(contacts) for contacts in sizes} for _ in range(runs)]
    first = median(r[sizes[0]][1] for r in rounds)
    for contacts in sizes:
        cold, warm, plain, megabytes = (median(r[contacts][i] for r in rounds) for i in range(4))
        naive = cost(["-m", "tests.benchmarks.naive_page", str(files(contacts)), "2026-10"])
        _print_page(contacts, (cold, warm, plain, megabytes), naive, warm / first)


def _prepare(contacts: int) -> None:
    print(cost(["-m", "tests.benchmarks.sizes", str(contacts)]).output, end="", flush=True)


def _page(contacts: int) -> list[float]:
    output = cost(["-m", "tests.benchmarks.paging", str(contacts)]).output
    return [float(word) for word in output.splitlines()[-1].split()]


def _print_page(contacts: int, figures: tuple[float, float, float, float], naive: Cost, growth: float) -> None:
    cold, warm, plain, megabytes = figures
    ours = f"cold {cold:7.1f} ms  warm {warm:6.1f} ms  {megabytes:5.0f} MB"
    others = f"plain charts {plain:6.1f} ms   pandas {naive.seconds * 1000:8.0f} ms  {naive.megabytes:6.0f} MB"
    print(f"  {label(contacts):>5}  {ours}   {others}", end="")
    print(f"   warm to plain {warm / plain:.2f}, to warm at 100k {growth:.2f}", flush=True)


if __name__ == "__main__":
    main()
