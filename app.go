package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"parley/accounts"
	"parley/budget"
	"parley/chat"
	"parley/history"
	"parley/hub"
	"parley/presence"
	"parley/push"
	"parley/receipts"
	"parley/reports"
	"parley/store"
	"parley/web"
)

// app is the packages of Parley, knowing of each other what they need, on a database.
type app struct {
	bus      *store.Bus
	web      *web.Server
	hub      *hub.Hub
	accounts *accounts.Service
	chat     *chat.Service
	receipts *receipts.Service
	presence *presence.Service
	push     *push.Service
	reports  *reports.Service

	reads *budget.Turns[accounts.UserID] // nil without rate limits
}

// newApp wires the packages and registers every route, frame and topic of the bus.
func newApp(ctx context.Context, cfg *config, db *store.DB, log *slog.Logger) (*app, error) {
	epoch, err := db.Epoch(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the database's epoch: %w", err)
	}
	a := &app{bus: store.NewBus(db)}
	limits := cfg.RateLimits == "on"
	perUser, perAddress := 0, 0
	if limits {
		perUser, perAddress = cfg.MaxSocketsPerUser, cfg.MaxSocketsPerAddress
	}
	a.web, err = web.New(web.Config{
		BaseURL:        cfg.baseURL,
		TrustedProxies: cfg.proxies,
		Logger:         log,
		Version:        version,
		Translate:      store.Problem,
		RateLimits:     limits,
		Ready: func(ctx context.Context) error {
			return errors.Join(a.chat.Ready(), db.Ready(ctx))
		},
		Degraded: func() string {
			var all []string
			if !a.bus.Hearing() {
				all = append(all, "Other replicas are not heard: what is sent there arrives here up to some seconds late.")
			}
			if repeated := db.Failures().Degraded(); repeated != "" {
				all = append(all, repeated)
			}
			return strings.Join(all, " ")
		},
		Failures: db.Failures(),
		OnLimit:  func(ctx context.Context) { a.accounts.OnLimit(ctx, "requests", accounts.UserID{}) },
	})
	if err != nil {
		return nil, err
	}
	// accounts closes sockets, and the hub asks accounts who is there.
	sockets := &lateHub{}
	a.accounts = accounts.New(accounts.Config{
		DB:            db,
		Bus:           a.bus,
		Logger:        log,
		Signup:        accounts.SignupMode(cfg.Signup),
		MembersInvite: cfg.MembersInvite,
		Sessions:      sockets,
		Changed:       func(user accounts.UserID) { a.chat.ProfileChanged(user) },
		OnAccessChanged: func(ctx context.Context, user accounts.UserID) {
			a.chat.AccessChanged(ctx)
			a.receipts.AccessChanged(ctx, user)
		},
		OnSignIn: func(user accounts.UserID, in accounts.NewSignIn) {
			event, err := hub.EncodeEvent("session", in)
			if err != nil {
				log.Error("encode the event of a new sign-in", "err", err)
				return
			}
			for _, c := range a.chat.ByUser().Conns(user) {
				c.Send(event)
			}
		},
		AccountDeletion: accounts.DeletionPolicy(cfg.AccountDeletion),
		OnDelete: []func(context.Context, accounts.UserID, bool) error{
			func(ctx context.Context, user accounts.UserID, erase bool) error {
				return a.chat.RemoveUser(ctx, user, erase)
			},
			func(ctx context.Context, user accounts.UserID, erase bool) error {
				return a.push.RemoveUser(ctx, user, erase)
			},
			func(ctx context.Context, user accounts.UserID, erase bool) error {
				return a.presence.RemoveUser(ctx, user, erase)
			},
			func(ctx context.Context, user accounts.UserID, erase bool) error { // after chat: then no new copy is made
				return a.reports.RemoveUser(ctx, user, erase)
			},
		},
		Exporters: []func(context.Context, accounts.UserID, accounts.ExportWriter) error{
			func(ctx context.Context, user accounts.UserID, write accounts.ExportWriter) error {
				return a.chat.Export(ctx, user, write)
			},
			func(ctx context.Context, user accounts.UserID, write accounts.ExportWriter) error {
				return a.push.Export(ctx, user, write)
			},
			func(ctx context.Context, user accounts.UserID, write accounts.ExportWriter) error {
				return a.reports.Export(ctx, user, write)
			},
		},
		SessionLifetime: cfg.SessionLifetime,
		AuditAge:        time.Duration(cfg.AuditDays) * 24 * time.Hour,

		PublicURL:     a.web.PublicURL,
		ClientIP:      web.ClientIP,
		BasePath:      a.web.BasePath(),
		SecureCookies: a.web.Secure(),
		SecureRequest: web.SecureRequest,
		RateLimits:    limits,
		Failures:      db.Failures(),
	})
	a.hub = hub.New(hub.Config{
		Logger: log,
		Authenticate: func(ctx context.Context, token string) (hub.Identity, error) {
			who, err := a.accounts.Authenticate(ctx, token)
			return hub.Identity{UserID: uuid.UUID(who.UserID), SessionID: uuid.UUID(who.SessionID)}, err
		},
		CookieNames:          a.accounts.CookieNames(),
		OriginAllowed:        a.web.OriginAllowed,
		Translate:            store.Problem,
		Epoch:                epoch,
		Version:              version,
		RateLimits:           limits,
		ClientAddress:        web.ClientIP,
		MaxSockets:           cfg.MaxSockets,
		MaxSocketsPerUser:    perUser,
		MaxSocketsPerAddress: perAddress,
		OnLimit: func(ctx context.Context, name string, user uuid.UUID) {
			a.accounts.OnLimit(ctx, name, accounts.UserID(user))
		},
		Failures: db.Failures(),
	})
	sockets.Hub = a.hub
	a.chat = chat.New(chat.Config{
		DB: db, Bus: a.bus, Hub: a.hub, Logger: log, MaxMembers: cfg.GroupLimit, RateLimits: limits, Person: a.accounts.User,
		Sent: func(id chat.ConversationID, user accounts.UserID, seq chat.Seq) {
			a.receipts.Read(id, user, seq)
			a.push.Sent(id, user, seq)
		},
		OnMemberLeft: func(id chat.ConversationID) { a.receipts.MembersChanged(id) },
		OnLimit:      func(name string, user accounts.UserID) { a.limitHit(name)(user) },
		Acceptance:   cfg.Presence == "accepted", GroupAdds: chat.GroupAdds(cfg.GroupAdds),
		OnAcquaintanceChanged: func(one, other accounts.UserID) { a.presence.AcquaintanceChanged(one, other) },
		Failures:              db.Failures(),
	})
	a.receipts = receipts.New(receipts.Config{
		Acceptance: cfg.Presence == "accepted",
		DB:         db, Bus: a.bus, Logger: log, ByConversation: a.chat.ByConversation(), ByUser: a.chat.ByUser(), Failures: db.Failures(),
	})
	if limits {
		a.reads = a.newReads()
	}
	a.presence = presence.New(presence.Config{
		Acceptance: cfg.Presence == "accepted",
		Reads:      a.reads, DB: db, Bus: a.bus, Hub: a.hub, Logger: log, ByConversation: a.chat.ByConversation(), ByUser: a.chat.ByUser(), Failures: db.Failures(),
	})
	a.push, err = push.New(ctx, push.Config{
		DB: db, Logger: log, PublicURL: a.web.PublicURL, Generic: cfg.PushContent == "generic", AllowPrivate: cfg.PushAllowPrivate, Services: cfg.services,
		FCM: []byte(cfg.FCMCredentials), FCMEndpoint: cfg.FCMEndpoint, RateLimits: limits, Failures: db.Failures(),
	})
	if err != nil {
		return nil, err
	}
	a.reports = reports.New(reports.Config{
		DB: db, Bus: a.bus, Logger: log, ByUser: a.chat.ByUser(), Messages: a.chat, Users: a.accounts,
		OnDecided: a.accounts.ReportDecided, OnLimit: a.accounts.OnLimit, RateLimits: limits, Failures: db.Failures(),
	})
	past := history.New(history.Config{DB: db, Chat: a.chat, Epoch: epoch, Reads: a.reads})

	api := a.web.API()
	a.accounts.Protect(api) // before anything is registered
	limitReads(api, a.reads)
	a.accounts.Routes(api)
	a.chat.Routes(api)
	past.Routes(api)
	a.receipts.Routes(api)
	a.presence.Routes(api)
	a.push.Routes(api)
	a.reports.Routes(api)
	a.web.Handle(socketOperation(), a.hub)

	frames := a.hub.Mux()
	a.chat.Frames(frames)
	past.Frames(frames)
	a.receipts.Frames(frames)
	a.presence.Frames(frames)
	return a, nil
}

// lateHub is a hub that is not there yet.
type lateHub struct{ *hub.Hub }

// socketOperation documents the socket, which speaks a protocol of its own.
func socketOperation() *huma.Operation {
	return &huma.Operation{
		OperationID: "socket", Method: http.MethodGet, Path: "/socket", Tags: []string{"Socket"},
		Summary: "Open a WebSocket",
		Description: "Subprotocol " + hub.Subprotocol + ": JSON frames for sending, for what happens and for catching up; docs/PROTOCOL.md describes them. " +
			"Authenticate with a bearer token, with the session cookie from a page of this server, or with a first frame auth.",
		Responses: map[string]*huma.Response{"101": {Description: "Switching Protocols"}},
	}
}
