package accounts

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/web"
)

// exportStall is how long a client may take nothing of its export.
const exportStall = 30 * time.Second

// leavingRoutes registers the confirmation by password, and what is for users who want their data
// or want to leave.
func (s *Service) leavingRoutes(api huma.API) {
	people, sessions := []string{"People"}, []string{"Sessions"}
	huma.Register(api, huma.Operation{
		OperationID: "confirm-session", Method: http.MethodPost, Path: "/sessions/current/confirmation", Tags: sessions,
		Metadata: map[string]any{web.MetaPassword: true},
		Errors:   []int{http.StatusForbidden},
		Summary:  "Confirm with the password",
		Description: "Needed for sensitive changes when the password was last checked in this session more than an hour ago: those are refused " +
			"with confirmation_required until then. Signing in, signing up and changing the password check it too.",
	}, s.httpConfirm)
	huma.Register(api, huma.Operation{
		OperationID: "export-me", Method: http.MethodGet, Path: "/me/export", Tags: people,
		Errors:  []int{http.StatusForbidden, http.StatusTooManyRequests},
		Summary: "Download my data",
		Description: "A stream of JSON objects, one a line, each with a type: profile, session, invite, audit_event, conversation, message (also " +
			"edits and reactions), device, and end as the last one: without it the stream was cut off. Messages of others are not in it. " +
			"One download at a time, five a day. Needs the password within the hour: confirmation_required.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The data", Content: map[string]*huma.MediaType{exportType: {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, s.httpExport)
	huma.Register(api, huma.Operation{
		OperationID: "delete-me", Method: http.MethodDelete, Path: "/me", Tags: people,
		Metadata: map[string]any{web.MetaPassword: true},
		Errors:   []int{http.StatusForbidden, http.StatusConflict},
		Summary:  "Delete my account",
		Description: "For good. All sessions end at once; the user leaves all groups; direct conversations stay for the other side, with a deleted user " +
			"and without new messages. Messages are kept, or their texts are erased everywhere, within moments: as the server allows (account_deletion in GET /me). " +
			"No other user gets the username. The last admin cannot be deleted: conflict.",
	}, s.httpDeleteMe)
}

type confirmInput struct {
	Body struct {
		Password string `json:"password" format:"password" maxLength:"256"`
	}
}

func (s *Service) httpConfirm(ctx context.Context, in *confirmInput) (*struct{}, error) {
	return nil, s.Confirm(ctx, Caller(ctx), in.Body.Password)
}

type deleteMeInput struct {
	Body struct {
		Password string         `json:"password" format:"password" maxLength:"256"`
		Messages DeletionPolicy `json:"messages,omitempty" enum:"keep,erase" doc:"Needed where the server lets users choose"`
	}
}

func (s *Service) httpDeleteMe(ctx context.Context, in *deleteMeInput) (*signedOutOutput, error) {
	if err := s.DeleteMe(ctx, Caller(ctx), in.Body.Password, in.Body.Messages); err != nil {
		return nil, err
	}
	return &signedOutOutput{s.expiredCookies(ctx)}, nil
}

type exportInput struct {
	AcceptEncoding string `header:"Accept-Encoding" hidden:"true"`
}

const exportType = "application/x-ndjson"

func (s *Service) httpExport(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	who := Caller(ctx)
	write, err := s.BeginExport(ctx, who)
	if err != nil {
		return nil, err
	}
	compressed := acceptsGzip(in.AcceptEncoding)
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", exportType)
		ctx.SetHeader("Content-Disposition", `attachment; filename="parley-export-`+time.Now().UTC().Format(time.DateOnly)+`.ndjson"`)
		ctx.SetHeader("Vary", "Accept-Encoding")
		if compressed {
			ctx.SetHeader("Content-Encoding", "gzip")
		}
		ctx.SetStatus(http.StatusOK)
		if err := stream(ctx.Context(), ctx.BodyWriter(), compressed, write); err != nil {
			if ctx.Context().Err() == nil {
				s.log.Warn("an export was cut off", "user_id", who.UserID, "err", err)
			}
			panic(http.ErrAbortHandler) // else the client would take it for whole
		}
	}}, nil
}

// stream writes an export to a client, as long as that takes something of it.
func stream(ctx context.Context, to io.Writer, compressed bool, write func(context.Context, io.Writer) error) error {
	if response, ok := to.(http.ResponseWriter); ok {
		to = &patientWriter{response, http.NewResponseController(response)}
	}
	buffer := bufio.NewWriterSize(to, 32<<10)
	if !compressed {
		if err := write(ctx, buffer); err != nil {
			return err
		}
		return buffer.Flush()
	}
	zip := gzip.NewWriter(buffer)
	if err := write(ctx, zip); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	return buffer.Flush()
}

// patientWriter gives each write a deadline of its own, in place of that of the whole answer.
type patientWriter struct {
	http.ResponseWriter
	c *http.ResponseController
}

func (w *patientWriter) Write(b []byte) (int, error) {
	if err := w.c.SetWriteDeadline(time.Now().Add(exportStall)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}

// acceptsGzip says whether an Accept-Encoding header takes gzip.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, given := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !given || err == nil && weight > 0
	}
	return false
}
