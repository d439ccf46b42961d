"""Reading the TOML files: entries with their lines, mistakes in words, checks between entries, drafts and rule tests.

It imports the models.
"""

from config.reading.entries import ConfigEntry, findings, suggest
from config.reading.environment import (
    Variable,
    from_dotenv,
    from_environment,
    nested,
    unknown,
    variable_name,
    variable_names,
)
from config.reading.known_incidents import KnownIncident, parse_known_incidents, read_known_incidents
from config.reading.loader import (
    FILES,
    SETTINGS,
    Drafts,
    files_of_drafts,
    parse_drafts,
    read_catalog,
    read_drafts,
    read_source,
)
from config.reading.rule_tests import (
    ExpectedIncident,
    RuleTest,
    Series,
    Slices,
    WrittenSignals,
    line,
    read_rule_tests,
    tested_rule,
)
from config.reading.toml_lines import Document, Place, read_toml
