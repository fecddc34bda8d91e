package store

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// ID is a UUID that names a T: ids of different things do not mix. It is a string in
// JSON and in paths, and a uuid in PostgreSQL.
type ID[T any] uuid.UUID

// NewID makes a UUIDv7 (RFC 9562), so that indexes grow at their right edge.
func NewID[T any]() ID[T] { return ID[T](uuid.Must(uuid.NewV7())) }

func (id ID[T]) String() string { return uuid.UUID(id).String() }

// IsZero says whether the id names nothing.
func (id ID[T]) IsZero() bool { return id == ID[T]{} }

// MarshalText gives the canonical form, 36 characters.
func (id ID[T]) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText takes the canonical form.
func (id *ID[T]) UnmarshalText(b []byte) error {
	if len(b) != 36 {
		return fmt.Errorf("an id has 36 characters, not %d", len(b))
	}
	return (*uuid.UUID)(id).UnmarshalText(b)
}

// UUIDValue implements pgtype.UUIDValuer.
func (id ID[T]) UUIDValue() (pgtype.UUID, error) { return pgtype.UUID{Bytes: id, Valid: true}, nil }

// ScanUUID implements pgtype.UUIDScanner; null becomes the zero id.
func (id *ID[T]) ScanUUID(v pgtype.UUID) error { *id = ID[T](v.Bytes); return nil }
