"""`EARSHOT_*` variables of the environment and of a .env file, each with the place it was written."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from dotenv.parser import parse_stream
from pydantic import BaseModel
from pydantic_settings import BaseSettings, EnvSettingsSource

from config import ENVIRONMENT, Mistake, refuse_irregular
from config.reading.toml_lines import Place

PREFIX: Final = "EARSHOT_"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable and where it was written."""

    name: str
    value: str
    file: Path = ENVIRONMENT
    line: int = 0

    def mistake(self, wrong: str, right: str) -> Mistake:
        """A mistake in this variable."""
        return Mistake(self.file, self.line, wrong, right)


def variable_name(place: Place) -> str:
    """The variable that sets the value at `place`: `("slack", "token")` is EARSHOT_SLACK__TOKEN."""
    return PREFIX + "__".join(str(part) for part in place).upper()


def variable_names(model: type[BaseModel], place: Place = ()) -> Iterator[str]:
    """Every variable there is for a model of settings."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from variable_names(inner, (*place, name))
        else:
            yield variable_name((*place, name))


def from_environment(environ: Mapping[str, str]) -> Iterator[Variable]:
    """Earshot's variables of an environment."""
    return (Variable(name, value) for name, value in environ.items() if _is_ours(name))


def from_dotenv(file: Path | None) -> tuple[tuple[Variable, ...], tuple[Mistake, ...]]:
    """Earshot's variables of a .env file, and its lines that are none. The file need not exist."""
    if file is None or not file.exists():
        return (), ()
    try:
        refuse_irregular(file)
        with file.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, ValueError) as error:
        return (), (Mistake(file, 1, f"the file cannot be read ({error})", "make it a readable UTF-8 text file"),)
    broken = (b.original.line for b in bindings if b.error)
    ours = (Variable(b.key, b.value or "", file, b.original.line) for b in bindings if b.key and _is_ours(b.key))
    return tuple(ours), tuple(Mistake(file, line, "not NAME=value", "correct the line") for line in broken)


def unknown(variables: Collection[Variable], names: Collection[str]) -> Iterator[Mistake]:
    """One mistake for each variable that sets nothing."""
    # The prefix is alike in all names and would make them all look near.
    ends = {name.removeprefix(PREFIX): name for name in names}
    for variable in variables:
        if variable.name not in names:
            near = get_close_matches(variable.name.upper().removeprefix(PREFIX), ends, n=1)
            listed = "remove it; config/settings.toml lists what can be set"
            right = f"did you mean {ends[near[0]]}?" if near else listed
            yield variable.mistake(f"unknown variable {variable.name}", right)


def nested(model: type[BaseSettings], variables: Mapping[str, Variable]) -> dict[str, Any]:
    """The values of variables as a tree: EARSHOT_SLACK__TOKEN stands at `slack`, `token`."""
    source = EnvSettingsSource(model, env_prefix=PREFIX, env_nested_delimiter="__")
    source.env_vars = {name.lower(): variable.value for name, variable in variables.items()}
    return source()


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX)
