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
from queries.messages.leases import (
    Lease,
    astray_lease,
    holds_lease,
    lease_holder,
    record_heartbeat,
    release_lease,
    take_lease,
)
from queries.messages.notifications import (
    Notification,
    notified_states,
    read_notifications,
    refresh_measured,
    refresh_message,
)
from queries.messages.outbox import (
    DIVERTED,
    DueMessage,
    Outcome,
    PossibleDuplicate,
    PostedMessage,
    QueuedMessage,
    notified_ids,
    possible_duplicates,
    posted_message,
    root_id,
    unsent,
    waiting_and_dead,
)
from queries.messages.pictures import (
    QueuedPicture,
    discard_pictures,
    due_picture,
    read_picture,
    record_picture,
    usable_file,
    want_picture,
)
from queries.messages.rate_limits import (
    RateLimit,
    block_channel,
    lock_rate_limit,
    make_rate_limits,
    read_rate_limits,
    record_use,
    try_acquire,
)
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
