package history

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"parley/accounts"
	"parley/chat"
	"parley/problem"
)

var errBounds = problem.New(problem.Invalid, "Give at most one of before, after and around.")

// Routes registers the pages and the raw log.
func (s *Service) Routes(api huma.API) {
	tags := []string{"Messages"}
	huma.Register(api, huma.Operation{
		OperationID: "list-messages", Method: http.MethodGet, Path: "/conversations/{id}/messages", Tags: tags,
		Summary:     "A page of a conversation, for people",
		Description: "Ascending by seq. before and after are exclusive; without a bound, the newest.",
	}, s.httpPage)
	huma.Register(api, huma.Operation{
		OperationID: "list-entries", Method: http.MethodGet, Path: "/conversations/{id}/entries", Tags: tags,
		Summary:     "The raw log after a seq, for catching up",
		Description: "Ask again with the last seq received until it is last_seq.",
	}, s.httpEntries)
}

// seqParam is a seq in the query that may be left out, which is not the same as 0.
type seqParam struct {
	Seq chat.Seq
	set bool
}

// Schema, Receiver and OnParamSet make it huma's optional parameter.
func (p seqParam) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[chat.Seq]())
}

func (p *seqParam) Receiver() reflect.Value { return reflect.ValueOf(&p.Seq).Elem() }

func (p *seqParam) OnParamSet(isSet bool, _ any) { p.set = isSet }

type pageInput struct {
	ID     chat.ConversationID `path:"id" format:"uuid"`
	Before seqParam            `query:"before" minimum:"1"`
	After  seqParam            `query:"after" minimum:"0"`
	Around seqParam            `query:"around" minimum:"1"`
	Limit  int                 `query:"limit" minimum:"1" maximum:"100" default:"50"`
}

type pageOutput struct{ Body Page }

func (s *Service) httpPage(ctx context.Context, in *pageInput) (*pageOutput, error) {
	r := Range{Limit: in.Limit}
	for _, p := range []struct {
		bound Bound
		param seqParam
	}{{Before, in.Before}, {After, in.After}, {Around, in.Around}} {
		if !p.param.set {
			continue
		}
		if r.Bound != Newest {
			return nil, errBounds
		}
		r.Bound, r.Seq = p.bound, p.param.Seq
	}
	p, err := s.Page(ctx, accounts.Caller(ctx).UserID, in.ID, r)
	return &pageOutput{p}, err
}

type entriesInput struct {
	ID    chat.ConversationID `path:"id" format:"uuid"`
	After chat.Seq            `query:"after" minimum:"0"`
	Limit int                 `query:"limit" minimum:"1" maximum:"100" default:"100"`
}

type entriesOutput struct {
	Body struct {
		Entries []chat.Entry `json:"entries"`
		LastSeq chat.Seq     `json:"last_seq" doc:"How far the log reaches for the caller"`
	}
}

func (s *Service) httpEntries(ctx context.Context, in *entriesInput) (*entriesOutput, error) {
	out := &entriesOutput{}
	var err error
	out.Body.Entries, out.Body.LastSeq, err = s.Entries(ctx, accounts.Caller(ctx).UserID, in.ID, in.After, in.Limit)
	return out, err
}
