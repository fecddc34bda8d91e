DROP INDEX users_search_stale;
DROP INDEX users_search_terms;
ALTER TABLE users DROP COLUMN search_terms, DROP COLUMN search_name;
