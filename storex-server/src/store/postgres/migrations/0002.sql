-- Blobs. When something was last sent of one is in milliseconds since 1970.
CREATE TABLE storex.blob (
    account bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    whole boolean NOT NULL,
    touched bigint NOT NULL,
    PRIMARY KEY (account, name)
) PARTITION BY HASH (account);

CREATE INDEX ON storex.blob (touched) WHERE NOT whole;

CREATE TABLE storex.blob_chunk (
    account bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (account, name, number)
) PARTITION BY HASH (account);

DO $$
BEGIN
    FOR n IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE storex.%I PARTITION OF storex.blob FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
            'blob_' || n, n);
        EXECUTE format(
            'CREATE TABLE storex.%I PARTITION OF storex.blob_chunk FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
            'blob_chunk_' || n, n);
        EXECUTE format('ALTER TABLE storex.%I ALTER bytes SET STORAGE EXTERNAL', 'blob_chunk_' || n);
    END LOOP;
END $$;
