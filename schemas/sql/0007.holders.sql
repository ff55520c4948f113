-- depends: 0006.profits

-- A rotation ends an old secret only when every row of that secret names the new one. A process that stops cleanly takes
-- its rows with it; one that crashed leaves them, and they hold the rotation up until it is back or is told to be gone.
CREATE TABLE secret_holders (            -- Which running process has which secret; fingerprints, never a secret itself.
    process text NOT NULL,               -- its name, such as engine-0@host-7
    kind text NOT NULL,                  -- engine, gateway, validation, risk, submitter, analytics, publisher
    secret text NOT NULL,                -- which secret, such as api_key/desk-1, database/gateway, cookie
    accepts text[] NOT NULL,             -- fingerprints of the versions that it takes from others
    uses text,                           -- fingerprint of the version that it shows to others
    host text NOT NULL,                  -- the machine that it runs on
    since_ns bigint NOT NULL,            -- when it began to hold just these
    seen_ns bigint NOT NULL,             -- when it was last known to live and hold them
    PRIMARY KEY (process, secret)
);
CREATE INDEX secret_holders_by_secret ON secret_holders (secret);

-- A fourth role without login, for the users of `ironbook secrets follow`: it writes this table and reads no other.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ironbook_follower') THEN
        BEGIN
            CREATE ROLE ironbook_follower NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;                               -- another database of this server was quicker
        END;
    END IF;
END $$;

GRANT USAGE ON SCHEMA public TO ironbook_follower;
GRANT SELECT, INSERT, UPDATE, DELETE ON secret_holders TO ironbook_follower;
GRANT SELECT ON secret_holders TO ironbook_reader, ironbook_writer;
ALTER TABLE secret_holders OWNER TO ironbook_owner;
