package problem

import (
	"encoding/json"
	"net/http"
)

// Document is the HTTP form (RFC 9457), with the code and the fields beside the
// standard members.
type Document struct {
	Type   string  `json:"type" doc:"A URI for the kind of problem; about:blank, as the code says it"`
	Title  string  `json:"title" doc:"The HTTP status in words"`
	Status int     `json:"status" doc:"The HTTP status"`
	Detail string  `json:"detail" doc:"What went wrong, for a person"`
	Code   Code    `json:"code" enum:"invalid,unauthenticated,forbidden,not_found,conflict,too_large,rate_limited,unavailable,internal" doc:"What went wrong, for a program"`
	Errors []Field `json:"errors,omitempty" doc:"What is wrong with which field"`
}

// MarshalJSON gives the Document.
func (e *Error) MarshalJSON() ([]byte, error) {
	status := e.GetStatus()
	return json.Marshal(Document{"about:blank", http.StatusText(status), status, e.Detail, e.Code, e.Fields})
}

// Write answers an HTTP request with the problem, for handlers outside huma.
func (e *Error) Write(w http.ResponseWriter) {
	for k, v := range e.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", e.ContentType(""))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(e.GetStatus())
	b, err := json.Marshal(e)
	if err != nil {
		return // a Document always marshals
	}
	_, _ = w.Write(b) // the client is gone; nobody is left to tell
}

// Frame is the form in an error frame on the socket.
type Frame struct {
	Code       Code    `json:"code"`
	Detail     string  `json:"detail"`
	Errors     []Field `json:"errors,omitempty"`
	RetryAfter int64   `json:"retry_after,omitempty"` // in seconds, as the header Retry-After
}

// Frame gives the socket form.
func (e *Error) Frame() Frame { return Frame{e.Code, e.Detail, e.Fields, e.retryAfter()} }
