SELECT
    id,
    account_id,
    journey_id,
    touchpoint,
    code,
    severity,
    occurred_at,
    resolved_at,
    vertical,
    product,
    region,
    recorded_at
FROM defect
