"""The naive baseline: what a plain pandas script does to show the review's verticals against goals.

Run as `python -m tests.benchmarks.naive_page SAMPLE_DIR YYYY-MM`. It reads the rows, as such scripts do, and computes
four metrics for each vertical and month. It computes no intervals, no effects and no financials: it is given every
advantage.
"""

import sys
from pathlib import Path

import pandas as pd


def page(sample: Path, month: str) -> pd.DataFrame:
    """The month's four metrics by vertical."""
    answers = pd.read_parquet(sample / "response.parquet").query("status == 'answered'")
    answers["month"] = answers["responded_at"].dt.strftime("%Y-%m")
    nps = answers[(answers["scale"] == "nps") & (answers["kind"] == "relationship")]
    csat = answers[answers["scale"] == "csat"]
    journeys = pd.read_parquet(sample / "journey.parquet").dropna(subset=["ended_at"])
    journeys["month"] = journeys["ended_at"].dt.strftime("%Y-%m")
    faults = pd.read_parquet(sample / "defect.parquet")
    journeys["defective"] = journeys["id"].isin(faults["journey_id"])
    journeys["kept"] = journeys["ended_at"] <= journeys["promised_at"]
    keys = ["month", "vertical"]
    table = pd.DataFrame(
        {
            "nps": nps.assign(v=(nps["score"] >= 9) * 100.0 - (nps["score"] <= 6) * 100.0).groupby(keys)["v"].mean(),
            "csat": csat.assign(v=csat["score"] >= 4).groupby(keys)["v"].mean(),
            "promise-kept": journeys.groupby(keys)["kept"].mean(),
            "defect-rate": journeys.groupby(keys)["defective"].mean(),
        }
    )
    return table.reset_index().query("month <= @month")


if __name__ == "__main__":
    print(page(Path(sys.argv[1]), sys.argv[2]).tail(8).to_string())
