// Package problem is the one error that people and programs get to see: a code from a
// short list, a sentence, and its HTTP and frame forms. Everything else that goes wrong
// is "internal" to the outside and a log line on the inside.
package problem

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Code says what kind of thing went wrong. Codes are part of the public contract.
type Code string

// The codes and what a caller can do about them.
const (
	Invalid         Code = "invalid"         // the request is malformed or breaks a rule; send another
	Unauthenticated Code = "unauthenticated" // no valid session; sign in
	Forbidden       Code = "forbidden"       // known, but not allowed to
	NotFound        Code = "not_found"       // no such thing, or none that the caller may know of
	Conflict        Code = "conflict"        // contradicts what is stored
	TooLarge        Code = "too_large"       // over a size limit
	RateLimited     Code = "rate_limited"    // too often; wait RetryAfter
	Unavailable     Code = "unavailable"     // not now; retry, with the same client_id for a send
	Internal        Code = "internal"        // our fault; the log knows

	// ConfirmationRequired wants the password again; after it the same request is answered.
	ConfirmationRequired Code = "confirmation_required"
)

var statuses = map[Code]int{
	Invalid:         http.StatusBadRequest,
	Unauthenticated: http.StatusUnauthorized,
	Forbidden:       http.StatusForbidden,
	NotFound:        http.StatusNotFound,
	Conflict:        http.StatusConflict,
	TooLarge:        http.StatusRequestEntityTooLarge,
	RateLimited:     http.StatusTooManyRequests,
	Unavailable:     http.StatusServiceUnavailable,
	Internal:        http.StatusInternalServerError,

	ConfirmationRequired: http.StatusForbidden,
}

// Status is the HTTP status of a code; 500 for one that is not on the list.
func (c Code) Status() int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// CodeOf is the code for an HTTP status that something else chose (a router, a parser).
func CodeOf(status int) Code {
	for code, s := range statuses {
		if s == status && code != ConfirmationRequired {
			return code
		}
	}
	if status >= 400 && status < 500 {
		return Invalid
	}
	return Internal
}

// Field is what is wrong with one field of a request.
type Field struct {
	Location string `json:"location" doc:"Where, as in body.username"`
	Message  string `json:"message" doc:"What is wrong with it"`
}

// Error is a refusal in the form a caller sees. As JSON it is an RFC 9457 problem
// document; it satisfies huma's StatusError, so handlers return it as it is.
type Error struct {
	Code       Code
	Detail     string
	Fields     []Field
	RetryAfter time.Duration // only with RateLimited and Unavailable; zero if unknown
	cause      error
}

// New makes an Error. The detail is a sentence for the person at the other end.
func New(code Code, detail string) *Error { return &Error{Code: code, Detail: detail} }

// Newf is New with a format.
func Newf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Because keeps err as the cause, for the log; callers never see it.
func (e *Error) Because(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

func (e *Error) Error() string {
	if e.cause != nil {
		return string(e.Code) + ": " + e.Detail + ": " + e.cause.Error()
	}
	return string(e.Code) + ": " + e.Detail
}

// LogValue is what logs show: the text with the cause, and not the JSON form, which is for callers.
func (e *Error) LogValue() slog.Value { return slog.StringValue(e.Error()) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is makes a sentinel match its copies made by Because.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Detail == e.Detail
}

// From gives the Error in err's chain, or an Internal one with err as its cause.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return (&Error{Code: Internal, Detail: "internal error"}).Because(err)
}

// GetStatus is the HTTP status (huma.StatusError).
func (e *Error) GetStatus() int { return e.Code.Status() }

// GetHeaders adds Retry-After, in whole seconds, where it is known (huma.HeadersError).
func (e *Error) GetHeaders() http.Header {
	if s := e.retryAfter(); s > 0 {
		return http.Header{"Retry-After": {strconv.FormatInt(s, 10)}}
	}
	return nil
}

// retryAfter is RetryAfter in whole seconds, rounded up; 0 where it is not known.
func (e *Error) retryAfter() int64 {
	return int64((max(e.RetryAfter, 0) + time.Second - 1) / time.Second)
}

// ContentType turns application/json into the problem form (huma.ContentTypeFilter).
func (e *Error) ContentType(string) string { return "application/problem+json" }
