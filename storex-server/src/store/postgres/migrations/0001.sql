-- Who the users are. The number is drawn at random, so that one which was taken back with an older state of the database
-- never stands for somebody else. The row's lock orders whatever is written to the user's log.
CREATE TABLE storex.account (
    id bigint PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    -- The identity of the log.
    log bytea NOT NULL,
    -- Of the log's last transaction.
    position bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

CREATE TABLE storex.transaction (
    account bigint NOT NULL,
    position bigint NOT NULL,
    device bytea NOT NULL,
    incarnation bigint NOT NULL,
    sequence bigint NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (account, position),
    UNIQUE (account, device, incarnation, sequence)
) PARTITION BY HASH (account);

-- What a log knows of a device: what it wrote, what it has, and up to where something of it was dropped.
CREATE TABLE storex.log_device (
    account bigint NOT NULL,
    device bytea NOT NULL,
    incarnation bigint NOT NULL,
    last_sequence bigint NOT NULL DEFAULT 0,
    acknowledged bigint NOT NULL DEFAULT 0,
    member boolean NOT NULL DEFAULT false,
    floor bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (account, device, incarnation)
) PARTITION BY HASH (account);

-- The snapshot that is published.
CREATE TABLE storex.snapshot (
    account bigint PRIMARY KEY,
    maker bytea NOT NULL,
    incarnation bigint NOT NULL,
    number bytea NOT NULL,
    pages bigint NOT NULL,
    place bytea NOT NULL
) PARTITION BY HASH (account);

CREATE TABLE storex.snapshot_page (
    account bigint NOT NULL,
    maker bytea NOT NULL,
    incarnation bigint NOT NULL,
    number bytea NOT NULL,
    page bigint NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (account, maker, incarnation, number, page)
) PARTITION BY HASH (account);

-- Written once; they mean nothing to the log.
CREATE TABLE storex.sealed_key (
    account bigint NOT NULL,
    name bytea NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (account, name)
) PARTITION BY HASH (account);

-- The directory. Times are milliseconds since 1970.
CREATE TABLE storex.device (
    account bigint NOT NULL,
    id bytea NOT NULL,
    -- The order in which they came.
    came bigint NOT NULL,
    name text NOT NULL,
    registered_at bigint NOT NULL,
    last_seen bigint NOT NULL,
    revoked_at bigint,
    PRIMARY KEY (account, id)
) PARTITION BY HASH (account);

CREATE INDEX ON storex.device (revoked_at) WHERE revoked_at IS NOT NULL;

DO $$
DECLARE
    parted text;
BEGIN
    FOREACH parted IN ARRAY ARRAY['transaction', 'log_device', 'snapshot', 'snapshot_page', 'sealed_key', 'device'] LOOP
        FOR n IN 0..15 LOOP
            EXECUTE format(
                'CREATE TABLE storex.%I PARTITION OF storex.%I FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                parted || '_' || n, parted, n);
            -- Room for rows that are written anew in their page, without touching an index.
            IF parted IN ('log_device', 'device') THEN
                EXECUTE format('ALTER TABLE storex.%I SET (fillfactor = 70)', parted || '_' || n);
            END IF;
        END LOOP;
    END LOOP;
    -- What devices send is compressed or sealed already: to compress it again costs time and saves nothing.
    FOR n IN 0..15 LOOP
        EXECUTE format('ALTER TABLE storex.%I ALTER payload SET STORAGE EXTERNAL', 'transaction_' || n);
        EXECUTE format('ALTER TABLE storex.%I ALTER bytes SET STORAGE EXTERNAL', 'snapshot_page_' || n);
    END LOOP;
END $$;
