SELECT
    person_id,
    account_id,
    role,
    active_from,
    active_to,
    opted_out,
    recorded_at
FROM person
