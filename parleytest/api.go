package parleytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Client calls the HTTP API as one user, or as nobody while Token is empty.
type Client struct {
	Base  string // scheme and host, without a slash at the end
	Token string
	HTTP  *http.Client // nil: http.DefaultClient
}

// Problem is an answer that is not a success.
type Problem struct {
	Status int
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *Problem) Error() string {
	return fmt.Sprintf("answered %d %s: %s", p.Status, p.Code, p.Detail)
}

// User is a person as the API shows one.
type User struct {
	ID       uuid.UUID `json:"id"`
	Username string    `json:"username"`
	Role     string    `json:"role"`
}

// Conversation is what tests need of a conversation.
type Conversation struct {
	ID      uuid.UUID `json:"id"`
	LastSeq int64     `json:"last_seq"`
}

// Entry is one entry of a log, as read or as delivered.
type Entry struct {
	ConversationID uuid.UUID `json:"conversation_id"`
	Seq            int64     `json:"seq"`
	Kind           string    `json:"kind"`
	SenderID       uuid.UUID `json:"sender_id"`
	ClientID       uuid.UUID `json:"client_id"`
	Body           string    `json:"body"`
	// Of entries about people: those who began a conversation, who came or went.
	UserIDs []uuid.UUID `json:"user_ids"`
	UserID  uuid.UUID   `json:"user_id"`
}

// Sent is the answer to a send.
type Sent struct {
	Seq       int64     `json:"seq"`
	ClientID  uuid.UUID `json:"client_id"`
	CreatedAt time.Time `json:"created_at"`
}

// Session is who signed up or in.
type Session struct {
	Token string `json:"token"`
	User  User   `json:"user"`
}

// Call sends in as JSON (nothing if nil) and decodes the answer into out (ignored if
// nil). An answer that is no success is a *Problem.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode a request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	res, err := c.Raw(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %w", method, path, readProblem(res))
	}
	if out != nil {
		if err := json.NewDecoder(res.Body).Decode(out); err != nil {
			return fmt.Errorf("%s %s: decode the answer: %w", method, path, err)
		}
	}
	// The rest, so that the connection can be used again.
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}

// Raw sends body as it is, as JSON by its header. The caller closes the answer's body.
func (c *Client) Raw(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+"/api/v1"+path, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	h := c.HTTP
	if h == nil {
		h = http.DefaultClient
	}
	return h.Do(req)
}

// readProblem reads what a failed answer says.
func readProblem(res *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	p := &Problem{}
	if json.Unmarshal(b, p) != nil || p.Code == "" {
		p.Detail = string(b)
	}
	p.Status = res.StatusCode
	return p
}

const password = "correct horse battery"

// Setup makes the first admin with the token of the set-up link.
func (c *Client) Setup(ctx context.Context, token, username string) (Session, error) {
	var s Session
	err := c.Call(ctx, http.MethodPost, "/setup", map[string]string{
		"token": token, "username": username, "display_name": username, "password": password}, &s)
	return s, err
}

// SignUp makes a member. Sign-up has to be open, or the invite's code given.
func (c *Client) SignUp(ctx context.Context, invite, username string) (Session, error) {
	in := map[string]string{"username": username, "display_name": username, "password": password}
	if invite != "" {
		in["invite"] = invite
	}
	var s Session
	err := c.Call(ctx, http.MethodPost, "/users", in, &s)
	return s, err
}

// SignIn signs a user in whom SignUp or Setup made, and out again. With a cookie jar the browser is
// known from then on.
func (c *Client) SignIn(ctx context.Context, username string) error {
	var s Session
	if err := c.Call(ctx, http.MethodPost, "/sessions", map[string]string{"username": username, "password": password}, &s); err != nil {
		return err
	}
	in := *c
	in.Token = s.Token
	return in.Call(ctx, http.MethodDelete, "/sessions/current", nil, nil)
}

// Invite makes an invite and gives its code.
func (c *Client) Invite(ctx context.Context) (string, error) {
	var out struct {
		Code string `json:"code"`
	}
	err := c.Call(ctx, http.MethodPost, "/invites", struct{}{}, &out)
	return out.Code, err
}

// OpenDirect opens the direct conversation with a user, or finds it.
func (c *Client) OpenDirect(ctx context.Context, user uuid.UUID) (Conversation, error) {
	var out Conversation
	err := c.Call(ctx, http.MethodPost, "/conversations", map[string]any{"kind": "direct", "user_id": user}, &out)
	return out, err
}

// CreateGroup makes a group of the caller, who owns it, and others.
func (c *Client) CreateGroup(ctx context.Context, title string, others []uuid.UUID) (Conversation, error) {
	var out Conversation
	err := c.Call(ctx, http.MethodPost, "/conversations", map[string]any{"kind": "group", "title": title, "member_ids": others}, &out)
	return out, err
}

// AddMembers adds people to a group.
func (c *Client) AddMembers(ctx context.Context, conversation uuid.UUID, users ...uuid.UUID) error {
	return c.Call(ctx, http.MethodPost, "/conversations/"+conversation.String()+"/members", map[string]any{"user_ids": users}, nil)
}

// RemoveMember puts somebody out of a group, or leaves it.
func (c *Client) RemoveMember(ctx context.Context, conversation, user uuid.UUID) error {
	return c.Call(ctx, http.MethodDelete, "/conversations/"+conversation.String()+"/members/"+user.String(), nil, nil)
}

// Send sends a message over HTTP.
func (c *Client) Send(ctx context.Context, conversation, clientID uuid.UUID, body string) (Sent, error) {
	var out Sent
	err := c.Call(ctx, http.MethodPost, "/conversations/"+conversation.String()+"/messages",
		map[string]any{"client_id": clientID, "body": body}, &out)
	return out, err
}

// Entries reads one piece of the log: up to limit entries after a seq, and the log's end
// as the server saw it.
func (c *Client) Entries(ctx context.Context, conversation uuid.UUID, after int64, limit int) ([]Entry, int64, error) {
	var out struct {
		Entries []Entry `json:"entries"`
		LastSeq int64   `json:"last_seq"`
	}
	q := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	err := c.Call(ctx, http.MethodGet, "/conversations/"+conversation.String()+"/entries?"+q.Encode(), nil, &out)
	return out.Entries, out.LastSeq, err
}
