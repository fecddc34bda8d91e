// Package faults shows that Parley keeps its promise under faults. Clients that behave
// as a client should (retry by client_id, reconnect, catch up) record what they sent,
// what was acknowledged, and what they saw and when; Check holds those records and the
// final log against what must always be true. The tests run the real server and do to it
// and its database what the world does.
package faults

import (
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
)

// Digest stands for a message's text in a record.
type Digest [16]byte

// DigestOf hashes a message's text.
func DigestOf(body string) Digest {
	sum := sha256.Sum256([]byte(body))
	return Digest(sum[:16])
}

// History is what happened in a run, by the records of its clients alone. Times are
// those of one clock since the run's beginning.
type History struct {
	Sends    []Send
	Sessions []Session
	Reads    []Read
	// Logs are the conversations' logs as read when everything was over.
	Logs    map[uuid.UUID][]Entry
	Members []Membership
}

// Send is one message that a client wanted stored. No two sends of a history have the
// same text.
type Send struct {
	Conversation, Client, Sender uuid.UUID
	Body                         Digest
	At                           time.Duration // of the first attempt
	Acks                         []Ack         // every attempt's that was acknowledged
	Doubts                       int           // attempts whose outcome the client never learned
}

// Ack is an acknowledgement.
type Ack struct {
	Seq int64
	At  time.Duration
}

// Entry is what a client saw of an entry.
type Entry struct {
	Seq            int64
	Kind           string
	Sender, Client uuid.UUID // Client may be zero: others need not see it
	Body           Digest
}

// Session is what one client saw of one conversation, in the order in which it took it:
// over many connections, or live on one.
type Session struct {
	User, Conversation uuid.UUID
	After              int64 // what it held before; -1 if it may begin anywhere
	Entries            []Entry
	Stayed             bool // to the end, so that nothing may be missing
}

// Read is the answer to one question for what follows After.
type Read struct {
	User, Conversation uuid.UUID
	Began              time.Duration
	After              int64
	Entries            []Entry
	Whole              bool // it claims to reach to the end of the log
}

// Membership is the interval of a conversation's log that a user may see.
type Membership struct {
	Conversation, User uuid.UUID
	From, Until        int64 // both included; an Until of 0 is open
}
