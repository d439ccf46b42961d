"""Configuration: what is read, which place is strongest, and that nothing passes in silence."""

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config import ConfigError, Mistake
from config.models import (
    LONGEST,
    TABLES,
    Catalog,
    Condition,
    EventRule,
    Goal,
    Metric,
    ThresholdRule,
    duration_text,
    parse_duration,
)
from config.reading import FILES, read_catalog, read_source, read_toml
from config.reading.cross_checks import RESERVED
from config.reading.toml_lines import _lines
from config.settings import CHECKOUT
from queries.warehouse import COLUMNS
from queries.warehouse import tables as warehouse_tables

SMALL: Final = Path(__file__).parent / "config_small"
CONFIG: Final = CHECKOUT / "config"
MORE: Final = """
[[metric]]
name = "days"
label = "Days"
shape = "quantile"
table = "journey"
dated_by = "ended_at"
good = "down"
unit = "days"
value = "days"
quantile = 0.9
"""
RULE: Final = """
[[rule]]
name = "slow"
kind = "threshold"
metric = "days"
limit = 20
recover = 15
floor = 1
keep_firing = "14d"
window = "28d"
every = "7d"
false_alarms_per_year = 1
severity = 3
route = "installation"
owner = "cx-analyst"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SMALL, tmp_path / "config"))


def said(error: pytest.ExceptionInfo[ConfigError]) -> list[str]:
    return str(error.value).splitlines()


def refused(read: Callable[[], object]) -> tuple[Mistake, ...]:
    try:
        read()
    except ConfigError as error:
        return error.mistakes
    return ()


def add(file: Path, text: str) -> None:
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


# What is read.


def test_the_small_configuration_is_read_whole() -> None:
    catalog = read_catalog(SMALL)
    assert [m.name for m in catalog.metrics] == ["nps", "csat", "promise-kept", "defect-rate"]
    assert catalog.review.metrics == ("nps", "csat", "promise-kept", "defect-rate")
    assert catalog.metric("nps").range == (-100, 100)
    assert catalog.metric("nps").plus == (Condition(column="score", at_least=9),)
    assert catalog.metric("defect-rate").where == (Condition(column="outcome", any_of=("reached", "failed")),)
    assert catalog.route("installation").ladder[1].after == (timedelta(days=1),) * 4
    assert catalog.person("gm-north").verticals == ("North",)
    managers = catalog.audience("gm")
    assert managers is not None
    assert managers.grains == ("week", "month")
    rule = catalog.rule("installation-csat")
    assert isinstance(rule, ThresholdRule)
    assert (rule.window, rule.gate, rule.class_, rule.keep_firing) == (
        timedelta(days=28),
        "exact",
        "customer",
        timedelta(days=14),
    )


def test_a_name_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        read_catalog(SMALL).metric("nothing")


def test_values_never_change() -> None:
    catalog = read_catalog(SMALL)
    with pytest.raises(ValidationError, match="frozen"):
        catalog.metrics[0].factor = 1
    assert hash(catalog) == hash(read_catalog(SMALL))


def test_class_and_for_are_read_by_their_toml_names(folder: Path) -> None:
    add(folder / "triggers.toml", 'class = "data"\nfor = "14d"\n')
    rule = read_catalog(folder).rules[0]
    assert isinstance(rule, ThresholdRule)
    assert (rule.class_, rule.for_) == ("data", timedelta(days=14))


def test_an_event_rule_is_told_by_its_kind(folder: Path) -> None:
    event = """
[[rule]]
name = "detractor"
kind = "event"
table = "response"
dated_by = "responded_at"
where = { score = { at_most = 6 }, "account.tier" = "key" }
severity = 1
route = "installation"
owner = "cx-analyst"
"""
    add(folder / "triggers.toml", event)
    rule = read_catalog(
        folder, {"response": [*warehouse_tables.response.c.keys(), "account.tier"], "journey": _all()}
    ).rules[1]
    assert isinstance(rule, EventRule)
    assert [c.column for c in rule.where] == ["account.tier", "score"]


def _all() -> frozenset[str]:
    return frozenset(warehouse_tables.journey_fact.c.keys())


@pytest.mark.parametrize(
    ("day", "vertical", "expected"),
    [
        (date(2023, 12, 31), "North", None),  # before the first
        (date(2024, 1, 1), "North", 0.8),  # on the first day
        (date(2025, 6, 1), "North", 0.9),  # the newer one
        (date(2025, 6, 1), "South", 0.7),  # its own goes before everybody's, even when it is older
    ],
)
def test_a_goal_is_the_newest_valid_one_and_the_verticals_own_first(
    day: date, vertical: str, expected: float | None
) -> None:
    goals = (
        Goal(metric="csat", value=0.8, valid_from=date(2024, 1, 1)),
        Goal(metric="csat", value=0.9, valid_from=date(2025, 1, 1)),
        Goal(metric="csat", value=0.7, valid_from=date(2024, 1, 1), vertical="South"),
        Goal(
            metric="csat", value=0.1, valid_from=date(2024, 1, 1), where=(Condition(column="channel", any_of=("web",)),)
        ),
    )
    catalog = read_catalog(SMALL)
    found = Catalog(**{**dict(catalog), "goals": goals}).goal("csat", vertical, day)
    assert (found.value if found else None) == expected


# What the project ships.


@pytest.mark.parametrize("name", ["settings.toml", *FILES])
def test_every_shipped_file_is_toml(name: str) -> None:
    assert read_toml(CONFIG / name).file == CONFIG / name


def test_the_shipped_configuration_is_right() -> None:
    catalog = read_catalog(CONFIG, COLUMNS)
    assert {rule.owner for rule in catalog.rules} <= {person.name for person in catalog.people}
    assert {p.name for p in catalog.people}.isdisjoint(RESERVED)


def test_the_canonical_tables_are_those_of_the_schema() -> None:
    assert {table.name for table in warehouse_tables.CANONICAL} == TABLES


# Mistakes that need more than one file, or no file.


@pytest.mark.parametrize("name", FILES)
def test_each_missing_file_is_one_mistake(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ConfigError) as error:
        read_catalog(folder)
    advice = "create it or point EARSHOT_CONFIG at the right folder"
    assert said(error) == [f"{folder / name}:1: the file is missing; {advice}"]


def test_a_missing_folder_is_one_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_catalog(tmp_path / "nowhere")
    assert said(error) == [
        f"{tmp_path / 'nowhere'}: the config folder is missing; point EARSHOT_CONFIG at the right one"
    ]


def test_a_folder_in_the_place_of_a_file_is_a_mistake(folder: Path) -> None:
    (folder / "goals.toml").unlink()
    (folder / "goals.toml").mkdir()
    with pytest.raises(ConfigError, match=r"goals.toml:1: the file cannot be read .*make it a readable UTF-8"):
        read_catalog(folder)


def test_latin_1_is_a_mistake(folder: Path) -> None:
    (folder / "goals.toml").write_bytes("# Zürich".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"goals.toml:1: the file cannot be read"):
        read_catalog(folder)


def test_a_byte_order_mark_is_none(folder: Path) -> None:
    (folder / "goals.toml").write_bytes(b"\xef\xbb\xbf" + (SMALL / "goals.toml").read_bytes())
    assert read_catalog(folder) == read_catalog(SMALL)


@pytest.mark.parametrize("text", ["a = " + "1" * 5000, "a = " + "[" * 5000], ids=["a long number", "deep brackets"])
def test_what_the_parser_gives_up_on_is_a_mistake(folder: Path, text: str) -> None:
    (folder / "goals.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"goals.toml:1: not usable"):
        read_catalog(folder)


def test_mistakes_of_all_files_come_at_once(folder: Path) -> None:
    add(folder / "goals.toml", "valu = 1\n")
    add(folder / "routing.toml", 'slak = "x"\n')
    add(folder / "calendar.toml", "weekend = [9]\n")
    (folder / "metrics.toml").write_text("[[metric]\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_catalog(folder)
    assert [(m.file.name, m.line) for m in error.value.mistakes] == [
        ("calendar.toml", 3),
        ("goals.toml", 5),
        ("metrics.toml", 1),
        ("routing.toml", 20),
    ]


@pytest.mark.parametrize("gate", ["", 'gate = "exact"\n'])
def test_a_shape_without_an_exact_gate_needs_none(folder: Path, gate: str) -> None:
    add(folder / "metrics.toml", MORE)
    add(folder / "triggers.toml", RULE + gate)
    with pytest.raises(ConfigError, match=r'days is a quantile, which has no exact gate; write gate = "none"'):
        read_catalog(folder)


def test_a_plain_gate_suits_every_shape(folder: Path) -> None:
    add(folder / "metrics.toml", MORE)
    add(folder / "triggers.toml", RULE + 'gate = "none"\n')
    assert len(read_catalog(folder).rules) == 2


def test_a_mistake_without_a_line_names_only_the_place() -> None:
    assert str(Mistake(Path("environment"), 0, "wrong", "right")) == "environment: wrong; right"


# Sources.

SHOP: Final = """
zone = "America/Sao_Paulo"
mode = "snapshot"
settle = "14d"
[inputs.orders]
file = "orders*.csv"
format = "csv"
delimiter = ";"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "source.toml").write_text(SHOP, encoding="utf-8")
    (folder / "journey.sql").write_text("select 1", encoding="utf-8")
    return folder


def test_a_source_is_named_like_its_folder(shop: Path) -> None:
    source = read_source(shop)
    assert (source.name, source.settle, source.inputs["orders"].delimiter) == ("shop", timedelta(days=14), ";")


def test_sql_that_fills_no_canonical_table_is_a_mistake(shop: Path) -> None:
    (shop / "journeys.sql").write_text("select 1", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_source(shop)
    assert said(error) == [f"{shop / 'journeys.sql'}:1: 'journeys' is not a canonical table; did you mean 'journey'?"]


def test_a_source_without_sql_is_a_mistake(shop: Path) -> None:
    (shop / "journey.sql").unlink()
    with pytest.raises(ConfigError, match=r"shop: the source has no \.sql file; add one for each table it fills"):
        read_source(shop)


def test_a_folder_without_source_toml_is_a_mistake(shop: Path) -> None:
    (shop / "source.toml").unlink()
    with pytest.raises(ConfigError, match=r"source\.toml:1: the file is missing"):
        read_source(shop)


# Whatever is written.


@given(st.integers(0, 999_999).map(lambda minutes: timedelta(minutes=minutes)))
def test_a_duration_reads_as_it_was_written(length: timedelta) -> None:
    assert parse_duration(duration_text(length)) == length


@given(st.integers(0, 999_999), st.sampled_from("mhdw"))
def test_every_unit_is_read(number: int, unit: str) -> None:
    length = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
    if number * length[unit] > LONGEST:
        with pytest.raises(ValueError, match="is too long"):
            parse_duration(f"{number}{unit}")
    else:
        assert parse_duration(f"{number}{unit}") == number * length[unit]


@given(st.text() | st.integers() | st.none() | st.just("9" * 5000 + "w") | st.just("٣d") | st.just("3d\n"))
def test_what_is_no_duration_is_refused(text: object) -> None:
    assume(not isinstance(text, str) or not text[:1].isdigit() or len(text) > 7)
    with pytest.raises(ValueError, match="write a whole number and m, h, d or w"):
        parse_duration(text)


_SCALARS: Final = (
    st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(["csat", "28d", "threshold", "event", "gm", "C0000000001", "share", "up", "vertical"])
)
_KEYS: Final = st.sampled_from(
    sorted({*Metric.model_fields, *ThresholdRule.model_fields, *EventRule.model_fields, "ladder", "after", "class"})
) | st.text(max_size=4)
_VALUES: Final[st.SearchStrategy[Any]] = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=8,
)


def written(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(k)} = {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=True).replace("\x7f", "\\u007f")


def mutated(values: Mapping[str, Any], junk: Mapping[str, Any]) -> Iterator[str]:
    for top, tables in values.items():
        for table in tables if isinstance(tables, list) else [tables]:
            yield f"[[{top}]]" if isinstance(tables, list) else f"[{top}]"
            yield from (f"{quoted(k)} = {written(v)}" for k, v in {**table, **junk}.items())


def reads_or_refuses(folder: Path) -> None:
    """Anything but a catalogue or a list of mistakes, one a line, would be a traceback for whoever edits the file."""
    columns = {"response": warehouse_tables.response.c.keys(), "journey": _all()}
    mistakes = refused(lambda: read_catalog(folder, columns))
    assert all(m.wrong and m.right and "\n" not in str(m) for m in mistakes)


_QUIET: Final = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)


@_QUIET
@given(name=st.sampled_from(sorted(FILES)), text=st.text(max_size=200) | st.binary(max_size=100))
def test_junk_in_a_file_is_only_ever_a_mistake(folder: Path, name: str, text: str | bytes) -> None:
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (folder / name).write_bytes(content)
    reads_or_refuses(folder)
    shutil.copy(SMALL / name, folder / name)


@_QUIET
@given(name=st.sampled_from(sorted(FILES)), junk=st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_junk_in_an_entry_is_only_ever_a_mistake(folder: Path, name: str, junk: dict[str, Any]) -> None:
    values = tomllib.loads((SMALL / name).read_text(encoding="utf-8"))
    (folder / name).write_text("\n".join(mutated(values, junk)), encoding="utf-8")
    reads_or_refuses(folder)
    shutil.copy(SMALL / name, folder / name)


@given(
    st.lists(
        st.sampled_from(['a = "x"', "[[r]]", "[t]", "b.c = 1", "l = [", "1, # one", "]", "'''", "# [x]"]), max_size=9
    )
)
def test_lines_are_found_in_whatever_parses(rows: list[str]) -> None:
    text = "\n".join(rows)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert all(1 <= line <= len(rows) for line in _lines(text).values())


KEYS_AND_ELEMENTS: Final = """
[[rule]] # one
name = "a # b"
text = '''
[[rule]]
name = 1
'''
list = [
  1, # [

  { a = 1 }, [2,
3],
]
[[rule]]
"account.tier" = 1
where.x."y.z" = 2
[rule.sub]
q = 3
"""


def test_the_line_of_each_key_and_element(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(KEYS_AND_ELEMENTS, encoding="utf-8")
    document = read_toml(file)
    expected = {
        ("rule", 0): 2,
        ("rule", 0, "name"): 3,
        ("rule", 0, "text"): 4,
        ("rule", 0, "list"): 8,
        ("rule", 0, "list", 0): 9,
        ("rule", 0, "list", 1): 11,
        ("rule", 0, "list", 2): 11,
        ("rule", 0, "missing", 0): 2,
        ("rule", 1): 14,
        ("rule", 1, "account.tier"): 15,
        ("rule", 1, "where"): 16,
        ("rule", 1, "where", "x", "y.z"): 16,
        ("rule", 1, "sub", "q"): 18,
    }
    assert {place: document.line(place) for place in expected} == expected
