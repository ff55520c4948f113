-- Tables go back to who rolls back; roles go when no other database of the server needs them.
DO $$
DECLARE
    role text;
BEGIN
    EXECUTE format('REASSIGN OWNED BY ironbook_owner TO %I', current_user);
    FOREACH role IN ARRAY ARRAY['ironbook_reader', 'ironbook_writer', 'ironbook_owner'] LOOP
        EXECUTE format('DROP OWNED BY %I', role);
        BEGIN
            EXECUTE format('DROP ROLE %I', role);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            NULL;
        END;
    END LOOP;
END $$;
