-- What a person is found by beside the username: the words of the display name as searches compare
-- them, with spaces between. The server folds them, because PostgreSQL cannot without an extension.
-- search_name is the name they were made of. The version before writes neither: until the server
-- has caught up, a new person is found by the name as it is.
ALTER TABLE users ADD COLUMN search_terms text, ADD COLUMN search_name text;

-- The index users_search stays for the version before.
CREATE INDEX users_search_terms ON users USING gin (array_to_tsvector(array_remove(
    string_to_array(translate(username, '._-', '   ') || ' ' || coalesce(search_terms, lower(display_name)), ' '), '')));

-- Names that search_terms are not made of.
CREATE INDEX users_search_stale ON users (id) WHERE search_name IS DISTINCT FROM display_name;
