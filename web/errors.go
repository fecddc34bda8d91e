package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"parley/failures"
	"parley/problem"
)

// huma keeps these settings for the whole process, so they are made once.
func init() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return newProblem(nil, status, msg, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		var translate func(error) error
		if req := requestOf(ctx.Context()); req != nil {
			translate = req.server.cfg.Translate
		}
		return newProblem(translate, status, msg, errs)
	}
	// Without it {"Body": …} would pass for {"body": …}, and the stricter of two could be
	// the one that is not looked at.
	huma.ValidateStrictCasing = true
	// Lists are never null, neither in requests nor in answers.
	huma.DefaultArrayNullable = false
	// Its error arguments quote the value; answers must not.
	huma.ErrorFormatter = func(format string, args ...any) string {
		if len(args) == 1 {
			if _, ok := args[0].(error); ok {
				return strings.TrimSuffix(format, ": %v")
			}
		}
		return fmt.Sprintf(format, args...)
	}
}

// newProblem is huma's word about a failure as a problem: a handler's error (status 500
// with the error), a middleware's, or what validation found (400 and up).
func newProblem(translate func(error) error, status int, msg string, errs []error) *problem.Error {
	cause := errors.Join(errs...)
	switch {
	case tooLarge(cause):
		return errBodyTooLarge
	case msg == "cannot read request body": // huma's 500 for a client that broke off
		return problem.New(problem.Invalid, "The request body could not be read.").Because(cause)
	case status >= http.StatusInternalServerError && cause != nil:
		if translate != nil {
			cause = translate(cause)
		}
		return problem.From(cause)
	}
	var known *problem.Error
	if errors.As(cause, &known) {
		return known
	}
	if msg != "" {
		msg = strings.ToUpper(msg[:1]) + strings.TrimSuffix(msg[1:], ".") + "."
	}
	e := problem.New(problem.CodeOf(status), msg)
	for _, err := range errs {
		var d *huma.ErrorDetail
		if errors.As(err, &d) && d.Message == errBodyTooLarge.Error() { // of unmarshal
			return errBodyTooLarge
		}
		if d != nil {
			e.Fields = append(e.Fields, problem.Field{Location: clip(d.Location), Message: message(d)})
		}
	}
	if len(e.Fields) > 0 {
		e.Detail = "The request is not valid."
	}
	return e
}

// message is what is wrong, without the value itself.
func message(d *huma.ErrorDetail) string {
	const parser = "invalid value" // huma adds the text of a type's own parser, which may quote
	if strings.HasPrefix(d.Message, parser) {
		return parser
	}
	if strings.HasPrefix(d.Message, huma.ErrUnknownContentType.Error()) {
		return "expected Content-Type: application/json"
	}
	return d.Message
}

// clip shortens a location, which can hold a field name of the caller's making.
func clip(s string) string {
	const limit = 100
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// transform is where every answer of the API passes last: problems are settled there.
func (s *Server) transform(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*problem.Error)
	if !ok {
		return v, nil
	}
	p = s.settle(ctx.Context(), p)
	for k, values := range p.GetHeaders() {
		ctx.SetHeader(k, values[0])
	}
	return p, nil
}

// fail answers with err outside of huma.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if s.cfg.Translate != nil {
		err = s.cfg.Translate(err)
	}
	s.settle(r.Context(), problem.From(err)).Write(w)
}

// settle logs what is ours to know and gives what the caller may see. A caller who has
// left is why things failed, and no news.
func (s *Server) settle(ctx context.Context, p *problem.Error) *problem.Error {
	gone := errors.Is(ctx.Err(), context.Canceled)
	switch req := requestOf(ctx); p.Code {
	case problem.Internal:
		if !gone || !errors.Is(p, context.Canceled) {
			s.cfg.Logger.Error("request failed", "request_id", req.id, "err", p, "stack", failures.Stack(p))
		}
		return problem.New(problem.Internal, "Internal error; the server's log has it under request "+req.id+".")
	case problem.Unavailable:
		if cause := p.Unwrap(); cause != nil && !gone {
			s.cfg.Logger.Warn("request could not be served", "request_id", req.id, "err", cause)
		}
	}
	return p
}

// writeStatus writes p under another status than its code's.
func writeStatus(w http.ResponseWriter, p *problem.Error, status int) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(status)
	// The client may be gone; nobody is left to tell.
	_ = json.NewEncoder(w).Encode(problem.Document{Type: "about:blank", Title: http.StatusText(status),
		Status: status, Detail: p.Detail, Code: p.Code})
}
