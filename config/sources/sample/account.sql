SELECT
    account_id,
    name,
    since,
    recorded_at
FROM account
