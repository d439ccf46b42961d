"""The review page's script, cold and warm, beside a page of eight plain Altair charts. Run in a process of its own.

Run as `python -m tests.benchmarks.paging CONTACTS`. It prints: cold ms, warm ms, plain page's warm ms, peak MB.
"""

import os
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

from streamlit.testing.v1 import AppTest

from tests.benchmarks.process import ROOT, peak
from tests.benchmarks.sizes import data

RUNS = 21
PLAIN = Path(__file__).with_name("plain_page.py")


def main(contacts: int) -> None:
    """Time both pages in turn, so that a noisy moment meets both."""
    os.environ["EARSHOT_DATA"] = str(data(contacts))
    review, cold = _opened(ROOT / "dashboard" / "app.py")
    plain, _ = _opened(PLAIN)
    pairs = [(_run(review), _run(plain)) for _ in range(RUNS)]
    warm, bare = (median(times) for times in zip(*pairs, strict=True))
    print(f"{cold:.1f} {warm:.1f} {bare:.1f} {peak():.0f}")


def _opened(script: Path) -> tuple[AppTest, float]:
    page = AppTest.from_file(str(script), default_timeout=300)
    first = _run(page)
    return page, first


def _run(page: AppTest) -> float:
    began = perf_counter()
    page.run()
    elapsed = (perf_counter() - began) * 1000
    if page.exception:
        message = f"the page failed: {page.exception[0].message}"
        raise RuntimeError(message)
    return elapsed


if __name__ == "__main__":
    main(int(sys.argv[1]))
