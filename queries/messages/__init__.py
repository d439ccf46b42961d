"""Messages between the state and Slack: what is to be sent and by whom, what came in, and what is kept back.

May import stores, state, scope, warehouse, statistics, the engine and config.
"""

from queries.messages.canary import SEEN, Canary, newest_canary
from queries.messages.digests import CASES, OVERFLOW, STANDING, CaseDigest, Digest, Worst, newest_case_digest
from queries.messages.direct_messages import (
    MAILBOX,
    DirectMessage,
    addressees,
    queue_direct_message,
    read_direct_message,
)
from queries.messages.inbox import Arrived, Done
from queries.messages.leases import (
    Lease,
    astray_lease,
    holds_lease,
    lease_holder,
    record_heartbeat,
    release_lease,
    take_lease,
)
from queries.messages.notifications import Notification, notified_states, read_notifications, refresh_measured
from queries.messages.outbox import (
    DIVERTED,
    DueMessage,
    Outcome,
    PossibleDuplicate,
    PostedMessage,
    QueuedMessage,
    notified_ids,
    unsent,
    waiting_and_dead,
)
from queries.messages.pictures import QueuedPicture
from queries.messages.rate_limits import RateLimit
from queries.messages.restores import last_restore, mark_restored
from queries.messages.silences import (
    Matchers,
    Silence,
    active_silences,
    add_silence,
    end_silence,
    muted,
    preview,
    refuse_unknown,
    silenced,
)
