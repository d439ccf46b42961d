"""Settings: which place is strongest, and that a mistyped variable does not pass in silence."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import SecretStr

from config import ConfigError, Mistake
from config.settings import CHECKOUT, VARIABLES, Settings, SignInSettings, read_settings
from queries.stores import NoStateError, open_states, open_warehouse
from queries.warehouse import EmbeddedWarehouse, SharedWarehouse

CONFIG: Final = CHECKOUT / "config"
_QUIET: Final = examples(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)


def refused(read: Callable[[], object]) -> tuple[Mistake, ...]:
    try:
        read()
    except ConfigError as error:
        return error.mistakes
    return ()


def said(read: Callable[[], object]) -> list[str]:
    return [str(mistake) for mistake in refused(read)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(Path(__file__).parent / "config_small", tmp_path / "config"))


def put_settings(folder: Path, text: str) -> dict[str, str]:
    (folder / "settings.toml").write_text(text, encoding="utf-8")
    return {"EARSHOT_CONFIG": str(folder)}


def test_the_defaults() -> None:
    settings = read_settings({}, None)
    assert (settings.config, settings.data) == (CONFIG, CHECKOUT / "data")
    assert (settings.zone, settings.currency) == (None, "EUR")
    assert (settings.slack.token, settings.slack.base_url) == (None, "https://slack.com/api/")
    assert (settings.dashboard.host, settings.dashboard.public_url) == ("127.0.0.1", "http://127.0.0.1:8501")


def test_the_environment_is_stronger_than_dotenv_and_dotenv_than_the_file(folder: Path) -> None:
    environ = put_settings(folder, '[dashboard]\nport = 1\nhost = "::1"\npublic_url = "https://cx.example.com/"\n')
    dotenv = folder / ".env"
    dotenv.write_text("EARSHOT_DASHBOARD__PORT=2\nexport EARSHOT_ZONE='UTC' # ours\nPATH=/bin\n", encoding="utf-8")
    assert read_settings(environ, None).dashboard.port == 1
    assert read_settings(environ, dotenv).dashboard.port == 2
    settings = read_settings({**environ, "EARSHOT_DASHBOARD__PORT": "3"}, dotenv)
    assert (settings.dashboard.port, settings.dashboard.host, settings.zone) == (3, "::1", "UTC")
    assert settings.dashboard.public_url == "https://cx.example.com"


def test_an_empty_variable_is_not_set(folder: Path) -> None:
    assert read_settings({**put_settings(folder, 'zone = "UTC"\n'), "EARSHOT_ZONE": ""}, None).zone == "UTC"


def test_links_follow_the_port() -> None:
    settings = read_settings({"EARSHOT_DASHBOARD__PORT": "9000", "EARSHOT_DASHBOARD__HOST": "::1"}, None)
    assert settings.dashboard.public_url == "http://[::1]:9000"


def test_a_relative_folder_counts_from_where_it_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    environ = put_settings(folder, 'data = "store"\n')
    assert read_settings(environ, None).data == CHECKOUT / "store"
    assert read_settings({"EARSHOT_CONFIG": "config", "EARSHOT_DATA": "here"}, None).data == folder.parent / "here"
    assert read_settings({**environ, "EARSHOT_DATA": "~/there"}, None).data == Path("~/there").expanduser()


def test_dotenv_may_name_the_config_folder(folder: Path) -> None:
    dotenv = folder / ".env"
    dotenv.write_text(f"EARSHOT_CONFIG={folder}\n", encoding="utf-8")
    assert read_settings({}, dotenv).config == folder


def test_a_missing_settings_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"settings\.toml:1: the file is missing; .*EARSHOT_CONFIG"):
        read_settings({"EARSHOT_CONFIG": str(tmp_path)}, None)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("EARSHOT_ZOEN", "UTC", "unknown variable EARSHOT_ZOEN; did you mean EARSHOT_ZONE?"),
        ("earshot_zone", "UTC", "unknown variable earshot_zone; did you mean EARSHOT_ZONE?"),
        ("EARSHOT_SLACK_TOKEN", "x", "unknown variable EARSHOT_SLACK_TOKEN; did you mean EARSHOT_SLACK__TOKEN?"),
        ("EARSHOT_STATE__URI", "x", "unknown variable EARSHOT_STATE__URI; did you mean EARSHOT_STATE__URL?"),
        ("EARSHOT_QQQ", "", "unknown variable EARSHOT_QQQ; remove it; config/settings.toml lists what can be set"),
        ("EARSHOT_ZONE", "Europe/Zurch", "EARSHOT_ZONE: 'Europe/Zurch' is not a time zone; write Europe/Zurich"),
        (
            "EARSHOT_ZONE",
            "../etc",
            "EARSHOT_ZONE: '../etc' is not a time zone; write a name such as Europe/Zurich",
        ),
        ("EARSHOT_DASHBOARD__PORT", "http", "EARSHOT_DASHBOARD__PORT: port is 'http'; write a whole number"),
        ("EARSHOT_SLACK__TIMEOUT_S", "nan", "EARSHOT_SLACK__TIMEOUT_S: timeout_s is 'nan'; write a finite number"),
        (
            "EARSHOT_DASHBOARD__HOST",
            "0.0.0.0",
            "EARSHOT_DASHBOARD__HOST: in open mode '0.0.0.0' would expose customer data; write 127.0.0.1",
        ),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(variable: str, value: str, message: str, tmp_path: Path) -> None:
    assert said(lambda: read_settings({variable: value}, None)) == [f"environment: {message}"]
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"# Ours\nHOME=/root\n{variable}={value}\n", encoding="utf-8")
    assert said(lambda: read_settings({}, dotenv)) == [f"{dotenv}:3: {message}"]


def test_every_mistake_of_the_settings_comes_at_once(folder: Path) -> None:
    environ = put_settings(folder, 'zoen = "UTC"\n[dashboard]\nport = 0\n')
    mistakes = refused(lambda: read_settings({**environ, "EARSHOT_CURRENCY": "euro", "EARSHOT_HOST": "x"}, None))
    assert [m.line for m in mistakes] == [1, 3, 0, 0]


def test_a_line_of_dotenv_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("EARSHOT_ZONE='UTC\nHOME=/root\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\.env:1: not NAME=value; correct the line"):
        read_settings({}, dotenv)


def test_a_closed_dashboard_may_listen_anywhere() -> None:
    environ = {"EARSHOT_DASHBOARD__OPEN_MODE": "false", "EARSHOT_DASHBOARD__HOST": "0.0.0.0"}
    assert read_settings(environ, None).dashboard.host == "0.0.0.0"


def test_secrets_are_never_shown(folder: Path) -> None:
    url = "postgresql://me:hunter2@db/earshot"
    environ = {"EARSHOT_SLACK__TOKEN": "xoxb-hunter2", "EARSHOT_WAREHOUSE__URL": url, "EARSHOT_STATE__URL": url}
    settings = read_settings(environ, None)
    assert settings.slack.token == SecretStr("xoxb-hunter2")
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    for wrong in (
        '[warehouse]\nurl = ["hunter2"]\n',
        '[slack]\ntoken = ["hunter2"]\n',
        '[state]\nurl = "hunter2://"\n',
    ):
        with pytest.raises(ConfigError) as error:
            read_settings(put_settings(folder, wrong), None)
        assert "hunter2" not in str(error.value)


# Stores.


def local(tmp_path: Path, **more: str) -> Settings:
    return read_settings({"EARSHOT_DATA": str(tmp_path / "data"), **more}, None)


def test_stores_are_files_in_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = local(tmp_path, EARSHOT_WAREHOUSE__MEMORY_LIMIT="256MB", EARSHOT_WAREHOUSE__READING_LIMIT="64MB")
    warehouse = open_warehouse(settings)
    assert isinstance(warehouse, EmbeddedWarehouse)
    assert warehouse.folder == tmp_path / "data" / "warehouse"
    assert (warehouse.memory_limit, warehouse.reading_limit) == ("256MB", "64MB")
    open_states(settings).dispose()
    assert (tmp_path / "data" / "state.db").exists()


def test_a_url_makes_the_warehouse_a_shared_one(tmp_path: Path) -> None:
    warehouse = open_warehouse(local(tmp_path, EARSHOT_WAREHOUSE__URL="postgresql://me:secret@127.0.0.1:9/none"))
    assert isinstance(warehouse, SharedWarehouse)
    assert warehouse.engine.url.password == "secret"
    warehouse.close()


def test_a_data_folder_that_is_a_file_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("", encoding="utf-8")
    with pytest.raises(NoStateError, match="make it writable or set EARSHOT_DATA"):
        open_states(local(tmp_path))


def test_a_state_that_does_not_answer_is_said_without_its_password(tmp_path: Path) -> None:
    settings = local(tmp_path, EARSHOT_STATE__URL="postgresql://me:hunter2@127.0.0.1:9/none?connect_timeout=2")
    with pytest.raises(NoStateError, match="check EARSHOT_STATE__URL") as error:
        open_states(settings)
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


@_QUIET
@given(
    variables=st.dictionaries(st.sampled_from(sorted(VARIABLES - {"EARSHOT_CONFIG"})), st.text(min_size=1, max_size=12))
)
def test_junk_in_variables_is_only_ever_a_mistake(variables: dict[str, str]) -> None:
    assert {str(m.file) for m in refused(lambda: read_settings(variables, None))} <= {"environment"}


def test_the_shipped_settings_name_every_setting_and_its_default(tmp_path: Path) -> None:
    """Taking the # off every setting, but the examples of those without a default, changes nothing."""
    texts = ("zone", "url", "token", "app_token", "dead_man_url", "canary_channel", "template")
    without = (*texts, *SignInSettings.model_fields)
    lines = (CONFIG / "settings.toml").read_text(encoding="utf-8").splitlines()
    settable = [line.removeprefix("# ") for line in lines if line.startswith("# ") and " = " in line]
    assert len(settable) == len(VARIABLES) - 1  # EARSHOT_CONFIG cannot stand in the folder it names
    kept = [line for line in settable if not line.startswith(without)]
    shown = [line.removeprefix("# ") if line.removeprefix("# ") in kept else line for line in lines]
    (tmp_path / "settings.toml").write_text("\n".join(shown), encoding="utf-8")
    written = read_settings({"EARSHOT_CONFIG": str(tmp_path)}, None)
    assert written.model_copy(update={"config": CONFIG}) == read_settings({}, None)
