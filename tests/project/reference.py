"""The pages in docs/reference, made from what they describe. `python -m tests.project.reference` writes them."""

import re
import sys
import tomllib
from argparse import Action, ArgumentParser
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import Boolean, Column, Date, DateTime, Double, SmallInteger, Table

from config.models import (
    RULES,
    Against,
    Audience,
    Baseline,
    BaselinePeriod,
    Calendar,
    Catalog,
    ChartRule,
    Condition,
    ContactCost,
    Cutoffs,
    EventRule,
    GapRule,
    Goal,
    Guard,
    Metric,
    Person,
    Privacy,
    QuietRule,
    RateRule,
    ReviewSettings,
    Route,
    Rule,
    Source,
    SourceInput,
    Step,
    ThresholdRule,
    duration_text,
)
from config.reading import read_catalog, variable_name
from config.settings import CHECKOUT, Settings
from queries.__main__ import parser as queries_parser
from queries.warehouse import CANONICAL, COLUMNS, DAYS, LATE, SCALES
from triggers.__main__ import parser as triggers_parser

FOLDER: Final = CHECKOUT / "docs" / "reference"
_WORDS: Final[Mapping[str, Any]] = tomllib.loads(Path(__file__).with_name("reference_words.toml").read_text("utf-8"))
_TYPES: Final = {
    Boolean: "true or false",
    Date: "date",
    DateTime: "time stamp",
    Double: "number",
    SmallInteger: "whole number",
}
_FILLED: Final[Mapping[tuple[type[BaseModel], str], str]] = {
    (Source, "name"): "the folder's name",
    (EventRule, "where"): "must be given",
}
"""Keys whose model does not say what happens without them."""

_PARTS: Final[Mapping[type[BaseModel], tuple[type[BaseModel], ...]]] = {GapRule: (Against,), ChartRule: (Baseline,)}
"""The tables inside a rule."""

_TARGET: Final = re.compile(r"^([a-z]+):.*## *(.*)$", re.MULTILINE)


def pages() -> dict[Path, str]:
    """Every page by the file it belongs in."""
    catalog = read_catalog(CHECKOUT / "config", COLUMNS)
    made = {
        "tables": _tables(),
        "metrics": _metrics(catalog),
        "rules": _rules(catalog),
        "settings": _settings(),
        "commands": _commands(),
    }
    return {FOLDER / f"{name}.md": "\n".join(lines).rstrip() + "\n" for name, lines in made.items()}


def _tables() -> Iterator[str]:
    yield _prose("tables")
    for table in CANONICAL:
        yield from ("", f"## {table.name}", "", _WORDS["tables"][table.name], "")
        key = [f"`{c.name}`" for c in table.primary_key if c.name != "source"]
        yield f"Key: {' and '.join(key)}{'' if 'source' in table.primary_key else ', in all sources together'}."
        yield ""
        offered = [column for column in table.c if not column.info.get("made")]
        yield from _grid(("column", "type", "needed", "what it is", "must"), (_column_row(table, c) for c in offered))
    yield from _made()
    yield from ("", "## source.toml", "", "What stands in a source's folder beside its SELECTs.", "")
    yield from _keys(Source)
    yield from ("", "### [inputs.NAME]", "")
    yield from _keys(SourceInput)


def _column_row(table: Table, column: Column[Any]) -> tuple[str, ...]:
    words = _WORDS["columns"].get(table.name, {}).get(column.name) or _WORDS["columns"][column.name]
    needed = "" if column.nullable else "yes"
    return f"`{column.name}`", _type(column), needed, words, "; ".join(_promises(table, column))


def _type(column: Column[Any]) -> str:
    return next((name for kind, name in _TYPES.items() if isinstance(column.type, kind)), "text")


def _promises(table: Table, column: Column[Any]) -> Iterator[str]:
    info = column.info
    if "refers" in info:
        yield f"be a key of `{info['refers']}`"
    if "domain" in info:
        yield "be " + " or ".join(f"`{value}`" for value in info["domain"])
    if "between" in info:
        yield "be {} to {}".format(*info["between"])
    if "not_before" in info:
        yield f"not lie before `{info['not_before']}`"
    if column.name == "month":
        yield "be the first day of a month"
    if (table.name, column.name) == ("response", "score"):
        yield "lie within its scale (" + ", ".join(f"{s} {a} to {b}" for s, (a, b) in SCALES.items()) + ")"


def _made() -> Iterator[str]:
    yield from ("", "## What the load adds", "")
    yield "`source`, `first_loaded_at` and `loaded_at`, and these days in the reporting zone. A SELECT leaves them out."
    yield ""
    made = ((table, column) for table in CANONICAL for column in table.c if "day_of" in column.info)
    rows = ((f"`{table.name}.{c.name}`", f"the day of `{c.info['day_of']}`") for table, c in made)
    yield from _grid(("column", "what it is"), rows)


def _metrics(catalog: Catalog) -> Iterator[str]:
    yield _prose("metrics")
    yield from ("", "## Keys of [[metric]]", "")
    yield from _keys(Metric)
    yield from ("", _prose("conditions"), "")
    yield from _grid(("part", "holds where the column is"), ((f"`{n}`", _about(Condition, n)) for n in _parts()))
    yield from ("", _prose("readable"))
    for name in DAYS:
        yield from _relation(name)
    yield from _shipped(catalog)


def _parts() -> list[str]:
    return [name for name in Condition.model_fields if name != "column"]


def _relation(name: str) -> Iterator[str]:
    yield from ("", f"### {name}", "", _WORDS["relations"][name], "")
    offered = sorted(column for column in COLUMNS[name] if "." not in column)
    words = _WORDS["derived"].get(name, {})
    plain = {column.name for table in CANONICAL for column in table.c} | set(DAYS[name].values())
    if unsaid := [column for column in offered if column not in plain and column not in words]:
        raise KeyError(f"[derived.{name}] in reference_words.toml lacks {', '.join(unsaid)}")
    yield f"Dated by {' or '.join(f'`{instant}`' for instant in DAYS[name])}."
    yield "Columns: " + ", ".join(f"`{column}`" for column in offered if column not in words) + "."
    if late := sorted(set(LATE.get(name, ())) & set(offered)):
        yield "Known only later than the row: " + ", ".join(f"`{column}`" for column in late) + "."
    if words:
        yield ""
        yield from _grid(("column", "what it is"), ((f"`{column}`", text) for column, text in words.items()))


def _shipped(catalog: Catalog) -> Iterator[str]:
    yield from ("", "## The metrics in config/metrics.toml", "")
    heads = ("name", "what", "shape", "table", "dated by", "good", "least n", "matures", "note")
    rows = (
        (
            f"`{m.name}`",
            m.label,
            m.shape,
            m.table,
            f"`{m.dated_by}`",
            m.good,
            str(m.min_n),
            duration_text(m.matures) if m.matures else "",
            m.note,
        )
        for m in catalog.metrics
    )
    yield from _grid(heads, rows)


def _rules(catalog: Catalog) -> Iterator[str]:
    yield _prose("rules")
    for model in RULES:
        (kind,) = get_args(model.model_fields["kind"].annotation)
        yield from ("", f'## [[rule]] with kind = "{kind}"', "", _WORDS["kinds"][kind], "")
        yield from _keys(model)
        for part in _PARTS.get(model, ()):
            yield from ("", f"### {part.__name__.lower()}", "")
            yield from _keys(part)
    yield from ("", "## [guard] in triggers.toml", "", _first_line(Guard), "")
    yield from _keys(Guard)
    yield from ("", "## The rules in config/triggers.toml", "")
    heads = ("name", "what", "kind", "watches", "by", "limit", "severity", "route", "on")
    yield from _grid(heads, (_rule_row(rule) for rule in catalog.rules))
    tops: dict[str, type[BaseModel]] = {
        "[[goal]] in goals.toml": Goal,
        "[[portfolio]] in goals.toml": Cutoffs,
        "[[baseline]] in goals.toml": BaselinePeriod,
        "[[contact_cost]] in goals.toml": ContactCost,
        "[[route]] in routing.toml": Route,
    }
    for title, goals_or_routes in tops.items():
        yield from ("", f"## {title}", "")
        yield from _keys(goals_or_routes)
    yield from ("", _prose("ladder"), "")
    yield from _keys(Step)
    yield from ("", "## [[person]] in routing.toml", "")
    yield from _keys(Person)


def _rule_row(rule: Rule) -> tuple[str, ...]:
    limit = f"{rule.limit:g}" if isinstance(rule, ThresholdRule) else ""
    by = () if isinstance(rule, EventRule) else rule.by
    shown = (f"`{rule.name}`", rule.label, rule.kind, f"`{_watched(rule)}`", ", ".join(by), limit, str(rule.severity))
    return *shown, rule.route, "yes" if rule.enabled else "no"


def _watched(rule: Rule) -> str:
    if isinstance(rule, EventRule):
        return rule.table
    if isinstance(rule, RateRule):
        return rule.metric
    return rule.of if isinstance(rule, QuietRule) else "revenue"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def _settings() -> Iterator[str]:
    yield from (_prose("settings"), "")
    yield from _grid(("in settings.toml", "variable", "default", "what it is"), _setting_rows(Settings, ()))
    yield from ("", "## [calendar] in calendar.toml", "", "How days add up to periods.", "")
    yield from _keys(Calendar)
    yield from ("", "## [review] in audiences.toml", "")
    yield from _keys(ReviewSettings)
    yield from ("", "## [privacy] in audiences.toml", "", _first_line(Privacy), "")
    yield from _keys(Privacy)
    yield from ("", "## [[audience]] in audiences.toml", "", "Which pages it opens, and how much one may show.", "")
    yield from _keys(Audience)


def _setting_rows(model: type[BaseModel], place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        here = (*place, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _setting_rows(field.annotation, here)
        else:
            written = "" if here == ("config",) else f"`{'.'.join(here)}`"
            yield written, f"`{variable_name(here)}`", _setting_default(here, field), _WORDS["settings"][".".join(here)]


def _setting_default(place: tuple[str, ...], field: FieldInfo) -> str:
    if place in {("config",), ("data",)}:
        return f"`{place[0]}` in the checkout"
    return "`http://HOST:PORT`" if field.default_factory else _default(field)


def _commands() -> Iterator[str]:
    yield _prose("commands")
    yield from ("", "## make", "")
    targets = _TARGET.findall((CHECKOUT / "Makefile").read_text("utf-8"))
    yield from _grid(("command", "what it does"), ((f"`make {name}`", text) for name, text in targets))
    for parser in (queries_parser(), triggers_parser()):
        yield from ("", f"## {parser.prog}", "", parser.description or "")
        for name, command in _subcommands(parser).items():
            yield from _command(f"{parser.prog} {name}", command)
            for part, inner in _subcommands(command).items():
                yield from _command(f"{parser.prog} {name} {part}", inner)
    yield from ("", _prose("dashboard"))


def _subcommands(parser: ArgumentParser) -> Mapping[str, ArgumentParser]:
    return next((action.choices for action in parser._actions if isinstance(action.choices, dict)), {})


def _command(called: str, parser: ArgumentParser) -> Iterator[str]:
    actions = [action for action in parser._actions if action.dest != "help"]
    text = parser.description or ""
    yield from ("", f"### {called}", "", f"{text[:1].upper()}{text[1:]}.", "")
    yield from ("```", " ".join([called, *_usage(parser, actions)]), "```")
    if actions:
        yield ""
        yield from _grid(("argument", "what it is"), ((f"`{_written(a)}`", _help(a)) for a in actions))


def _usage(parser: ArgumentParser, actions: Sequence[Action]) -> Iterator[str]:
    grouped = {id(action): group for group in parser._mutually_exclusive_groups for action in group._group_actions}
    for action in actions:
        group = grouped.get(id(action))
        if group is None:
            is_needed = action.required and (bool(action.option_strings) or action.nargs != "?")
            yield _written(action) if is_needed else f"[{_written(action)}]"
        elif action is group._group_actions[0]:
            either = " | ".join(map(_written, group._group_actions))
            yield f"({either})" if group.required else f"[{either}]"


def _written(action: Action) -> str:
    metavar = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices:
        metavar = "{" + ",".join(map(str, action.choices)) + "}"
    takes = action.nargs != 0
    return " ".join([*action.option_strings[-1:], *([str(metavar)] if takes else [])])


def _help(action: Action) -> str:
    text = (action.help or "") % vars(action)
    if action.choices and action.default:
        text = f"{text} (default: {action.default})" if "default" not in text else text
    return text.strip()


def _keys(model: type[BaseModel]) -> Iterator[str]:
    fields = ((field.alias or name, field) for name, field in model.model_fields.items())
    rows = ((f"`{n}`", _FILLED.get((model, n)) or _default(f), f"{_about(model, n)}{_choices(f)}") for n, f in fields)
    yield from _grid(("key", "default", "what it is"), rows)


def _about(model: type[BaseModel], name: str) -> str:
    """Words of the model, or those that several kinds of rule share."""
    own = _WORDS["keys"][model.__name__]
    text: str = own[name] if name in own else _WORDS["keys"]["Rule"][name]
    return text


def _choices(field: FieldInfo) -> str:
    values = list(_literals(field.annotation))
    return f" ({', '.join(f'`{value}`' for value in values)})" if len(values) > 1 else ""


def _literals(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for part in get_args(annotation):
            yield from _literals(part)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=False)
    return "" if value in (None, "", ()) else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    """A value as it is written in TOML."""
    if isinstance(value, tuple) and len({*value}) == 1 and isinstance(value[0], timedelta):
        value = value[0]  # one for every severity
    match value:
        case bool():
            return str(value).lower()
        case timedelta():
            return f'"{duration_text(value)}"'
        case int() | float() | date():
            return f"{value}"
        case str():
            return f'"{value}"'
        case BaseModel():
            return "{ " + ", ".join(f"{name} = {_toml(part)}" for name, part in value) + " }"
    return "[" + ", ".join(_toml(part) for part in value) + "]"


def _prose(name: str) -> str:
    text: str = _WORDS["prose"][name]
    return text.strip()


def _grid(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table, without the columns that nobody fills."""
    found = [tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    kept = [i for i in range(len(heads)) if any(row[i] for row in found)]
    for row in (heads, ["---"] * len(heads), *found):
        yield "| " + " | ".join(row[i] for i in kept) + " |"


def write() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")
        print(file.relative_to(CHECKOUT))


if __name__ == "__main__":
    write()
    sys.exit(0)
