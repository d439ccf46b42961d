"""What can be taken along from the review: each file is made for whoever asks, from what that reader may see."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import PlainTextResponse, Response

from dashboard.page_session import PageSession, page_session
from dashboard.review import data, downloads, guessing, markup
from queries.documents import FORMS, Look, minutes_paper, rendered, review_paper
from queries.documents import review_words as words

CHARTS: Final = {"goals.png": "The chart, PNG", "goals.svg": "The chart, SVG"}
TABLES: Final = {
    "minutes.html": "Minutes",
    "minutes.pdf": "Minutes, PDF",
    "figures.csv": "Figures, CSV",
    "issues.csv": "Key issues, CSV",
    "actions.csv": "Actions, CSV",
    "baseline.csv": "Against the baseline, CSV",
}
DOCUMENTS: Final = {"review.pdf": "The review, PDF", "review.pptx": "PowerPoint", "review.xlsx": "Excel"}
REVENUE: Final = {"revenue.csv": "Revenue, CSV"}
TYPES: Final = {
    **FORMS,
    "png": "image/png",
    "svg": "image/svg+xml",
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
}


def links(names: Mapping[str, str], month: str, **chosen: str | None) -> list[tuple[str, str]]:
    """Labels and addresses of files of one review; `chosen` is what the page's own address may have besides a month."""
    query = urlencode({"month": month, **{name: value for name, value in chosen.items() if value}})
    return [(label, f"files/{name}?{query}") for name, label in names.items()]


def answer(
    name: str, query: Mapping[str, str], claims: Mapping[str, Any], refused: Callable[[PageSession], str]
) -> Response:
    """The file of that name, or why its reader does not get it.

    Args:
        name: one of those that `links` name.
        query: the month, and the vertical, the function, the metric and the figures (`newest`) where they are chosen.
        claims: what the provider said of whoever asks; nothing where nobody is signed in.
        refused: why a reader may not open the page that the file belongs to, or nothing.

    Raises:
        EarshotError: as `page_session`.
    """
    with page_session(claims) as session:
        reason = refused(session)
        made = None if reason else _made(session, name, query)
    if reason:
        return PlainTextResponse(f"{reason}\n", status_code=403)
    if made is None:
        return PlainTextResponse("There is no such file, or you may not see what it is about.\n", status_code=404)
    # A vertical's name may hold whatever a file's name may not.
    place = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in query.get("vertical", "all"))
    file = f"earshot-{query['month']}-{place[:60]}-{name}"
    headers = {"Content-Disposition": f'attachment; filename="{file}"', "Cache-Control": "no-store"}
    return Response(made, media_type=TYPES[name.rpartition(".")[2]], headers=headers)


def _made(session: PageSession, name: str, query: Mapping[str, str]) -> bytes | str | None:
    """The file's contents; None where there is no such file, month, vertical, function or metric for this reader."""
    months = {f"{month:%Y-%m}": month for month in data.months(session.key, session.pin).all}
    month, vertical, metric = months.get(query.get("month", "")), query.get("vertical"), query.get("metric")
    if month is None or (vertical is not None and vertical not in data.verticals(session.key, session.pin)):
        return None
    function = query.get("function")
    if function is not None and function not in session.catalog.functions:
        return None
    written = data.written_review(
        session.key.of(month, vertical),
        session.changes,
        session.pin,
        session.state,
        newest=query.get("figures") == markup.NEWEST,
        function=function,
    )
    key, review = written.key, written.review
    guessing.refuse_unguessed(session, review)
    labels = {s.metric.name: f"{s.metric.label} by vertical" for s in review.standings}
    if name in CHARTS and review.standings and (metric in labels if vertical is None else metric is None):
        spec = data.goals_spec(key, review, metric)
        title = f"{labels[metric] if metric else f'{vertical} against its goals'}, {month:%B %Y}"
        return (downloads.png if name == "goals.png" else downloads.svg)(spec, title)
    if name in DOCUMENTS or name == "minutes.pdf":
        said = (
            words.closed_words(written.closed, key.catalog.people, key.tz) if written.closed and written.is_own else ()
        )
        paper = review_paper(review, key.currency, said) if name in DOCUMENTS else minutes_paper(review, said)
        return rendered(paper, name.rpartition(".")[2], Look.of(session.stores.settings.documents))
    tables: dict[str, Callable[[], str]] = {
        "minutes.html": lambda: str(
            markup.minutes(review, written.closed if written.is_own else None, key.catalog.people, key.tz)
        ),
        "figures.csv": lambda: downloads.standings_csv(review.standings),
        "issues.csv": lambda: downloads.issues_csv(review),
        "actions.csv": lambda: downloads.actions_csv(review.carried),
        "baseline.csv": lambda: downloads.baselines_csv(review.baselines),
    }
    if review.financials_open and not review.no_money:
        tables["revenue.csv"] = lambda: downloads.money_csv(review.money, key.currency)
    return tables[name]() if name in tables else None
