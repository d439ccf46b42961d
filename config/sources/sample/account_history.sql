SELECT
    account_id,
    valid_from,
    valid_to,
    vertical,
    tier,
    owner,
    annual_revenue,
    currency,
    recorded_at
FROM account_history
