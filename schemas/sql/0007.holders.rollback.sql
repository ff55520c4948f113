DROP TABLE secret_holders;
DO $$
BEGIN
    DROP OWNED BY ironbook_follower;
    BEGIN
        DROP ROLE ironbook_follower;
    EXCEPTION WHEN dependent_objects_still_exist THEN
        NULL;                                   -- another database of this server has it too
    END;
END $$;
