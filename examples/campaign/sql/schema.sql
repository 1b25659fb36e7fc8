-- The business tables of the demo: what an application that sends campaigns keeps.
-- Rookery knows nothing of them.
CREATE SCHEMA campaign;
COMMENT ON SCHEMA campaign IS 'rookery campaign demo';

CREATE TABLE campaign.campaigns (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL,
    producer   text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Ids are drawn before the transaction that uses them, so that those of a
-- transaction that will be rolled back can be noted first.
CREATE SEQUENCE campaign.recipient_ids;
CREATE TABLE campaign.recipients (
    id          bigint      PRIMARY KEY DEFAULT nextval('campaign.recipient_ids'),
    campaign_id bigint      NOT NULL REFERENCES campaign.campaigns,
    email       text        NOT NULL,
    name        text        NOT NULL,
    producer    text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Recipients whose transaction was rolled back, noted beforehand in a transaction
-- of its own: whoever of them gets mail is a phantom.
CREATE TABLE campaign.rolled_back (
    recipient_id bigint PRIMARY KEY,
    producer     text   NOT NULL
);
