SELECT
    id,
    account_id,
    journey_type,
    goal,
    started_at,
    promised_at,
    ended_at,
    outcome,
    vertical,
    product,
    region,
    recorded_at
FROM journey
