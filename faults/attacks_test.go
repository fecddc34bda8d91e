package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/parleytest"
)

// attackNamed finds an attack by its row.
func attackNamed(row string) (attack, bool) {
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.row == row })
	if i < 0 {
		return attack{}, false
	}
	return attacks[i], true
}

// attacks are the kinds of abuse that docs/PROTOCOL.md has a budget or a bound for.
var attacks = []attack{
	{
		row:  "messages and actions",
		does: "one user, 8 sockets and 4 requests at a time from 4 addresses, 360 messages, edits, reactions and deletions a second",
		want: []string{"rate_limited"},
		arrange: func(ctx context.Context, w *hostileWorld) target {
			return w.pair(ctx, w.signUp(ctx, "sender"), w.signUp(ctx, "receiver"))
		},
		prepare: func(ctx context.Context, a *attacker) error { return a.sockets(ctx, 8, 4) },
		run: func(ctx context.Context, a *attacker) {
			a.each(ctx, len(a.wires), 25*time.Millisecond, func(i, turn int) {
				data := fmt.Sprintf(`{"conversation_id":%q,"client_id":%q,`, a.Conversation, newID())
				switch turn % 4 {
				case 0:
					send(a.wires[i], frameOf("message.send", data+`"body":"spam"}`))
				case 1:
					send(a.wires[i], frameOf("message.react", data+fmt.Sprintf(`"seq":2,"emoji":"👍","remove":%v}`, turn%8 == 1)))
				case 2:
					send(a.wires[i], frameOf("message.edit", data+fmt.Sprintf(`"seq":2,"body":"%d"}`, turn)))
				default:
					send(a.wires[i], frameOf("message.delete", data+`"seq":3}`))
				}
			})
			a.each(ctx, 4, 100*time.Millisecond, func(i, _ int) {
				a.call(ctx, address(i), a.Users[0].Token, "POST", "/conversations/"+a.Conversation.String()+"/messages",
					fmt.Sprintf(`{"client_id":%q,"body":"spam"}`, newID()))
			})
		},
	},
	{
		row:  "bytes delivered",
		does: "one user sends 40 messages of 16 KB a second to a group, of which 450 connections read",
		want: []string{"rate_limited"},
		arrange: func(ctx context.Context, w *hostileWorld) target {
			t := target{Users: []parleytest.Session{w.signUp(ctx, "sender")}}
			for i := range connectionsPerUser(450) {
				t.Users = append(t.Users, w.signUp(ctx, fmt.Sprint("reader", i)))
			}
			return w.group(ctx, t)
		},
		prepare: func(ctx context.Context, a *attacker) error {
			sender := a.Users[0]
			a.Users = a.Users[1:]
			if err := a.sockets(ctx, 50*len(a.Users), 4); err != nil {
				return err
			}
			a.Users = []parleytest.Session{sender}
			return a.sockets(ctx, 1, 1)
		},
		run: func(ctx context.Context, a *attacker) {
			a.each(ctx, 1, 25*time.Millisecond, func(int, int) {
				send(a.wires[len(a.wires)-1], frameOf("message.send", fmt.Sprintf(`{"conversation_id":%q,"client_id":%q,"body":%q}`,
					a.Group, newID(), strings.Repeat("sixteen ", 2048))))
			})
		},
	},
	{
		row:  "sockets",
		does: "one user opens 50 sockets a second and keeps them; as many come without a session from one other address",
		want: []string{"closed 4503", "rate_limited"},
		arrange: func(ctx context.Context, w *hostileWorld) target {
			return target{Users: []parleytest.Session{w.signUp(ctx, "opener")}}
		},
		run: func(ctx context.Context, a *attacker) {
			a.each(ctx, 2, 40*time.Millisecond, func(i, turn int) {
				if w := a.dial(a.life, address(4*i+turn%4), a.Users[0].Token); w != nil {
					a.count("ok")
				}
			})
			a.each(ctx, 2, 10*time.Millisecond, func(int, int) {
				if w := a.dial(a.life, address(100), ""); w != nil {
					a.count("ok")
				}
			})
		},
	},
	{
		row:  "expensive reads",
		does: "one user in 600 conversations: 20 sockets that sync, and 20 requests at a time for lists, pages, logs, members, people and changes of members, each 20 ms after its answer, from 4 addresses",
		want: []string{"rate_limited"},
		arrange: func(ctx context.Context, w *hostileWorld) target {
			t := w.group(ctx, w.pair(ctx, w.signUp(ctx, "reader"), w.signUp(ctx, "other")))
			w.fill(ctx, t.Users[0], 600, 5)
			t.Strangers = w.strangers(ctx, 20)
			return t
		},
		prepare: func(ctx context.Context, a *attacker) error { a.Users = a.Users[:1]; return a.sockets(ctx, 20, 4) },
		run: func(ctx context.Context, a *attacker) {
			a.each(ctx, 20, 50*time.Millisecond, func(i, _ int) {
				send(a.wires[i], frameOf("sync", `{}`))
			})
			me, group := a.Users[0].Token, "/conversations/"+a.Group.String()
			a.each(ctx, 20, 20*time.Millisecond, func(i, turn int) {
				stranger := a.Strangers[i].String()
				r := [][3]string{
					{"GET", "/conversations?limit=100"}, {"GET", "/conversations/" + a.Conversation.String() + "/messages?limit=100"},
					{"GET", group + "/entries?limit=100"}, {"GET", group + "/members?limit=100"}, {"GET", "/users?query=a&limit=100"},
					{"POST", group + "/members", fmt.Sprintf(`{"user_ids":[%q]}`, stranger)}, {"DELETE", group + "/members/" + stranger},
				}[turn%7]
				a.call(ctx, address(i%4), me, r[0], r[1], r[2])
			})
		},
	},
	{
		row:  "trailing edits and reactions",
		does: "1,000 messages, and 100,000 edits and 10,000 reactions of them by one user, who adds 400 a second: they follow the last message of a group whose pages and list are read (by a third user of the canary's)",
		want: []string{"rate_limited"},
		arrange: func(ctx context.Context, w *hostileWorld) target {
			reader := w.signUp(ctx, "reader")
			t := w.group(ctx, w.pair(ctx, w.signUp(ctx, "editor"), reader))
			w.trail(ctx, t, 1000, 110)
			w.canary.visit(reader, t.Group)
			return t
		},
		prepare: func(ctx context.Context, a *attacker) error { a.Users = a.Users[:1]; return a.sockets(ctx, 4, 4) },
		run: func(ctx context.Context, a *attacker) {
			a.each(ctx, 4, 10*time.Millisecond, func(i, turn int) {
				data := fmt.Sprintf(`{"conversation_id":%q,"client_id":%q,"seq":%d,`, a.Group, newID(), 1003-turn%500)
				if turn%2 == 0 {
					send(a.wires[i], frameOf("message.edit", data+fmt.Sprintf(`"body":"%d %d"}`, i, turn)))
				} else {
					send(a.wires[i], frameOf("message.react", data+fmt.Sprintf(`"emoji":%q,"remove":%v}`, []string{"👍", "🎉", "🚀", "👀"}[i], turn%4 == 1)))
				}
			})
		},
	},
	{
		row:  "new conversations, members and invites",
		does: "one user makes 20 groups of 400 others, 20 direct conversations and 20 invites a second, and adds 400 members as often",
		want: []string{"rate_limited"},
		arrange: func(ctx context.Context, w *hostileWorld) target {
			t := w.group(ctx, w.pair(ctx, w.signUp(ctx, "inviter"), w.signUp(ctx, "other")))
			t.Strangers = w.strangers(ctx, 400)
			return t
		},
		run: func(ctx context.Context, a *attacker) {
			ids := `["` + strings.Join(texts(a.Strangers), `","`) + `"]`
			a.each(ctx, 4, 200*time.Millisecond, func(i, turn int) {
				me := a.Users[0].Token
				a.call(ctx, address(i), me, "POST", "/conversations", `{"kind":"group","title":"Spam","member_ids":`+ids+`}`)
				a.call(ctx, address(i), me, "POST", "/conversations", fmt.Sprintf(`{"kind":"direct","user_id":%q}`, a.Strangers[(100*i+turn)%400]))
				a.call(ctx, address(i), me, "POST", "/invites", `{}`)
				a.call(ctx, address(i), me, "POST", "/conversations/"+a.Group.String()+"/members", `{"user_ids":`+ids+`}`)
			})
		},
	},
	{
		row:     "password hashing",
		does:    "4 clients sign in as accounts that they made up, and now and then sign up, 20 times a second each, from 2 addresses at a time and 10 in all",
		want:    []string{"rate_limited"},
		arrange: func(context.Context, *hostileWorld) target { return target{} },
		run: func(ctx context.Context, a *attacker) {
			a.each(ctx, 4, 50*time.Millisecond, func(i, turn int) {
				from := a.moving(i)
				if turn%4 > 0 {
					a.call(ctx, from, "", "POST", "/sessions", fmt.Sprintf(`{"username":"nobody%d","password":"a wrong password"}`, turn))
				} else {
					a.call(ctx, from, "", "POST", "/users", fmt.Sprintf(`{"username":"u%s","display_name":"Spam","password":"a spammer's pass phrase"}`, newID()[24:]))
				}
			})
		},
	},
	{
		row:     "failed sign-ins",
		does:    "4 clients guess the password of one of the canary's accounts, 10 times a second each, from 2 addresses at a time and 10 in all",
		want:    []string{"rate_limited"},
		arrange: func(_ context.Context, w *hostileWorld) target { return target{Victim: w.canary.b.User.Username} },
		run: func(ctx context.Context, a *attacker) {
			a.each(ctx, 4, 100*time.Millisecond, func(i, turn int) {
				a.call(ctx, a.moving(20+i), "", "POST", "/sessions", fmt.Sprintf(`{"username":%q,"password":"guess number %d"}`, a.Victim, turn))
			})
		},
	},
	{
		row:  "absurd times and sizes",
		does: "one user, 4 sockets and 4 requests at a time: mutes until the year 10000, frames and bodies that nest 30,000 deep, of 600 KB and 8 MB, of other encodings, numbers beyond 64 bits",
		want: []string{"invalid", "too_large", "closed 1009"},
		arrange: func(ctx context.Context, w *hostileWorld) target {
			return w.pair(ctx, w.signUp(ctx, "oddity"), w.signUp(ctx, "other"))
		},
		run: func(ctx context.Context, a *attacker) {
			me, conversation := a.Users[0].Token, "/conversations/"+a.Conversation.String()
			a.each(ctx, 4, 50*time.Millisecond, func(i, turn int) {
				r := absurdRequests(conversation)[(turn+i)%len(absurdRequests(conversation))]
				a.call(ctx, address(i), me, r[0], r[1], r[2])
			})
			open := make([]*parleytest.Wire, 4)
			a.each(ctx, 4, 50*time.Millisecond, func(i, turn int) {
				frames := absurdFrames(a.Conversation.String())
				if turn%len(frames) == 0 {
					open[i] = a.dial(ctx, address(i), me) // the one before was closed
				}
				if open[i] != nil {
					send(open[i], frames[turn%len(frames)])
				}
			})
			a.clients.Wait()
			for _, w := range open {
				if w != nil {
					_ = w.Close() // the attacker's own end
				}
			}
		},
	},
}

// connectionsPerUser is of how many users n connections are: each has 50.
func connectionsPerUser(n int) int { return n / 50 }

// texts are ids as text.
func texts[T fmt.Stringer](ids []T) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = id.String()
	}
	return all
}

func absurdRequests(conversation string) [][3]string {
	deep := strings.Repeat(`[`, 30_000) + strings.Repeat(`]`, 30_000)
	return [][3]string{
		{"PATCH", conversation + "/settings", `{"muted_until":"9999-12-31T23:59:59-23:59"}`},
		{"PATCH", conversation + "/settings", `{"muted_until":"9999-12-31T23:59:59Z"}`},
		{"PATCH", conversation + "/settings", `{"muted_until":"0000-01-01T00:00:00+23:59"}`},
		{"PATCH", conversation + "/settings", `{"mute_for_s":9223372036854775807}`},
		{"POST", conversation + "/messages", `{"client_id":` + deep + `}`},
		{"POST", conversation + "/messages", `{"body":"` + strings.Repeat("x", 8<<20) + `"}`},
		{"POST", "/conversations", `{"kind":"group","title":"` + strings.Repeat("\u0301", 20_000) + `"}`},
		{"POST", "/invites", `{"expires_in_s":1e300,"max_uses":-1}`},
		{"GET", conversation + "/messages?before=99999999999999999999", ""},
		{"GET", conversation + "/messages?around=9223372036854775807&limit=100", ""},
		{"GET", conversation + "/entries?after=9223372036854775807", ""},
		{"GET", "/conversations?cursor=" + strings.Repeat("z", 60), ""},
		{"GET", "/users?query=" + strings.Repeat("%F0%9F%92%A9", 500), ""},
	}
}

// absurdFrames end with one that closes the socket.
func absurdFrames(conversation string) []string {
	return []string{
		frameOf("sync", `{"conversations":`+strings.Repeat(`{"a":`, 9000)+`1`+strings.Repeat(`}`, 9000)+`}`),
		frameOf("sync", `{"conversations":{"`+conversation+`":9223372036854775807}}`),
		frameOf("sync", `{"last_entries":{"`+conversation+`":{"seq":1,"created_at":"9999-12-31T23:59:59-23:59"}},"conversations":{"`+conversation+`":1}}`),
		frameOf("message.send", `{"conversation_id":"`+conversation+`","client_id":"`+newID()+`","body":"x","reply_to":1e30}`),
		frameOf("message.edit", `{"conversation_id":"`+conversation+`","client_id":"`+newID()+`","seq":-1,"body":"x"}`),
		frameOf("presence.watch", `{"user_ids":[`+strings.TrimSuffix(strings.Repeat(`"`+conversation+`",`, 1500), ",")+`]}`),
		frameOf("receipt.read", `{"conversation_id":"`+conversation+`","seq":9223372036854775807}`),
		frameOf("sync", `{"a":"`+strings.Repeat("x", 600<<10)+`"}`),
	}
}
