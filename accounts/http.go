package accounts

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/problem"
	"parley/web"
)

// Routes registers the operations of accounts. Protect comes first.
func (s *Service) Routes(api huma.API) {
	public := map[string]any{web.MetaPublic: true}
	password := map[string]any{web.MetaPublic: true, web.MetaPassword: true}
	entry, sessions, people, invites := []string{"Signing up"}, []string{"Sessions"}, []string{"People"}, []string{"Invites"}

	huma.Register(api, huma.Operation{
		OperationID: "setup", Method: http.MethodPost, Path: "/setup", Tags: entry, Metadata: password,
		Errors:  []int{http.StatusForbidden, http.StatusConflict},
		Summary: "Make the first admin",
		Description: "Works with the token of the link that the server prints at its start, and only while there is no admin; " +
			"then it is a conflict. Sets the session cookie too.",
		DefaultStatus: http.StatusCreated,
	}, s.httpSetup)
	huma.Register(api, huma.Operation{
		OperationID: "get-signup", Method: http.MethodGet, Path: "/signup", Tags: entry, Metadata: public,
		Summary: "Who can sign up",
	}, s.httpGetSignup)
	huma.Register(api, huma.Operation{
		OperationID: "check-invite", Method: http.MethodPost, Path: "/invites/check", Tags: entry, Metadata: public,
		Summary: "Check an invite",
		Description: "Tells whether an account can be created with an invite, without using it: false for one that is unknown, expired or " +
			"used up. Ten such answers within a quarter of an hour, to one address, and the next are rate_limited with Retry-After. " +
			"A POST, so that no log gets the code.",
	}, s.httpCheckInvite)
	huma.Register(api, huma.Operation{
		OperationID: "sign-up", Method: http.MethodPost, Path: "/users", Tags: entry, Metadata: password,
		Errors:  []int{http.StatusForbidden, http.StatusConflict},
		Summary: "Sign up",
		Description: "Makes an account and signs in: with an invite where the server asks for one, with none where sign-up is " +
			"open. Sets the session cookie too. 100 accounts an hour can be made from one address, 20 where sign-up is open.",
		DefaultStatus: http.StatusCreated,
	}, s.httpSignUp)

	huma.Register(api, huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: "/sessions", Tags: sessions, Metadata: password,
		Summary: "Sign in",
		Description: "Sets the session cookie too, and one that makes the browser known to the account. Ten wrong passwords within " +
			"a quarter of an hour from one address, or from one known browser, are rate_limited with Retry-After; so are a hundred " +
			"for one account from all browsers that it does not know.",
		DefaultStatus: http.StatusCreated,
	}, s.httpSignIn)
	huma.Register(api, huma.Operation{
		OperationID: "list-sessions", Method: http.MethodGet, Path: "/sessions", Tags: sessions,
		Summary: "My sessions, the last used first",
	}, s.httpSessions)
	huma.Register(api, huma.Operation{
		OperationID: "end-other-sessions", Method: http.MethodDelete, Path: "/sessions", Tags: sessions,
		Summary: "End all my sessions but this one", Description: "Their sockets are closed within a second.",
	}, s.httpEndOthers)
	huma.Register(api, huma.Operation{
		OperationID: "sign-out", Method: http.MethodDelete, Path: "/sessions/current", Tags: sessions,
		Summary: "Sign out", Description: "Ends this session, closes its sockets and deletes the cookie.",
	}, s.httpSignOut)
	huma.Register(api, huma.Operation{
		OperationID: "end-session", Method: http.MethodDelete, Path: "/sessions/{id}", Tags: sessions,
		Summary: "End one of my sessions", Description: "Its sockets are closed within a second. Ending it again is no error.",
	}, s.httpEndSession)

	huma.Register(api, huma.Operation{
		OperationID: "get-me", Method: http.MethodGet, Path: "/me", Tags: people, Summary: "Who I am",
	}, s.httpMe)
	huma.Register(api, huma.Operation{
		OperationID: "update-me", Method: http.MethodPatch, Path: "/me", Tags: people, Summary: "Change my name, or what others get to know of me",
	}, s.httpUpdateMe)
	huma.Register(api, huma.Operation{
		OperationID: "change-password", Method: http.MethodPut, Path: "/me/password", Tags: people,
		Errors:      []int{http.StatusForbidden},
		Summary:     "Change my password",
		Description: "Ends all my other sessions. A session by cookie gets a new cookie; a bearer token stays.",
	}, s.httpChangePassword)
	huma.Register(api, huma.Operation{
		OperationID: "search-users", Method: http.MethodGet, Path: "/users", Tags: people,
		Summary: "Find people",
		Description: "People whose username or name has, for each word of the query, a word that begins with it, by username; " +
			"an exact username comes first. Case, accents and the width of letters do not matter. In scripts without spaces, such as " +
			"Japanese, a word also begins in the middle of a name. Without a query, the first ones. Disabled people are left out. " +
			"With ids instead, those of them that exist, disabled or not: who wrote what one reads.",
	}, s.httpSearch)
	huma.Register(api, huma.Operation{
		OperationID: "get-user", Method: http.MethodGet, Path: "/users/{id}", Tags: people, Summary: "One person",
	}, s.httpUser)
	huma.Register(api, huma.Operation{
		OperationID: "update-user", Method: http.MethodPatch, Path: "/users/{id}", Tags: people,
		Errors:  []int{http.StatusForbidden, http.StatusConflict},
		Summary: "Disable, enable, or change the role of somebody",
		Description: "For admins. Disabling ends the person's sessions, and withdraws their invites; so does taking the role of an " +
			"admin away. The last admin cannot be disabled or lose the role: conflict.",
	}, s.httpChangeUser)

	huma.Register(api, huma.Operation{
		OperationID: "create-invite", Method: http.MethodPost, Path: "/invites", Tags: invites,
		Errors:  []int{http.StatusForbidden, http.StatusConflict},
		Summary: "Invite people", Description: "For admins, and for members where the server lets them. The code is shown this once.",
		DefaultStatus: http.StatusCreated,
	}, s.httpInvite)
	huma.Register(api, huma.Operation{
		OperationID: "list-invites", Method: http.MethodGet, Path: "/invites", Tags: invites,
		Errors:  []int{http.StatusForbidden},
		Summary: "Open invites, the newest first", Description: "An admin sees all, others their own. Codes are not kept.",
	}, s.httpInvites)
	huma.Register(api, huma.Operation{
		OperationID: "delete-invite", Method: http.MethodDelete, Path: "/invites/{id}", Tags: invites, Summary: "Withdraw an invite",
		Errors: []int{http.StatusForbidden},
	}, s.httpWithdraw)

	huma.Register(api, huma.Operation{
		OperationID: "list-audit-events", Method: http.MethodGet, Path: "/audit", Tags: []string{"Audit"},
		Errors:  []int{http.StatusForbidden},
		Summary: "Security events, the newest first",
		Description: "For admins. What is equal within a minute is one event with a count. Events are kept for 180 days, " +
			"or as long as the server is set to. They hold neither passwords, tokens, typed usernames nor texts.",
	}, s.httpAudit)
	s.leavingRoutes(api)
}

type auditInput struct {
	Cursor string    `query:"cursor" maxLength:"20" doc:"The next_cursor of the page before"`
	Limit  int       `query:"limit" minimum:"1" maximum:"100" default:"50"`
	Kind   AuditKind `query:"kind" enum:"sign_in,sign_in_failed,sign_up,set_up,user_created,role_changed,user_disabled,user_enabled,invite_created,invite_used,invite_revoked,session_ended,password_changed,password_reset,password_wrong,limit_hit,password_confirmed,data_exported,user_deleted,report_decided"`
}

type auditOutput struct {
	Body struct {
		Events     []AuditEvent `json:"events"`
		NextCursor string       `json:"next_cursor,omitempty" doc:"For the next page; left out on the last"`
	}
}

func (s *Service) httpAudit(ctx context.Context, in *auditInput) (*auditOutput, error) {
	out := &auditOutput{}
	var err error
	out.Body.Events, out.Body.NextCursor, err = s.Audit(ctx, Caller(ctx), in.Cursor, in.Limit, in.Kind)
	return out, err
}

type setupInput struct {
	UserAgent string `header:"User-Agent" hidden:"true"`
	Body      struct {
		Token string `json:"token" maxLength:"100" doc:"What follows # in the set-up link"`
		NewUser
	}
}

type signupOutput struct {
	Body struct {
		Signup SignupMode `json:"signup" enum:"invite,open,closed" doc:"Who has an invite, anybody, or nobody by themselves"`
	}
}

func (s *Service) httpGetSignup(context.Context, *noInput) (*signupOutput, error) {
	out := &signupOutput{}
	out.Body.Signup = s.signup()
	return out, nil
}

type signUpInput struct {
	UserAgent string `header:"User-Agent" hidden:"true"`
	Body      struct {
		Invite string `json:"invite,omitempty" maxLength:"100" doc:"What follows # in an invite's link"`
		NewUser
	}
}

type checkInviteInput struct {
	Body struct {
		Invite string `json:"invite" maxLength:"100" doc:"What follows # in an invite's link"`
	}
}

type checkInviteOutput struct {
	Body struct {
		Valid bool `json:"valid"`
	}
}

func (s *Service) httpCheckInvite(ctx context.Context, in *checkInviteInput) (*checkInviteOutput, error) {
	out := &checkInviteOutput{}
	var err error
	out.Body.Valid, err = s.InviteWorks(ctx, in.Body.Invite)
	return out, err
}

type signInInput struct {
	UserAgent string `header:"User-Agent" hidden:"true"`
	Cookie    string `header:"Cookie" hidden:"true"`
	Body      struct {
		Username string `json:"username" maxLength:"32" example:"anna"`
		Password string `json:"password" format:"password" maxLength:"256" example:"correct horse battery staple"`
	}
}

type signedInOutput struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      SignedIn
}

func (s *Service) signedInOutput(ctx context.Context, in SignedIn, err error) (*signedInOutput, error) {
	if err != nil {
		return nil, err
	}
	return &signedInOutput{s.signInCookies(ctx, in), in}, nil
}

func (s *Service) httpSetup(ctx context.Context, in *setupInput) (*signedInOutput, error) {
	signed, err := s.Setup(ctx, in.Body.Token, in.Body.NewUser, in.UserAgent)
	return s.signedInOutput(ctx, signed, err)
}

func (s *Service) httpSignUp(ctx context.Context, in *signUpInput) (*signedInOutput, error) {
	signed, err := s.SignUp(ctx, in.Body.NewUser, in.Body.Invite, in.UserAgent)
	return s.signedInOutput(ctx, signed, err)
}

func (s *Service) httpSignIn(ctx context.Context, in *signInInput) (*signedInOutput, error) {
	signed, err := s.SignIn(withCookies(ctx, in.Cookie), in.Body.Username, in.Body.Password, in.UserAgent)
	return s.signedInOutput(ctx, signed, err)
}

type noInput struct{}

type sessionsOutput struct {
	Body struct {
		Sessions []Session `json:"sessions" doc:"100 at most"`
	}
}

func (s *Service) httpSessions(ctx context.Context, _ *noInput) (*sessionsOutput, error) {
	out := &sessionsOutput{}
	var err error
	out.Body.Sessions, err = s.Sessions(ctx, Caller(ctx))
	return out, err
}

func (s *Service) httpEndOthers(ctx context.Context, _ *noInput) (*struct{}, error) {
	return nil, s.EndOtherSessions(ctx, Caller(ctx))
}

type signedOutOutput struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
}

func (s *Service) httpSignOut(ctx context.Context, _ *noInput) (*signedOutOutput, error) {
	who := Caller(ctx)
	if err := s.EndSession(ctx, who.UserID, who.SessionID); err != nil {
		return nil, err
	}
	return &signedOutOutput{s.expiredCookies(ctx)}, nil
}

type endSessionInput struct {
	ID SessionID `path:"id" format:"uuid"`
}

func (s *Service) httpEndSession(ctx context.Context, in *endSessionInput) (*struct{}, error) {
	return nil, s.EndSession(ctx, Caller(ctx).UserID, in.ID)
}

type userOutput struct{ Body User }

type profileOutput struct{ Body Profile }

func (s *Service) httpMe(ctx context.Context, _ *noInput) (*profileOutput, error) {
	p, err := s.Profile(ctx, Caller(ctx).UserID)
	return &profileOutput{p}, err
}

type updateMeInput struct{ Body ProfileUpdate }

func (s *Service) httpUpdateMe(ctx context.Context, in *updateMeInput) (*profileOutput, error) {
	p, err := s.UpdateProfile(ctx, Caller(ctx).UserID, in.Body)
	return &profileOutput{p}, err
}

type changePasswordInput struct {
	Body struct {
		Current string `json:"current" format:"password" maxLength:"256"`
		New     string `json:"new" format:"password" minLength:"8" maxLength:"256"`
	}
}

type changePasswordOutput struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
}

func (s *Service) httpChangePassword(ctx context.Context, in *changePasswordInput) (*changePasswordOutput, error) {
	signed, err := s.ChangePassword(ctx, Caller(ctx), in.Body.Current, in.Body.New)
	if err != nil {
		return nil, err
	}
	return &changePasswordOutput{s.signInCookies(ctx, signed)}, nil
}

type searchInput struct {
	Query string   `query:"query" maxLength:"100" example:"ann"`
	IDs   []string `query:"ids" maxItems:"100" doc:"Separated by commas"`
	Limit int      `query:"limit" minimum:"1" maximum:"100" default:"50"`
}

var errIDs = &problem.Error{Code: problem.Invalid, Detail: "ids are UUIDs, separated by commas.",
	Fields: []problem.Field{{Location: "query.ids", Message: "not a UUID"}}}

type usersOutput struct {
	Body struct {
		Users []User `json:"users"`
	}
}

func (s *Service) httpSearch(ctx context.Context, in *searchInput) (*usersOutput, error) {
	out := &usersOutput{}
	var err error
	if len(in.IDs) == 0 {
		out.Body.Users, err = s.Search(ctx, in.Query, in.Limit)
		return out, err
	}
	ids := make([]UserID, len(in.IDs))
	for i, text := range in.IDs {
		if ids[i].UnmarshalText([]byte(text)) != nil {
			return nil, errIDs
		}
	}
	out.Body.Users, err = s.People(ctx, ids)
	return out, err
}

type userInput struct {
	ID UserID `path:"id" format:"uuid"`
}

func (s *Service) httpUser(ctx context.Context, in *userInput) (*userOutput, error) {
	u, err := s.User(ctx, in.ID)
	return &userOutput{u}, err
}

type changeUserInput struct {
	ID   UserID `path:"id" format:"uuid"`
	Body struct {
		Disabled *bool `json:"disabled,omitempty"`
		Role     *Role `json:"role,omitempty" enum:"admin,member"`
	}
}

func (s *Service) httpChangeUser(ctx context.Context, in *changeUserInput) (*userOutput, error) {
	u, err := s.ChangeUser(ctx, Caller(ctx), in.ID, Change{Disabled: in.Body.Disabled, Role: in.Body.Role})
	return &userOutput{u}, err
}

type inviteForm struct {
	ExpiresInS int `json:"expires_in_s,omitempty" minimum:"60" maximum:"2592000" doc:"How long it works, in seconds; a week if left out"`
	MaxUses    int `json:"max_uses,omitempty" minimum:"1" maximum:"1000" doc:"How many people can sign up with it; one if left out"`
}

type inviteInput struct {
	Body *inviteForm // may be left out altogether
}

type inviteOutput struct{ Body NewInvite }

func (s *Service) httpInvite(ctx context.Context, in *inviteInput) (*inviteOutput, error) {
	var f inviteForm
	if in.Body != nil {
		f = *in.Body
	}
	i, err := s.Invite(ctx, Caller(ctx), time.Duration(f.ExpiresInS)*time.Second, f.MaxUses)
	return &inviteOutput{i}, err
}

type invitesOutput struct {
	Body struct {
		Invites []Invite `json:"invites" doc:"1000 at most"`
	}
}

func (s *Service) httpInvites(ctx context.Context, _ *noInput) (*invitesOutput, error) {
	out := &invitesOutput{}
	var err error
	out.Body.Invites, err = s.Invites(ctx, Caller(ctx))
	return out, err
}

type withdrawInput struct {
	ID InviteID `path:"id" format:"uuid"`
}

func (s *Service) httpWithdraw(ctx context.Context, in *withdrawInput) (*struct{}, error) {
	return nil, s.Withdraw(ctx, Caller(ctx), in.ID)
}
