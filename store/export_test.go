package store

import (
	"context"
	"io/fs"
)

// For the tests in store_test, which stand on storetest and so cannot be in this package.

var MigrateTo = migrateTo

// MigrateDown undoes every migration.
func MigrateDown(ctx context.Context, url string, files fs.FS) error {
	m, err := newMigrator(ctx, url, files)
	if err != nil {
		return err
	}
	defer m.close()
	return m.Down()
}
