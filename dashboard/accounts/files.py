"""The sheet that is shared with a customer, made for whoever asks, from what that reader may see."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from dashboard.accounts import data, markup
from dashboard.page_session import PageSession, page_session
from queries.documents import FORMS, Look, rendered, sheet_paper

SHEETS: Final = (markup.SHEET, "sheet.pdf", "sheet.pptx", "sheet.xlsx")


def sheet_file(
    name: str, query: Mapping[str, str], claims: Mapping[str, Any], refused: Callable[[PageSession], str]
) -> Response:
    """The sheet of the account that is asked for, or why its reader does not get it.

    Args:
        name: one of SHEETS.
        query: the account's `id`.
        claims: what the provider said of whoever asks; nothing where nobody is signed in.
        refused: why a reader may not open the page that the file belongs to, or nothing.

    Raises:
        EarshotError: as `page_session`.
    """
    with page_session(claims) as session:
        if reason := refused(session):
            return PlainTextResponse(f"{reason}\n", status_code=403)
        key, id_ = session.key, query.get("id", "")
        page = data.account_page(key, session.changes, session.pin, session.state, id_)
        if page is None:
            return PlainTextResponse("There is no such account, or you may not see it.\n", status_code=404)
        sheet, form = data.account_sheet(page, key.as_of), name.rpartition(".")[2]
        if name != markup.SHEET:
            paper = sheet_paper(sheet, page.story.name, key.day, key.tz, session.catalog.people)
            file = rendered(paper, form, Look.of(session.stores.settings.documents))
            named = {"Content-Disposition": f'attachment; filename="earshot-{name}"', "Cache-Control": "no-store"}
            return Response(file, media_type=FORMS[form], headers=named)
        made = markup.sheet(sheet, page.story.name, session.catalog, key.day, key.tz)
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return HTMLResponse(str(made), headers=headers)
