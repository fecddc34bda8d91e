package store

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

var errNoCancel = errors.New("cancel requests are not sent")

// withoutCancelRequests keeps the connection made with c from asking PostgreSQL to cancel what
// it runs, as pgx does whenever it gives up a connection. A COMMIT that waits for a synchronous
// standby would then become visible without being replicated, and after a failover its seq would
// belong to another message. Abandoned statements end by statement_timeout and lock_timeout
// instead; neither ends the wait of a COMMIT.
//
// pgx dials for a cancel request as it dials for the connection itself, so this refuses to
// dial once the connection is there. c must be for one connection alone.
func withoutCancelRequests(c *pgconn.Config) {
	var connected atomic.Bool
	dial, after := c.DialFunc, c.AfterConnect
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if connected.Load() {
			return nil, errNoCancel
		}
		return dial(ctx, network, addr)
	}
	c.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		connected.Store(true)
		if after != nil {
			return after(ctx, conn)
		}
		return nil
	}
}
