SELECT
    instrument,
    version,
    pattern,
    owner,
    cadence,
    wording_changed_at,
    recorded_at
FROM instrument
