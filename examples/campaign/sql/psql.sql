-- One transaction of a producer that knows nothing but SQL. The demo sets before it
--   size      how many recipients
--   doomed    whether it ends with ROLLBACK
--   campaign  whose they are
--   queue     where the jobs go
SELECT array_agg(nextval('campaign.recipient_ids')) AS ids FROM generate_series(1, :size) \gset

\if :doomed
    INSERT INTO campaign.rolled_back (recipient_id, producer) SELECT unnest(:'ids'::bigint[]), 'psql';
\endif

BEGIN;

INSERT INTO campaign.recipients (id, campaign_id, email, name, producer)
SELECT id, :campaign, 'guest.' || id || '@readers.example', 'Guest ' || id, 'psql'
FROM unnest(:'ids'::bigint[]) AS id;

INSERT INTO outbox.jobs (queue_name, kind, payload)
SELECT :'queue', 'campaign.mail', jsonb_build_object('campaign_id', campaign_id, 'recipient_id', id, 'email', email, 'name', name)
FROM campaign.recipients
WHERE id = ANY (:'ids'::bigint[]);

\if :doomed
    ROLLBACK;
\else
    COMMIT;
\endif
