DROP INDEX conversations_client_key;
ALTER TABLE conversations DROP COLUMN client_id, DROP COLUMN created_by;
ALTER TABLE members DROP COLUMN until_title, DROP COLUMN hidden_until_message;
