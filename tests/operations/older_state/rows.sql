INSERT INTO rule_version (hash, rule, body, author, stored_at)
    VALUES ('h1', 'defects', '{}', 'ana', '2026-05-01 09:00:00');
INSERT INTO eval_slot (rule, slot, generation, rule_hash, origin, evaluated_at)
    VALUES ('defects', '2026-05-04', 3, 'h1', 'live', '2026-05-04 09:00:00');
INSERT INTO instance (rule, slice, state, health, slot, body, incident_id)
    VALUES ('defects', 'vertical=Retail', 'firing', 'ok', '2026-05-04', '{}', 'i1');
INSERT INTO incident (id, rule, rule_hash, slice, class, severity, route, ladder, vertical, state, episode, opened_at,
        slot, next_step, next_step_at, value, n, origin, open_key, version)
    VALUES ('i1', 'defects', 'h1', 'vertical=Retail', 'customer', 2, 'delivery', '[{"after": "0m", "notify": "channel"}]',
        'Retail', 'open', 1, '2026-05-04 09:00:00', '2026-05-04', 1, NULL, 0.4, 50, 'live', 'defects|vertical=Retail', 1);
INSERT INTO incident_event (incident_id, seq, at, kind, reason, generation, sample)
    VALUES ('i1', 1, '2026-05-04 09:00:00', 'opened', 'over the limit', 3, '{"value": 0.4}');
INSERT INTO outbox (id, incident_id, episode, kind, step, target, channel, state, version, attempts, due_at, created_at)
    VALUES ('o1', 'i1', 1, 'root', 0, 'delivery', NULL, 'pending', 1, 0, '2026-05-04 09:00:00', '2026-05-04 09:00:00');
INSERT INTO heartbeat (name, at, note) VALUES ('triggers', '2026-05-04 09:00:00', '3');
INSERT INTO action (id, incident_id, what, owner, started_on, expected_effect, recorded_at, author)
    VALUES ('a1', 'i1', 'Call the engineer', 'ana', '2026-05-05', -0.1, '2026-05-05 09:00:00', 'ana');
INSERT INTO vote (incident_id, author, useful, at) VALUES ('i1', 'ana', 1, '2026-05-05 09:00:00');
