package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"parley/accounts"
)

// world is what the requests of the matrix are about: a conversation of ann and ben that
// carl was in and dora never was. The admin is nobody special in it.
type world struct {
	*testServer
	ann, ben, carl, dora, admin person
	conversation                string
	group                       string // of ann, its owner, and ben and eve; carl was in it
	doomed, liked               int64  // messages of ann's in it that may change
	eve, fay                    person // fay is in no conversation
	bens                        int64  // a message of ben's in the conversation, while carl was in it
	report                      string // of a message
	invite                      string // of the admin
	bensSession, bensDevice     string
}

// What was said while carl was in the conversation, and after.
const (
	early = "said-while-carl-was-there"
	late  = "said-after-carl-had-left"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	s := startTest(t, nil)
	w := &world{testServer: s,
		admin: s.person("root", accounts.RoleAdmin),
		ann:   s.person("ann", accounts.RoleMember), ben: s.person("ben", accounts.RoleMember),
		carl: s.person("carl", accounts.RoleMember), dora: s.person("dora", accounts.RoleMember),
	}
	w.conversation = s.conversation(w.ann, w.ben)
	w.bens = s.send(w.ben, w.conversation, "hi")
	left := s.send(w.ann, w.conversation, early)
	_, err := s.db.Exec(t.Context(), `INSERT INTO members (conversation_id, user_id, role, from_seq, until_seq) VALUES ($1, $2, 'member', 1, $3)`,
		w.conversation, w.carl.id, left)
	if err != nil {
		t.Fatal(err)
	}
	s.send(w.ann, w.conversation, late)
	w.eve, w.fay = s.person("eve", accounts.RoleMember), s.person("fay", accounts.RoleMember)
	var group struct{ ID string }
	s.must(w.ann, "POST", "/conversations", fmt.Sprintf(`{"kind":"group","title":"Group","member_ids":[%q,%q,%q]}`, w.ben.id, w.carl.id, w.eve.id), &group)
	w.group = group.ID
	s.send(w.ann, w.group, early)
	if outcome, answer := s.call(w.ann, "DELETE", "/conversations/"+w.group+"/members/"+w.carl.id.String(), ""); outcome != "ok" {
		t.Fatal(answer)
	}
	s.send(w.ann, w.group, late)
	w.doomed, w.liked = s.send(w.ann, w.group, "doomed"), s.send(w.ann, w.group, "liked")
	var invite struct{ ID string }
	s.must(w.admin, "POST", "/invites", "", &invite)
	w.invite = invite.ID
	var mine struct{ Sessions []struct{ ID string } }
	s.must(w.ben, "GET", "/sessions", "", &mine)
	w.bensSession = mine.Sessions[0].ID
	var report struct{ ID string }
	reported := s.group(w.ann, w.ben) // nothing else is said there: admins see what is around a message
	s.must(w.ben, "POST", fmt.Sprintf("/conversations/%s/messages/%d/report", reported, s.send(w.ann, reported, "bad")), `{"reason":"other"}`, &report)
	w.report = report.ID
	var device struct{ ID string }
	s.must(w.ben, "POST", "/devices", subscriptionAt("https://push.invalid/ben"), &device)
	w.bensDevice = device.ID
	return w
}

// roles are the columns of the matrix. mayRead is what of the conversation may turn up in
// an answer.
var roles = []struct {
	name    string
	who     func(*world) person
	mayRead []string
}{
	{"nobody", func(*world) person { return person{} }, nil},
	{"stranger", func(w *world) person { return w.dora }, nil},
	{"former member", func(w *world) person { return w.carl }, []string{early}},
	{"member", func(w *world) person { return w.ann }, []string{early, late}},
	{"admin", func(w *world) person { return w.admin }, nil},
}

// want is the outcome for each of the roles: "ok" or the code of the refusal.
type want [5]string

func all(outcome string) want { return want{outcome, outcome, outcome, outcome, outcome} }

var (
	signedIn    = want{"unauthenticated", "ok", "ok", "ok", "ok"}
	adminsOnly  = want{"unauthenticated", "forbidden", "forbidden", "forbidden", "ok"}
	membersOnly = want{"unauthenticated", "not_found", "not_found", "ok", "not_found"}
	// Who was a member reads on what they could read then.
	nobodyElses = want{"unauthenticated", "not_found", "not_found", "not_found", "not_found"} // ben's
	formersToo  = want{"unauthenticated", "not_found", "ok", "ok", "not_found"}
)

type row struct {
	want
	path, body func(*world) string // path nil: that of the operation; body nil: none
	spends     bool                // ends sessions: made with one of its own, after all others
}

func text(s string) func(*world) string { return func(*world) string { return s } }

func textf(format string, args ...func(*world) string) func(*world) string {
	return func(w *world) string {
		values := make([]any, len(args))
		for i, f := range args {
			values[i] = f(w)
		}
		return fmt.Sprintf(format, values...)
	}
}

func conversation(w *world) string { return w.conversation }
func group(w *world) string        { return w.group }
func eve(w *world) string          { return w.eve.id.String() }
func doomed(w *world) string       { return fmt.Sprint(w.doomed) }
func liked(w *world) string        { return fmt.Sprint(w.liked) }
func ben(w *world) string          { return w.ben.id.String() }
func bensDevice(w *world) string   { return w.bensDevice }

// subscriptionAt is the body that registers a browser, with the keys of RFC 8291, 5.
func subscriptionAt(endpoint string) string {
	return fmt.Sprintf(`{"kind":"webpush","subscription":{"endpoint":%q,"expirationTime":null,"keys":`+
		`{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}}`, endpoint)
}

const someClientID = "0198c9a2-7a44-7d3f-8a43-0d6d8c1f5b11"

// routes has a row for every operation of the API.
var routes = map[string]row{
	"POST /setup": {want: all("conflict"), // there is an admin
		body: text(`{"token":"AAAAAAAAAAAAAAAAAAAAAA","username":"eve","display_name":"Eve","password":"` + testPassword + `"}`)},
	"POST /users": {want: all("forbidden"), // without an invite
		body: text(`{"username":"fay","display_name":"Fay","password":"` + testPassword + `"}`)},
	"GET /audit":        {want: adminsOnly},
	"GET /signup":       {want: all("ok")},
	"GET /users":        {want: signedIn},
	"GET /users/{id}":   {want: signedIn, path: textf("/users/%s", ben)},
	"PATCH /users/{id}": {want: adminsOnly, path: textf("/users/%s", ben), body: text(`{"role":"member"}`)},

	"POST /sessions":           {want: all("ok"), body: text(`{"username":"ben","password":"` + testPassword + `"}`)},
	"GET /sessions":            {want: signedIn},
	"DELETE /sessions":         {want: signedIn, spends: true},
	"DELETE /sessions/current": {want: signedIn, spends: true},
	"DELETE /sessions/{id}": {want: want{"unauthenticated", "not_found", "not_found", "not_found", "not_found"},
		path: textf("/sessions/%s", func(w *world) string { return w.bensSession })},

	"POST /sessions/current/confirmation": {want: signedIn, body: text(`{"password":"` + testPassword + `"}`)},

	"DELETE /me":     {want: want{"unauthenticated", "forbidden", "forbidden", "forbidden", "forbidden"}, body: text(`{"password":"a wrong one","messages":"keep"}`)},
	"GET /me/export": {want: signedIn}, // one's own
	"GET /me":        {want: signedIn},
	"PATCH /me":      {want: signedIn, body: text(`{"display_name":"Somebody"}`)},
	"PUT /me/password": {want: signedIn, spends: true,
		body: text(`{"current":"` + testPassword + `","new":"` + testPassword + `"}`)},

	"GET /invites":        {want: adminsOnly},
	"POST /invites":       {want: adminsOnly},
	"POST /invites/check": {want: all("ok"), body: text(`{"invite":"AAAAAAAAAAAAAAAAAAAAAA"}`)},
	"DELETE /invites/{id}": {want: adminsOnly, // the admin comes last, and it is gone then
		path: textf("/invites/%s", func(w *world) string { return w.invite })},

	"GET /blocks":                        {want: signedIn}, // one's own
	"PUT /users/{id}/block":              {want: signedIn, path: textf("/users/%s/block", func(w *world) string { return w.fay.id.String() })},
	"DELETE /users/{id}/block":           {want: signedIn, path: textf("/users/%s/block", func(w *world) string { return w.fay.id.String() })},
	"PUT /conversations/{id}/acceptance": {want: membersOnly, path: textf("/conversations/%s/acceptance", conversation)},

	"GET /conversations":                {want: signedIn}, // one's own
	"POST /conversations":               {want: signedIn, body: textf(`{"kind":"direct","user_id":"%s"}`, ben)},
	"GET /conversations/{id}":           {want: membersOnly, path: textf("/conversations/%s", conversation)},
	"GET /conversations/{id}/messages":  {want: formersToo, path: textf("/conversations/%s/messages", conversation)},
	"GET /conversations/{id}/entries":   {want: formersToo, path: textf("/conversations/%s/entries", conversation)},
	"POST /conversations/{id}/messages": {want: membersOnly, path: textf("/conversations/%s/messages", conversation), body: text(`{"client_id":"` + someClientID + `","body":"x"}`)},

	"GET /conversations/{id}/messages/{seq}/receipts": {want: membersOnly, path: textf("/conversations/%s/messages/%s/receipts", group, liked)},
	"GET /conversations/{id}/presence":                {want: membersOnly, path: textf("/conversations/%s/presence", group)},
	"GET /users/{id}/presence":                        {want: membersOnly, path: textf("/users/%s/presence", ben)},

	"PATCH /conversations/{id}/settings": {want: membersOnly, path: textf("/conversations/%s/settings", group), body: text(`{"notify":"mentions","muted_until":null}`)},

	"POST /conversations/{id}/messages/{seq}/report": {want: want{"unauthenticated", "not_found", "ok", "ok", "not_found"},
		path: textf("/conversations/%s/messages/%s/report", conversation, func(w *world) string { return fmt.Sprint(w.bens) }), body: text(`{"reason":"spam"}`)},
	"GET /reports":        {want: adminsOnly},
	"GET /reports/mine":   {want: signedIn}, // one's own
	"PATCH /reports/{id}": {want: adminsOnly, path: textf("/reports/%s", func(w *world) string { return w.report }), body: text(`{"decision":"dismissed"}`)},

	"GET /push":               {want: signedIn},
	"GET /devices":            {want: signedIn}, // one's own
	"POST /devices":           {want: signedIn, body: text(subscriptionAt("https://push.invalid/1"))},
	"DELETE /devices/{id}":    {want: nobodyElses, path: textf("/devices/%s", bensDevice)},
	"POST /devices/{id}/test": {want: nobodyElses, path: textf("/devices/%s/test", bensDevice)},

	"PATCH /conversations/{id}":                                   {want: membersOnly, path: textf("/conversations/%s", group), body: text(`{"title":"Other","share_history":false}`)},
	"GET /conversations/{id}/members":                             {want: membersOnly, path: textf("/conversations/%s/members", group)},
	"POST /conversations/{id}/members":                            {want: membersOnly, path: textf("/conversations/%s/members", group), body: textf(`{"user_ids":["%s"]}`, ben)},
	"PATCH /conversations/{id}/members/{user_id}":                 {want: membersOnly, path: textf("/conversations/%s/members/%s", group, ben), body: text(`{"role":"admin"}`)},
	"DELETE /conversations/{id}/members/{user_id}":                {want: membersOnly, path: textf("/conversations/%s/members/%s", group, eve)},
	"PATCH /conversations/{id}/messages/{seq}":                    {want: membersOnly, path: textf("/conversations/%s/messages/%s", group, liked), body: text(`{"body":"edited"}`)},
	"DELETE /conversations/{id}/messages/{seq}":                   {want: membersOnly, path: textf("/conversations/%s/messages/%s", group, doomed)},
	"PUT /conversations/{id}/messages/{seq}/reactions/{emoji}":    {want: membersOnly, path: textf("/conversations/%s/messages/%s/reactions/👍", group, liked)},
	"DELETE /conversations/{id}/messages/{seq}/reactions/{emoji}": {want: membersOnly, path: textf("/conversations/%s/messages/%s/reactions/👍", group, liked)},
}

// former has the rows of operations that are asked with former=true: what somebody was in once.
var former = map[string]row{
	"GET /conversations":      {want: signedIn, path: text("/conversations?former=true")},
	"GET /conversations/{id}": {want: want{"unauthenticated", "not_found", "ok", "not_found", "not_found"}, path: textf("/conversations/%s?former=true", group)},
}

// openToAll is what is served to everybody, beside the interface's files.
var openToAll = []string{
	"GET /healthz", "HEAD /healthz", "GET /readyz", "HEAD /readyz",
	"GET /api/openapi.json", "GET /api/openapi.yaml", "GET /api/docs", "GET /api/docs.css",
}

// frames has a row for every frame a client can send. Nobody is closed with 4500, whatever
// they send, so that column is not looked at.
var frames = map[string]row{
	"message.send":       {want: membersOnly, body: textf(`{"conversation_id":"%s","client_id":"`+someClientID+`","body":"x"}`, conversation)},
	"message.edit":       {want: membersOnly, body: textf(`{"conversation_id":"%s","client_id":"0198c9a2-7a44-7d3f-8a43-0d6d8c1f5b12","seq":%s,"body":"edited again"}`, group, liked)},
	"message.delete":     {want: membersOnly, body: textf(`{"conversation_id":"%s","client_id":"0198c9a2-7a44-7d3f-8a43-0d6d8c1f5b13","seq":%s}`, group, doomed)},
	"message.react":      {want: membersOnly, body: textf(`{"conversation_id":"%s","client_id":"0198c9a2-7a44-7d3f-8a43-0d6d8c1f5b14","seq":%s,"emoji":"🎉"}`, group, liked)},
	"presence.watch":     {want: signedIn, body: textf(`{"user_ids":["%s"]}`, ben)},
	"presence.unwatch":   {want: signedIn, body: textf(`{"user_ids":["%s"]}`, ben)},
	"typing.start":       {want: membersOnly, body: textf(`{"conversation_id":"%s"}`, group)},
	"sync":               {want: signedIn, body: textf(`{"conversations":{"%s":0}}`, conversation)},
	"presence.heartbeat": {want: signedIn, body: text(`{}`)},
	"receipt.delivered":  {want: membersOnly, body: textf(`{"conversation_id":"%s","seq":1}`, conversation)},
	"receipt.read":       {want: membersOnly, body: textf(`{"conversation_id":"%s","seq":1}`, conversation)},
}

// Every operation and every frame, by everybody: who may do it, and that nobody gets to
// read what is not for them on the way. One without a row fails.
func TestAuthorisation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var operations []string
	err := chi.Walk(w.web.Handler().(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		operation, isAPI := strings.CutPrefix(route, "/api/v1")
		switch {
		case isAPI && operation != "/socket": // the socket's rows are the frames
			operations = append(operations, method+" "+operation)
		case !isAPI && !slices.Contains(openToAll, method+" "+route):
			t.Errorf("%s %s is served and in no table", method, route)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "operation", operations, routes)
	compare(t, "frame", w.hub.Mux().Types(), frames)

	for _, name := range slices.Sorted(keys(routes, false)) {
		for i, role := range roles {
			w.check(t, "", name, routes[name], i, role.who(w))
		}
	}
	for _, name := range slices.Sorted(keys(former, false)) {
		for i, role := range roles {
			w.check(t, "", name, former[name], i, role.who(w))
		}
	}
	for _, name := range slices.Sorted(keys(frames, false)) {
		for i, role := range roles {
			w.check(t, "frame ", name, frames[name], i, role.who(w))
		}
	}
	for _, name := range slices.Sorted(keys(routes, true)) {
		for i, role := range roles {
			who := role.who(w)
			if who.token != "" {
				who.token = w.signIn(who.name)
			}
			w.check(t, "", name, routes[name], i, who)
		}
	}
}

// check makes one request of the matrix. The role is given by its column.
func (w *world) check(t *testing.T, kind, name string, r row, column int, who person) {
	t.Helper()
	role := roles[column]
	body := ""
	if r.body != nil {
		body = r.body(w)
	}
	var outcome, received string
	wanted := r.want[column]
	if kind == "" {
		method, path, _ := strings.Cut(name, " ")
		if r.path != nil {
			path = r.path(w)
		}
		outcome, received = w.call(who, method, path, body)
	} else {
		ws := w.dial(who)
		if who.token == "" {
			wanted = "4500"
		}
		outcome, received = ws.ask(name, body)
		_ = ws.CloseNow()
	}
	if kind == "" && outcome == "ok" {
		w.conforms(t, name, received)
	}
	if outcome != wanted {
		t.Errorf("%s%s by %s: %s, want %s: %s", kind, name, role.name, outcome, wanted, received)
	}
	for _, text := range []string{early, late} {
		if strings.Contains(received, text) && !slices.Contains(role.mayRead, text) {
			t.Errorf("%s%s: %s reads what was %s: %s", kind, name, role.name, text, received)
		}
	}
	// Else the line above could not find anything.
	if reads := strings.HasSuffix(name, "/messages") || strings.HasSuffix(name, "/entries"); reads && strings.HasPrefix(name, "GET") {
		for _, text := range role.mayRead {
			if !strings.Contains(received, text) {
				t.Errorf("%s%s: %s does not get to read what was %s: %s", kind, name, role.name, text, received)
			}
		}
	}
}

// conforms checks that an answer is what the OpenAPI document says: clients' types are
// made from that.
func (w *world) conforms(t *testing.T, name, answer string) {
	t.Helper()
	api := w.web.API().OpenAPI()
	method, path, _ := strings.Cut(name, " ")
	item := api.Paths[path]
	op := map[string]*huma.Operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "DELETE": item.Delete, "PATCH": item.Patch}[method]
	for status, response := range op.Responses {
		media := response.Content["application/json"]
		if status == "default" || media == nil {
			continue
		}
		var v any
		if err := json.Unmarshal([]byte(answer), &v); err != nil {
			t.Errorf("%s: %v in %s", name, err, answer)
			return
		}
		result := &huma.ValidateResult{}
		huma.Validate(api.Components.Schemas, media.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, result)
		for _, err := range result.Errors {
			t.Errorf("%s: the answer is not as documented: %v", name, err)
		}
	}
}

func compare(t *testing.T, what string, there []string, rows map[string]row) {
	t.Helper()
	for _, name := range there {
		if _, ok := rows[name]; !ok {
			t.Errorf("the %s %s has no row in the matrix", what, name)
		}
	}
	for name := range rows {
		if !slices.Contains(there, name) {
			t.Errorf("the matrix has a row for the %s %s, which does not exist", what, name)
		}
	}
}

func keys(rows map[string]row, spends bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name, r := range rows {
			if r.spends == spends && !yield(name) {
				return
			}
		}
	}
}
