-- The tables of the state before their versions were noted.
CREATE TABLE action (
    id VARCHAR NOT NULL,
    incident_id VARCHAR,
    vertical VARCHAR,
    touchpoint VARCHAR,
    metric VARCHAR,
    what VARCHAR NOT NULL,
    owner VARCHAR NOT NULL,
    started_on DATE NOT NULL,
    due_on DATE,
    expected_effect DOUBLE PRECISION,
    done_at TIMESTAMP WITHOUT TIME ZONE,
    recorded_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    author VARCHAR NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE decision (
    month DATE NOT NULL,
    vertical VARCHAR NOT NULL,
    issue VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    owner VARCHAR NOT NULL,
    decision VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (month, vertical, issue, seq)
);
CREATE TABLE eval_slot (
    rule VARCHAR NOT NULL,
    slot DATE NOT NULL,
    generation INTEGER NOT NULL,
    rule_hash VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    evaluated_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (rule, slot, generation)
);
CREATE TABLE heartbeat (
    name VARCHAR NOT NULL,
    at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    note VARCHAR NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE incident (
    id VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    rule_hash VARCHAR NOT NULL,
    slice VARCHAR NOT NULL,
    class VARCHAR NOT NULL,
    severity INTEGER NOT NULL,
    route VARCHAR NOT NULL,
    ladder TEXT NOT NULL,
    vertical VARCHAR,
    touchpoint VARCHAR,
    account_id VARCHAR,
    state VARCHAR NOT NULL,
    episode INTEGER NOT NULL,
    opened_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    slot DATE NOT NULL,
    resolved_at TIMESTAMP WITHOUT TIME ZONE,
    acknowledged_at TIMESTAMP WITHOUT TIME ZONE,
    acknowledged_by VARCHAR,
    next_step INTEGER NOT NULL,
    next_step_at TIMESTAMP WITHOUT TIME ZONE,
    value DOUBLE PRECISION,
    n INTEGER,
    origin VARCHAR NOT NULL,
    open_key VARCHAR,
    version INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (open_key)
);
CREATE INDEX incident_by_state ON incident (state, opened_at);
CREATE TABLE incident_event (
    incident_id VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    kind VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    author VARCHAR,
    generation INTEGER,
    sample TEXT,
    PRIMARY KEY (incident_id, seq)
);
CREATE TABLE instance (
    rule VARCHAR NOT NULL,
    slice VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    health VARCHAR NOT NULL,
    slot DATE,
    body TEXT NOT NULL,
    incident_id VARCHAR,
    PRIMARY KEY (rule, slice)
);
CREATE TABLE lease (
    name VARCHAR NOT NULL,
    holder VARCHAR NOT NULL,
    fence INTEGER NOT NULL,
    until TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE outbox (
    id VARCHAR NOT NULL,
    incident_id VARCHAR NOT NULL,
    episode INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    target VARCHAR NOT NULL,
    channel VARCHAR,
    state VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    attempted_at TIMESTAMP WITHOUT TIME ZONE,
    due_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    sent_at TIMESTAMP WITHOUT TIME ZONE,
    ts VARCHAR,
    error VARCHAR,
    PRIMARY KEY (id)
);
CREATE INDEX outbox_by_due ON outbox (state, due_at);
CREATE TABLE override (
    month DATE NOT NULL,
    vertical VARCHAR NOT NULL,
    at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    author VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    PRIMARY KEY (month, vertical, at)
);
CREATE TABLE rule_version (
    hash VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    body TEXT NOT NULL,
    author VARCHAR,
    stored_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (hash)
);
CREATE TABLE silence (
    id VARCHAR NOT NULL,
    matchers TEXT NOT NULL,
    reason VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    starts_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE slack_root (
    incident_id VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    channel VARCHAR NOT NULL,
    ts VARCHAR NOT NULL,
    posted_version INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (incident_id, target)
);
CREATE TABLE vote (
    incident_id VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    useful INTEGER NOT NULL,
    at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (incident_id, author)
);
