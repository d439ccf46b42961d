"""Load against the engine's bare limit: two processes in turn, medians, and each one's peak memory."""

import shutil
from pathlib import Path

from tests.benchmarks.process import Cost, cost, middle
from tests.benchmarks.sizes import FOLDER, files, label


def report(contacts: int, runs: int) -> None:
    """Print the load's figures beside the bare engine's."""
    cost(["-c", f"from tests.benchmarks.sizes import files; files({contacts})"])
    sample = files(contacts)
    ours, bare = zip(*(_pair(sample) for _ in range(runs)), strict=True)
    (seconds, megabytes), (bare_seconds, bare_megabytes) = middle(ours), middle(bare)
    load = f"load {seconds:7.1f} s  {megabytes:6.0f} MB"
    limit = f"bare engine {bare_seconds:7.1f} s  {bare_megabytes:6.0f} MB"
    print(f"  {label(contacts):>5}  {load}   {limit}   ratio {seconds / bare_seconds:.2f}", flush=True)


def _pair(sample: Path) -> tuple[Cost, Cost]:
    target = FOLDER / "target"
    shutil.rmtree(target, ignore_errors=True)
    ours = cost(["-m", "queries", "load", "sample", "--data", str(sample)], {"EARSHOT_DATA": str(target)})
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    bare = cost(["-m", "tests.benchmarks.bare_load", str(sample), str(target / "bare.duckdb")])
    shutil.rmtree(target, ignore_errors=True)
    return ours, bare
