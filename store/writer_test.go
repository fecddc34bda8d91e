package store_test

import (
	"testing"

	"parley/store"
	"parley/store/storetest"
)

func TestWriter(t *testing.T) {
	t.Parallel()
	t.Run("goes on while all other connections are taken", func(t *testing.T) {
		t.Parallel()
		db := storetest.New(t)
		for range db.Pool().Config().MaxConns {
			conn, err := db.Pool().Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
		}
		if _, err := db.Writer().Exec(t.Context(), `UPDATE instance SET epoch = epoch`); err != nil {
			t.Error(err)
		}
	})
	for _, most := range []int32{1, 2, 3, 8, 64} {
		db, err := store.Open(t.Context(), store.Config{URL: storetest.URL(t), MaxConns: most})
		if err != nil {
			t.Fatal(err)
		}
		n := db.Pool().Config().MaxConns
		if db.Writer() != db {
			n += db.Writer().Pool().Config().MaxConns
		}
		if n != most || most > 1 && db.Writer() == db {
			t.Errorf("%d connections are %d", most, n)
		}
		db.Close()
	}
}
