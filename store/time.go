package store

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// timestamptz reads every time into what JSON can express. A timestamptz may be infinite or
// beyond year 9999: then it becomes the nearest time that RFC 3339 has, and the row is read.
// Otherwise one such row would fail the whole statement, with the rows of other users.
type timestamptz struct{ *pgtype.TimestamptzCodec }

// The bounds of what a time read from the database becomes.
var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

// PlanScan implements pgtype.Codec.
func (c timestamptz) PlanScan(m *pgtype.Map, oid uint32, format int16, target any) pgtype.ScanPlan {
	if _, ok := target.(*time.Time); !ok {
		return c.TimestamptzCodec.PlanScan(m, oid, format, target)
	}
	return boundedPlan{c.TimestamptzCodec.PlanScan(m, oid, format, (*boundedTime)(nil))}
}

// boundedPlan scans into a *time.Time through a boundedTime.
type boundedPlan struct{ inner pgtype.ScanPlan }

func (p boundedPlan) Scan(src []byte, target any) error {
	return p.inner.Scan(src, (*boundedTime)(target.(*time.Time)))
}

type boundedTime time.Time

var errNullTime = errors.New("cannot scan NULL into a time")

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (t *boundedTime) ScanTimestamptz(v pgtype.Timestamptz) error {
	switch {
	case !v.Valid: // NULL into a time that cannot be NULL: the statement or its reader is wrong
		return errNullTime
	case v.InfinityModifier == pgtype.Infinity || v.Time.Year() > 9999:
		*t = boundedTime(lastTime)
	case v.InfinityModifier == pgtype.NegativeInfinity || v.Time.Year() < 1:
		*t = boundedTime(firstTime)
	default:
		*t = boundedTime(v.Time)
	}
	return nil
}

// JSONTime is a time in JSON that PostgreSQL made, within the same bounds and in UTC.
type JSONTime time.Time

// UnmarshalJSON implements json.Unmarshaler. What RFC 3339 does not have is out of its bounds.
func (t *JSONTime) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case err == nil && at.UTC().Year() >= 1 && at.UTC().Year() <= 9999:
		*t = JSONTime(at.UTC())
	case text == "-infinity" || strings.HasSuffix(text, " BC") || err == nil && at.UTC().Year() < 1:
		*t = JSONTime(firstTime)
	case text == "infinity" || strings.Count(text, "-") >= 2:
		*t = JSONTime(lastTime)
	default:
		return err
	}
	return nil
}
