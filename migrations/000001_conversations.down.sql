DROP TABLE receipts, entries, members, conversations, login_failures, invites, sessions, users, instance;
