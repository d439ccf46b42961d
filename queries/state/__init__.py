"""The state: incidents and what was evaluated, sent, decided and done about them, and its versions.

May import scope, warehouse, statistics, the engine and config.
"""

from queries.state.actions import (
    COMPANY,
    DECIDED,
    Action,
    ActionError,
    NewAction,
    finish_action,
    parse_effect,
    read_actions,
    read_decisions,
    read_standing,
    record_action,
    share_action,
)
from queries.state.closed_reviews import (
    DOCUMENT,
    ClosedReview,
    ClosedReviewError,
    closed_review,
    held_on,
    read_closed_review,
    record_closed_review,
    refuse_closed,
)
from queries.state.counters import FAILED, FOUND, LIMITED, increment, read_counters
from queries.state.database import FILE, open_state, passing_state
from queries.state.escalations import (
    BEYOND,
    TOLD,
    WITHHELD,
    Escalation,
    RuleTally,
    read_escalations,
    rule_tallies,
    spent,
    unnamed,
)
from queries.state.evaluations import (
    MISSED_SLOTS,
    Calibration,
    Evaluated,
    Newest,
    Remembered,
    RuleError,
    RuleVersion,
    StoredBaseline,
    baselines,
    calibrations,
    evaluated_at,
    frozen_days,
    newest_slots,
    remembered,
    rule_errors,
    rule_hashes,
    rule_version,
    store_calibration,
    tally_text,
)
from queries.state.feedback import Precision, Verdict, precisions, vote, votes_by_rule
from queries.state.guesses import Guess, GuessError, read_guesses, record_guesses, was_shown
from queries.state.incidents import (
    CANARY,
    CHUNK,
    NAMESPACE,
    DigestPart,
    HistoryEntry,
    Incident,
    Queued,
    RacedError,
    TickRecord,
    UnknownIncidentError,
    annotate,
    delivery_id,
    entries,
    histories,
    incident_id,
    incidents_by_id,
    map_slice,
    open_incidents,
    read_incident,
    read_incidents,
    slice_key,
    slice_values,
    write,
)
from queries.state.overrides import Override, overrides, record_override
from queries.state.picture_table import picture
from queries.state.tables import (
    VERSIONS,
    channel_gate,
    digest_part,
    erasure,
    eval_slot,
    heartbeat,
    inbound,
    incident,
    incident_event,
    instance,
    lease,
    letter,
    outbox,
    restored,
    silence,
    slack_root,
    state,
)
