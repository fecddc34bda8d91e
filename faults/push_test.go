package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
	"parley/store/storetest"
)

// pushWorld is two replicas on one database and push services for them.
type pushWorld struct {
	t        *testing.T
	one, two *parleytest.Server
	web      *parleytest.WebPush
	fcm      *parleytest.FCM
	ann      parleytest.Session
}

func newPushWorld(ctx context.Context, t *testing.T) *pushWorld {
	t.Helper()
	w := &pushWorld{t: t, web: parleytest.NewWebPush(), fcm: parleytest.NewFCM()}
	account := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(account, w.fcm.ServiceAccount(), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + storetest.URL(t), "PARLEY_PUSH_ALLOW_PRIVATE=true",
		"PARLEY_FCM_CREDENTIALS_FILE=" + account, "PARLEY_FCM_ENDPOINT=" + w.fcm.Endpoint()}
	w.one, w.two = start(t, env...), start(t, env...)
	t.Cleanup(func() {
		w.web.Close()
		w.fcm.Close()
		for _, err := range []error{w.web.Faults(), w.fcm.Faults()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	w.ann = w.people(ctx, "ann", 1)[0]
	return w
}

func (w *pushWorld) people(ctx context.Context, prefix string, n int) []parleytest.Session {
	w.t.Helper()
	people, err := w.two.SignUp(ctx, prefix, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return people
}

// browser and android give somebody a device.
func (w *pushWorld) browser(ctx context.Context, who parleytest.Session) *parleytest.Subscriber {
	w.t.Helper()
	d := w.web.Subscribe()
	w.call(ctx, who, "POST", "/devices", d.Registration())
	return d
}

func (w *pushWorld) android(ctx context.Context, who parleytest.Session) *parleytest.FCMDevice {
	w.t.Helper()
	d := w.fcm.Register()
	w.call(ctx, who, "POST", "/devices", d.Registration("android"))
	return d
}

func (w *pushWorld) call(ctx context.Context, who parleytest.Session, method, path string, in any) {
	w.t.Helper()
	if err := w.two.Client(who.Token).Call(ctx, method, path, in, nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *pushWorld) group(ctx context.Context, people ...parleytest.Session) uuid.UUID {
	w.t.Helper()
	var ids []uuid.UUID
	for _, p := range people {
		ids = append(ids, p.User.ID)
	}
	c, err := w.two.Client(w.ann.Token).CreateGroup(ctx, "Climbers", ids)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.ID
}

// say sends a message of ann's.
func (w *pushWorld) say(ctx context.Context, by *parleytest.Server, id uuid.UUID, text string) int64 {
	w.t.Helper()
	sent, err := by.Client(w.ann.Token).Send(ctx, id, uuid.Must(uuid.NewV7()), text)
	if err != nil {
		w.t.Fatal(err)
	}
	return sent.Seq
}

// reads connects somebody who says that they have, and have read, all that comes.
func (w *pushWorld) reads(ctx context.Context, by *parleytest.Server, who parleytest.Session) {
	w.t.Helper()
	ws, err := NewClient(ClientConfig{Session: who}).dial(ctx, by)
	if err != nil {
		w.t.Fatal(err)
	}
	l := &link{ctx: ctx, ws: ws}
	ready := make(chan struct{})
	go func() {
		defer ws.CloseNow()
		for {
			_, b, err := ws.Read(ctx)
			if err != nil {
				return
			}
			var f frame
			if err := json.Unmarshal(b, &f); err != nil {
				return
			}
			switch f.Type {
			case "hello":
				close(ready)
			case "entry":
				var e parleytest.Entry
				if json.Unmarshal(f.Data, &e) != nil || l.write("receipt.read", "r", map[string]any{"conversation_id": e.ConversationID, "seq": e.Seq}) != nil {
					return
				}
			}
		}
	}()
	select {
	case <-ready:
	case <-ctx.Done():
		w.t.Fatal("no hello came")
	}
}

// TestPush: whoever is away gets one notification of a message within five seconds, wherever
// it was sent; who reads, has muted, only wants mentions, or was removed gets none.
func TestPush(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := newPushWorld(ctx, t)
	p := w.people(ctx, "p", 6)
	away, reader, muted, mentions, removed, mobile := p[0], p[1], p[2], p[3], p[4], p[5]
	id := w.group(ctx, p...)
	settings := "/conversations/" + id.String() + "/settings"
	w.call(ctx, muted, "PATCH", settings, map[string]any{"muted_until": time.Now().Add(time.Hour)})
	w.call(ctx, mentions, "PATCH", settings, map[string]any{"notify": "mentions"})
	w.call(ctx, w.ann, "DELETE", "/conversations/"+id.String()+"/members/"+removed.User.ID.String(), nil)
	phone := w.browser(ctx, away)
	android := w.android(ctx, mobile)
	none := map[string]*parleytest.Subscriber{"the reader": w.browser(ctx, reader), "who muted": w.browser(ctx, muted), "who was removed": w.browser(ctx, removed)}
	mentioned := w.browser(ctx, mentions)
	w.reads(ctx, w.two, reader)

	const rounds = 6
	var longest time.Duration
	for n := 1; n <= rounds; n++ {
		by := []*parleytest.Server{w.one, w.two}[n%2]
		var seq int64
		began := time.Now()
		if n == rounds { // the last one mentions
			var sent parleytest.Sent
			if err := by.Client(w.ann.Token).Call(ctx, "POST", "/conversations/"+id.String()+"/messages",
				map[string]any{"client_id": uuid.Must(uuid.NewV7()), "body": "@you", "mentions": []uuid.UUID{mentions.User.ID}}, &sent); err != nil {
				t.Fatal(err)
			}
			seq = sent.Seq
		} else {
			seq = w.say(ctx, by, id, fmt.Sprint("message ", n))
		}
		pushes, err := phone.Await(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		took := pushes[n-1].At.Sub(began)
		longest = max(longest, took)
		if d := pushes[n-1].Data; d.Seq != seq || d.Count != n || took > 5*time.Second {
			t.Errorf("after %v the device got %s", took, pushes[n-1].Payload)
		}
		if _, err := android.Await(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := mentioned.Await(ctx, 1); err != nil || len(got) != 1 || got[0].Data.Count != 1 || got[0].Data.Body != "ann0: @you" {
		t.Errorf("who wants mentions got %+v: %v", got, err)
	}
	// They come home, and it is quiet.
	w.reads(ctx, w.one, away)
	w.say(ctx, w.one, id, "the end")
	if _, err := android.Await(ctx, rounds+1); err != nil {
		t.Fatal(err)
	}
	// Who was to get this one has got it by now; so has who was not to.
	for _, s := range []*parleytest.Server{w.one, w.two} {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
	for name, d := range none {
		if n := len(d.Attempts()); n != 0 {
			t.Errorf("%s got %d", name, n)
		}
	}
	if n, m := len(phone.Attempts()), len(mentioned.Attempts()); n != rounds || m != 1 {
		t.Errorf("who was away got %d, who wants mentions %d", n, m)
	}
	t.Logf("the notification came after %v at most", longest.Round(time.Millisecond))
}

// TestPushKill: one of two replicas is killed again and again: at any moment after a message
// was acknowledged, and while notifications are being sent. Everybody who is away is told of
// the last message of every conversation in the end.
func TestPushKill(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	w := newPushWorld(ctx, t)
	const people, groups, rounds = 10, 5, 6
	p := w.people(ctx, "p", people)
	var phones []*parleytest.Subscriber
	for _, who := range p {
		phones = append(phones, w.browser(ctx, who))
	}
	var ids []uuid.UUID
	for range groups {
		ids = append(ids, w.group(ctx, p...))
	}
	last := make(map[string]int64)
	for n := range rounds {
		// In every second round the service does not answer until the replica is dead.
		stuck := make(chan struct{})
		if n%2 == 1 {
			for _, d := range phones {
				d.Answer(func(_ http.ResponseWriter, r *http.Request) bool {
					select {
					case <-stuck:
					case <-r.Context().Done():
					}
					return false
				})
			}
		}
		before := len(phones[0].Attempts())
		for _, id := range ids {
			last[id.String()] = w.say(ctx, w.one, id, fmt.Sprint("round ", n))
		}
		if n%2 == 1 {
			if err := phones[0].AwaitAttempts(ctx, before+1); err != nil {
				t.Fatal(err)
			}
		} else {
			sleep(ctx, rand.N(4*time.Second)) // any moment: there is nothing to wait for
		}
		if err := w.one.Kill(); err != nil {
			t.Fatal(err)
		}
		close(stuck)
		for _, d := range phones {
			d.Answer(nil)
		}
		if err := w.one.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	ended := time.Now()
	told := func(d *parleytest.Subscriber) map[string]int64 {
		seqs := make(map[string]int64)
		for _, p := range d.Pushes() {
			seqs[p.Data.ConversationID] = max(seqs[p.Data.ConversationID], p.Data.Seq)
		}
		return seqs
	}
	attempts := 0
	for i, d := range phones {
		for {
			seqs, missing, have := told(d), "", len(d.Pushes())
			for id, seq := range last {
				if seqs[id] != seq {
					missing = id
				}
			}
			if missing == "" {
				break
			}
			if _, err := d.Await(ctx, have+1); err != nil {
				t.Fatalf("%s was told of %s up to %d of %d: %v", p[i].User.Username, missing, seqs[missing], last[missing], err)
			}
		}
		attempts += len(d.Attempts())
	}
	t.Logf("all were told %v after the last crash; %d attempts for %d conversations and rounds of %d people",
		time.Since(ended).Round(time.Millisecond), attempts, groups*rounds, people)
}
