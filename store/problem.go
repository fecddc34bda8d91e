package store

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"parley/problem"
)

var (
	errUnavailable = problem.New(problem.Unavailable, "The database cannot be reached right now. Try again in a moment.")
	errBusy        = problem.New(problem.Unavailable, "The database is busy. Try again in a moment.")
	errFull        = problem.New(problem.Unavailable, "The server has no room left to store anything. Its operator must make some.")
	errConflict    = problem.New(problem.Conflict, "This contradicts what is already stored.")
	errInvalid     = problem.New(problem.Invalid, "A value is one that cannot be stored.")
	errTooLarge    = problem.New(problem.TooLarge, "A value is too large to be stored.")
)

// Problem turns an error of the database into the form callers see, with err as its
// cause. A nil error, one that is a *problem.Error already and one that does not come
// from the database are returned unchanged. The end of a context counts as the
// database's: almost always it is what the call was waiting for.
func Problem(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*problem.Error](err); ok {
		return err
	}
	if p, _ := classify(err); p != nil {
		return p.Because(err)
	}
	return err
}

// Transient tells whether err came from circumstances: a lost connection, a timeout, a
// shutdown, a deadlock, a full disk. If it came from a commit, the outcome is unknown;
// otherwise nothing was changed and a retry may succeed.
func Transient(err error) bool {
	_, transient := classify(err)
	return transient
}

// IsUniqueViolation tells whether err is a violation of the unique constraint or index
// of that name; any, if the name is empty.
func IsUniqueViolation(err error, constraint string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == pgerrcode.UniqueViolation && (constraint == "" || pg.ConstraintName == constraint)
}

// TimedOut tells whether a statement was ended because it took longer than it may: with less
// to look at it may succeed.
func TimedOut(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == pgerrcode.QueryCanceled
}

// classify gives the problem a database error is to a caller, nil for another error, and
// whether it is transient.
func classify(err error) (p *problem.Error, transient bool) {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyState(pg)
	}
	if _, ok := errors.AsType[*UnfitError](err); ok {
		return errUnavailable, false
	}
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	switch {
	case connect, network,
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNREFUSED),
		errors.Is(err, puddle.ErrClosedPool),
		pgconn.SafeToRetry(err): // a connection found closed before anything was sent
		return errUnavailable, true
	}
	return nil, false
}

func classifyState(pg *pgconn.PgError) (p *problem.Error, transient bool) {
	switch pg.Code {
	case pgerrcode.UniqueViolation, pgerrcode.ForeignKeyViolation, pgerrcode.ExclusionViolation:
		return errConflict, false
	case pgerrcode.CheckViolation, pgerrcode.StringDataRightTruncationDataException, pgerrcode.CharacterNotInRepertoire,
		pgerrcode.UntranslatableCharacter, pgerrcode.NumericValueOutOfRange, pgerrcode.DatetimeFieldOverflow,
		pgerrcode.InvalidTextRepresentation:
		return errInvalid, false
	case pgerrcode.DiskFull:
		return errFull, true
	case pgerrcode.SerializationFailure, pgerrcode.DeadlockDetected, pgerrcode.LockNotAvailable, pgerrcode.QueryCanceled:
		return errBusy, true
	case pgerrcode.ReadOnlySQLTransaction, // the primary has become a standby
		pgerrcode.IdleInTransactionSessionTimeout:
		return errUnavailable, true
	case pgerrcode.FeatureNotSupported:
		// A migration by a newer replica changed a statement's columns. pgx forgets the
		// prepared statement, so that the next try goes through.
		if strings.Contains(pg.Message, "cached plan must not change result type") {
			return errBusy, true
		}
		return nil, false
	}
	switch {
	case pgerrcode.IsProgramLimitExceeded(pg.Code):
		return errTooLarge, false
	case pgerrcode.IsInsufficientResources(pg.Code):
		return errBusy, true
	case pgerrcode.IsConnectionException(pg.Code), pgerrcode.IsOperatorIntervention(pg.Code),
		pgerrcode.IsSystemError(pg.Code), pgerrcode.IsInvalidAuthorizationSpecification(pg.Code),
		pgerrcode.IsInvalidCatalogName(pg.Code):
		return errUnavailable, true
	}
	return nil, false
}
