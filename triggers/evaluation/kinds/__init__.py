"""The kinds of rule, a module each, and the registry that says what a kind must offer.

They may import rules and queries/statistics.
"""

from triggers.evaluation.kinds.kind import RuleKind, Setting, reading_sentence, rounded, sentence_start
from triggers.evaluation.kinds.registry import kind_of
from triggers.evaluation.kinds.silence import Delays, alpha_of, overdue_instruments, stale, unit_silences
from triggers.evaluation.kinds.window import (
    BREACH,
    VERDICTS,
    YEAR,
    Codes,
    EffectsAt,
    Inputs,
    Windows,
    bonferroni,
    verdicts,
)
