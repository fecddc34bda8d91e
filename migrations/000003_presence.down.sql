DROP TABLE online, presence, delivered_to_all;
ALTER TABLE receipts DROP COLUMN read_at, DROP COLUMN read_before, DROP COLUMN delivered_at, DROP COLUMN delivered_before;
ALTER TABLE users DROP COLUMN show_last_seen, DROP COLUMN read_receipts;
