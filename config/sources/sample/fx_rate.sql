SELECT
    currency,
    month,
    rate,
    recorded_at
FROM fx_rate
