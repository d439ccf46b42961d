SELECT
    account_id,
    month,
    amount,
    currency,
    share_of_wallet,
    recorded_at
FROM revenue
