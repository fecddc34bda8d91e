DROP INDEX members_owners, users_disabled;
