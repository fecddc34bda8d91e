package main

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/accounts"
	"parley/budget"
	"parley/problem"
	"parley/web"
)

// What each user may have in progress on this replica of the requests that cost the database more
// than a message does; what more comes waits. A browser sends six at a time from each tab.
const (
	readsInProgress = 2
	readsWaiting    = 30

	// All of them may take a quarter of the time, and half a second at once: 150 ordinary ones.
	readsPace  = 250 * time.Millisecond
	readsBurst = 500 * time.Millisecond
)

// lightOperations are those that are not counted: a message and an action have budgets of their
// own, and these do not read much.
var lightOperations = map[string]bool{
	"send-message": true, "edit-message": true, "delete-message": true, "add-reaction": true, "remove-reaction": true,
	"get-me": true, "update-me": true, "get-push": true,
	// Whoever uses a stolen session must not be able to keep its owner from ending it.
	"list-sessions": true, "sign-out": true, "end-session": true, "end-other-sessions": true,
	// They wait for something else than the database: a push service, a hash.
	"test-device": true, "change-password": true, "confirm-session": true, "delete-me": true,
	"export-me": true, // one at a time, and for as long as the client takes
}

// limitHit gives a function that records in the audit table that a user hit a limit.
func (a *app) limitHit(name string) func(accounts.UserID) {
	return func(user accounts.UserID) { a.accounts.OnLimit(context.Background(), name, user) }
}

func (a *app) newReads() *budget.Turns[accounts.UserID] {
	reads := budget.NewTurns[accounts.UserID](readsInProgress, readsWaiting, "Too many requests of yours are in progress. Try again in a moment.")
	return reads.WithPace(readsPace, readsBurst).OnLimit(a.limitHit("reads"))
}

// limitReads makes every operation that is registered after it, and that a user signed in for,
// wait for a turn of its user, unless it is light.
func limitReads(api huma.API, reads *budget.Turns[accounts.UserID]) {
	api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
		op := ctx.Operation()
		if op.Metadata[web.MetaPublic] == true || lightOperations[op.OperationID] {
			next(ctx)
			return
		}
		leave, err := reads.Enter(ctx.Context(), accounts.Caller(ctx.Context()).UserID)
		if err != nil {
			refusal := problem.From(err)
			for name, values := range refusal.GetHeaders() {
				ctx.SetHeader(name, values[0])
			}
			_ = huma.WriteErr(api, ctx, refusal.GetStatus(), "", refusal) // the client may be gone
			return
		}
		defer leave()
		next(ctx)
	})
}
