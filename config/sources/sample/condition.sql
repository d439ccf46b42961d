SELECT
    id,
    name,
    kind,
    starts_at,
    ends_at,
    verticals,
    touchpoints,
    recorded_at
FROM condition
