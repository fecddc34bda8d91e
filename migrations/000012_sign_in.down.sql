DROP TABLE audit_events;
ALTER TABLE sessions DROP COLUMN last_address, DROP COLUMN address;
DROP TABLE account_secrets;
