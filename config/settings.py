"""Where things are and how to reach them: `EARSHOT_*` variables, then `.env`, then settings.toml, then defaults."""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from config import ENVIRONMENT, ConfigError, Mistake
from config.models import ChannelId, Duration, Zone, matching
from config.reading import (
    Document,
    Variable,
    findings,
    from_dotenv,
    from_environment,
    nested,
    read_toml,
    unknown,
    variable_name,
    variable_names,
)

CHECKOUT: Final = Path(__file__).resolve().parent.parent
_MEMORY: Final = re.compile(r"[1-9][0-9]*(\.[0-9]+)? ?(MB|GB|MiB|GiB)")
_CURRENCY: Final = re.compile("[A-Z]{3}")
_POSTGRESQL: Final = ("postgresql", "postgresql+psycopg")


def _database(url: SecretStr) -> SecretStr:
    """The address holds a password: no message repeats it."""
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        # Of a password with an @ or a / in it the driver would take the end for the host's name, and say it.
        good = parts.scheme in _POSTGRESQL and text.count("@") == parts.netloc.count("@") <= 1 and parts.port != 0
    except ValueError:
        good = False
    if not good:
        address = "postgresql://user:password@host/database, with %40 for @ and %2F for / in the password"
        message = f"the url is not a PostgreSQL address; write {address}"
        raise ValueError(message)
    return url


def _web(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        shown = re.sub("//.*@", "//***@", url)
        message = f"{shown!r} is not a web address; write one that starts with http:// or https://"
        raise ValueError(message)
    return url


def _ping(url: SecretStr) -> SecretStr:
    """Who knows the address can say that all is well: no message repeats it."""
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        message = "the url is not a web address; write one that starts with http:// or https://"
        raise ValueError(message)
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]


def _reachable(folder: Path) -> Path:
    if homeless := next((part for part in folder.parts if part.startswith("~")), None):
        message = f"{homeless!r} does not lead to a home folder; write the whole path"
        raise ValueError(message)
    return folder


WebUrl = Annotated[str, AfterValidator(_web)]
Memory = Annotated[str, matching(_MEMORY, "write a number and MB or GB, such as '1GB'", "is not an amount of memory")]
Currency = Annotated[str, matching(_CURRENCY, "write its three letters, such as 'EUR'", "is not a currency")]


class _Part(BaseModel):
    """One table of the settings. Not strict: a variable's value is text."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WarehouseSettings(_Part):
    """Where canonical rows live: PostgreSQL at `url`, or else DuckDB files in the data folder."""

    url: DatabaseUrl | None = None
    memory_limit: Memory = "1GB"
    reading_limit: Memory = "512MB"
    select_limit: Annotated[Duration, Field(ge=timedelta(minutes=1))] = timedelta(hours=1)


class StateSettings(_Part):
    """Where incidents and deliveries live: PostgreSQL at `url`, or else SQLite in the data folder."""

    url: DatabaseUrl | None = None


class SlackSettings(_Part):
    """How to reach Slack. Without a token messages stay pending; without an app token its buttons do nothing."""

    token: SecretStr | None = None
    app_token: SecretStr | None = None
    base_url: Annotated[WebUrl, AfterValidator(lambda url: url if url.endswith("/") else f"{url}/")] = (
        "https://slack.com/api/"
    )
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10


def _address(data: Mapping[str, Any]) -> str:
    host = f"[{data['host']}]" if ":" in data["host"] else data["host"]
    return f"http://{host}:{data['port']}"


def _host(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9.:-]+", name):
        message = f"{name!r} is not a host name; write it in small letters without a port, such as earshot.example.com"
        raise ValueError(message)
    return name


class DashboardSettings(_Part):
    """Where the dashboard listens and how links to it begin. In open mode nobody signs in.

    `names` are the hosts that it answers to besides this machine's own and that of `public_url`.
    """

    open_mode: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8501
    public_url: Annotated[WebUrl, AfterValidator(lambda url: url.rstrip("/"))] = Field(default_factory=_address)
    names: Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], NoDecode] = ()

    @property
    def base(self) -> str:
        """The path below which a proxy serves the pages, such as `/earshot`; empty where they have a whole name."""
        return urlsplit(self.public_url).path

    @field_validator("names", mode="before")
    @classmethod
    def _between_commas(cls, names: object) -> object:
        # In a variable: whoever sets one need not know how TOML or JSON write a list.
        return re.split(r"[,\s]+", names.strip()) if isinstance(names, str) else names

    @field_validator("host")
    @classmethod
    def _loopback_when_open(cls, host: str, info: ValidationInfo) -> str:
        if info.data.get("open_mode", True) and not is_loopback(host):
            message = f"in open mode {host!r} would expose customer data; write 127.0.0.1"
            raise ValueError(message)
        return host


def is_loopback(host: str) -> bool:
    """Whether a name or an address is of this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class SignInSettings(_Part):
    """The OpenID Connect provider that says who a reader is. `cookie_secret` signs what a browser keeps of it."""

    metadata_url: WebUrl | None = None
    client_id: str = ""
    client_secret: SecretStr | None = None
    cookie_secret: Annotated[SecretStr, Field(min_length=32)] | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of what is not set: all four are needed."""
        return tuple(name for name in type(self).model_fields if not getattr(self, name))


class WatchSettings(_Part):
    """How the watchdog is watched itself, and from what age on data are stale."""

    dead_man_url: Annotated[SecretStr, AfterValidator(_ping)] | None = None
    canary_channel: ChannelId | None = None
    stale_after: Duration = timedelta(days=2)


class DocumentSettings(_Part):
    """How documents to forward look: the paper of a PDF, and the company's own slides that a PPTX is modelled on."""

    page: Literal["a4", "us-letter"] = "a4"
    template: Annotated[Path, AfterValidator(_reachable)] | None = None


class Settings(BaseSettings):
    """Everything about this installation, read once by `read_settings`.

    `config` and `data` are absolute folders. `zone` None is the zone of the first source ever loaded.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    config: Annotated[Path, AfterValidator(_reachable)]
    data: Annotated[Path, AfterValidator(_reachable)] = CHECKOUT / "data"
    zone: Zone | None = None
    currency: Currency = "EUR"
    warehouse: WarehouseSettings = WarehouseSettings()
    state: StateSettings = StateSettings()
    slack: SlackSettings = SlackSettings()
    dashboard: DashboardSettings = DashboardSettings()
    sign_in: SignInSettings = SignInSettings()
    watch: WatchSettings = WatchSettings()
    documents: DocumentSettings = DocumentSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        *_sources: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `read_settings` found: pydantic-settings passes over a missing file and a mistyped variable."""
        return (init_settings,)


VARIABLES: Final = frozenset(variable_names(Settings))
"""Every `EARSHOT_` variable there is."""


def read_settings(environ: Mapping[str, str] = os.environ, dotenv: Path | None = CHECKOUT / ".env") -> Settings:
    """The settings, from the strongest place each was given in: `environ`, `dotenv`, settings.toml, the default.

    A relative folder counts from where the command runs when the environment names it, else from the checkout.

    Raises:
        ConfigError: with all mistakes; a missing settings.toml and an unknown `EARSHOT_` variable are mistakes.
    """
    environment = tuple(from_environment(environ))
    written, mistakes = from_dotenv(dotenv)
    mistakes += tuple(unknown((*environment, *written), VARIABLES))
    variables = {v.name: v for v in (*written, *environment) if v.value and v.name in VARIABLES}
    config = _folder(variables.pop("EARSHOT_CONFIG", None)) or CHECKOUT / "config"
    try:
        settings = _settings(config, read_toml(config / "settings.toml"), variables)
    except ConfigError as error:
        raise ConfigError((*mistakes, *error.mistakes)) from None
    if mistakes:
        raise ConfigError(mistakes)
    return settings


def _settings(config: Path, document: Document, variables: Mapping[str, Variable]) -> Settings:
    raw = _merged(document.values, variables)
    mistakes = []
    if "config" in document.values:
        wrong, right = "the config folder cannot be set by a file in it", "set the variable EARSHOT_CONFIG"
        mistakes.append(Mistake(document.file, document.line(("config",)), wrong, right))
    try:
        settings = Settings(**{**raw, "config": config})
    except ValidationError as error:
        for place, wrong, right in findings(error, Settings, raw):
            if variable := variables.get(variable_name(place)):
                mistakes.append(variable.mistake(f"{variable.name}: {wrong}", right))
            else:
                mistakes.append(Mistake(document.file, document.line(place), wrong, right))
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return settings


def _merged(values: Mapping[str, Any], variables: Mapping[str, Variable]) -> dict[str, Any]:
    merged = dict(values)
    if isinstance(data := merged.get("data"), str):
        merged["data"] = CHECKOUT / _expanded(data)
    for key, value in nested(Settings, variables).items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return {**merged, "data": folder} if (folder := _folder(variables.get("EARSHOT_DATA"))) else merged


def _folder(variable: Variable | None) -> Path | None:
    if variable is None:
        return None
    return (Path.cwd() if variable.file == ENVIRONMENT else CHECKOUT) / _expanded(variable.value)


def _expanded(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError:  # of a user who has no home, or does not exist: `_reachable` says so with its line
        return Path(folder)
