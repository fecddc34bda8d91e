package hub

import (
	"slices"

	"github.com/google/uuid"
)

// Position is the place of an entry in the log of a conversation. By it a connection that is
// behind is told what to fetch, instead of being closed.
//
// Invariant: of each log a connection gets the next entry, or the event behind and then the
// entry after the last_seq that it names.
type Position struct {
	Log uuid.UUID // the conversation's id
	Seq int64
}

// item is a frame in an outbox.
type item struct {
	frame []byte
	at    *Position // of an entry; nil: it is none
}

// behindEvent tells a client that entries up to LastSeq were left out.
type behindEvent struct {
	ConversationID uuid.UUID `json:"conversation_id"`
	LastSeq        int64     `json:"last_seq"`
}

const (
	// markerSize is more than the event behind has, in bytes.
	markerSize = 160
	// resumeSize is from how many waiting bytes on a connection counts as caught up: then the
	// markers are sent, and entries again.
	resumeSize = maxOutbox / 8
)

// verdict is what becomes of an item for which the outbox has no room.
type verdict int

const (
	goesIn verdict = iota
	leftOut
	tooFarBehind
)

// fit makes room for an item, by leaving out entries. The connection is locked.
func (c *Conn) fit(it item) verdict {
	if c.isOver(it) {
		c.leaveOut(it)
	}
	if it.at != nil {
		if last, behind := c.missed[it.at.Log]; behind {
			c.missed[it.at.Log] = max(last, it.at.Seq)
			return leftOut
		}
	}
	if c.isOver(it) {
		return tooFarBehind
	}
	return goesIn
}

// isOver says whether an item would take the outbox, with its markers, over its bound.
func (c *Conn) isOver(it item) bool {
	return c.queued+len(it.frame)+markerSize*len(c.missed) > maxOutbox
}

// leaveOut drops the entries of the logs that take most of the outbox, until half of it is
// free: so a busy conversation costs the others nothing. The next item counts too.
func (c *Conn) leaveOut(next item) {
	sizes := make(map[uuid.UUID]int)
	last := make(map[uuid.UUID]int64)
	for _, items := range [][]item{c.outbox, c.early, {next}} {
		for _, it := range items {
			if it.at != nil {
				sizes[it.at.Log] += len(it.frame)
				last[it.at.Log] = max(last[it.at.Log], it.at.Seq)
			}
		}
	}
	logs := make([]uuid.UUID, 0, len(sizes))
	for log := range sizes {
		logs = append(logs, log)
	}
	slices.SortFunc(logs, func(a, b uuid.UUID) int { return sizes[b] - sizes[a] })
	if c.missed == nil {
		c.missed = make(map[uuid.UUID]int64)
	}
	after := c.queued + len(next.frame)
	for _, log := range logs {
		if after <= maxOutbox/2 {
			break
		}
		after -= sizes[log]
		c.missed[log] = max(c.missed[log], last[log])
	}
	drop := func(it item) bool {
		if it.at == nil {
			return false
		}
		_, behind := c.missed[it.at.Log]
		if behind {
			c.queued -= len(it.frame)
		}
		return behind
	}
	c.outbox = slices.DeleteFunc(c.outbox, drop)
	c.early = slices.DeleteFunc(c.early, drop)
}

// resumeEntries puts the markers into the outbox, once the client has read most of what
// waited. The connection is locked.
func (c *Conn) resumeEntries() {
	if c.opening || c.closed || c.queued > resumeSize {
		return
	}
	for log, last := range c.missed {
		frame, err := EncodeEvent("behind", behindEvent{log, last})
		if err != nil {
			c.hub.cfg.Failures.Report("encode the event behind", err)
			continue
		}
		c.queued += len(frame)
		c.outbox = append(c.outbox, item{frame: frame})
	}
	c.missed = nil
}
