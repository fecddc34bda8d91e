package reports

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/accounts"
	"parley/chat"
)

// Routes registers the reporting of messages, and what admins do about it.
func (s *Service) Routes(api huma.API) {
	tags := []string{"Reports"}
	huma.Register(api, huma.Operation{
		OperationID: "report-message", Method: http.MethodPost, Path: "/conversations/{id}/messages/{seq}/report", Tags: tags,
		Summary:       "Report a message to the admins",
		Errors:        []int{http.StatusConflict, http.StatusRequestEntityTooLarge},
		DefaultStatus: http.StatusCreated,
		Description: "A message of another user that the caller can read. Admins see its text as of now and up to 5 messages before and " +
			"after it that the caller can read, until they decide. Reporting it again gives the first report. A user has 100 open reports at most: too_large.",
	}, s.httpCreate)
	huma.Register(api, huma.Operation{
		OperationID: "list-my-reports", Method: http.MethodGet, Path: "/reports/mine", Tags: tags,
		Summary: "My reports, the latest first", Description: "A report is deleted 90 days after its decision.",
	}, s.httpMine)
	huma.Register(api, huma.Operation{
		OperationID: "list-reports", Method: http.MethodGet, Path: "/reports", Tags: tags,
		Errors:      []int{http.StatusForbidden},
		Summary:     "Reports, the oldest open or the latest decided first",
		Description: "For admins. With the decision the text and the messages around it are gone from the report, and 90 days later the report.",
	}, s.httpList)
	huma.Register(api, huma.Operation{
		OperationID: "decide-report", Method: http.MethodPatch, Path: "/reports/{id}", Tags: tags,
		Errors:        []int{http.StatusForbidden, http.StatusConflict},
		DefaultStatus: http.StatusNoContent,
		Summary:       "Decide a report",
		Description: "For admins. removed deletes the message for everyone, and decides all open reports of it; disabled disables its sender; " +
			"dismissed does neither. The reporter is told the decision and the answer. A report is decided once: another decision, or that of another admin, is a conflict, " +
			"with the decision in errors.",
	}, s.httpDecide)
}

type reportInput struct {
	ID   chat.ConversationID `path:"id" format:"uuid"`
	Seq  chat.Seq            `path:"seq" minimum:"1"`
	Body struct {
		Reason  Reason `json:"reason" enum:"spam,harassment,illegal,other"`
		Comment string `json:"comment,omitempty" maxLength:"1000"`
	}
}

type reportCreatedOutput struct {
	Body struct {
		ID ID `json:"id" format:"uuid"`
	}
}

func (s *Service) httpCreate(ctx context.Context, in *reportInput) (*reportCreatedOutput, error) {
	out := &reportCreatedOutput{}
	var err error
	out.Body.ID, err = s.Create(ctx, accounts.Caller(ctx).UserID, NewReport{in.ID, in.Seq, in.Body.Reason, in.Body.Comment})
	return out, err
}

type myReportsInput struct {
	Cursor string `query:"cursor" maxLength:"120" doc:"The next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
}

type myReportsOutput struct {
	Body struct {
		Reports    []Mine `json:"reports"`
		NextCursor string `json:"next_cursor,omitempty" doc:"For the next page; left out on the last"`
	}
}

func (s *Service) httpMine(ctx context.Context, in *myReportsInput) (*myReportsOutput, error) {
	out := &myReportsOutput{}
	var err error
	out.Body.Reports, out.Body.NextCursor, err = s.ListMine(ctx, accounts.Caller(ctx).UserID, in.Cursor, in.Limit)
	return out, err
}

type reportListInput struct {
	State  State  `query:"state" enum:"open,closed" default:"open"`
	Cursor string `query:"cursor" maxLength:"120" doc:"The next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"50" default:"20"`
}

type reportListOutput struct {
	Body struct {
		Reports    []Report `json:"reports"`
		NextCursor string   `json:"next_cursor,omitempty" doc:"For the next page; left out on the last"`
		Open       int      `json:"open" doc:"How many are open; 100 stands for as many or more"`
	}
}

func (s *Service) httpList(ctx context.Context, in *reportListInput) (*reportListOutput, error) {
	out := &reportListOutput{}
	var err error
	out.Body.Reports, out.Body.NextCursor, out.Body.Open, err = s.List(ctx, accounts.Caller(ctx), in.State, in.Cursor, in.Limit)
	return out, err
}

type decideReportInput struct {
	ID   ID `path:"id" format:"uuid"`
	Body struct {
		Decision Decision `json:"decision" enum:"removed,disabled,dismissed"`
		Answer   string   `json:"answer,omitempty" maxLength:"1000" doc:"For the reporter"`
	}
}

func (s *Service) httpDecide(ctx context.Context, in *decideReportInput) (*struct{}, error) {
	return nil, s.Decide(ctx, accounts.Caller(ctx), in.ID, Choice{in.Body.Decision, in.Body.Answer})
}
