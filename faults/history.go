// Package faults shows that Parley keeps its promise under faults. Clients that behave
// as a client should (retry by client_id, reconnect, catch up) record what they sent,
// what was acknowledged, and what they saw and when; Check holds those records and the
// final log against what must always be true. The tests run the real server and do to it
// and its database what the world does; docs/RELIABILITY.md is what came of it.
package faults

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
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
	Said     []Mark // by clients, when they said it
	Told     []Mark // by servers, when it was told
	// Logs are the conversations' logs as read when everything was over.
	Logs    map[uuid.UUID][]Entry
	Members []Membership
	Changes []Change // in the order in which they were asked for
}

// Send is one message that a client wanted stored. No two sends of a history have the
// same text.
type Send struct {
	Conversation, Client, Sender uuid.UUID
	Body                         Digest
	At                           time.Duration // of the first attempt
	Acks                         []Ack         // every attempt's that was acknowledged
	Doubts                       int           // attempts whose outcome the client never learned
	Refused                      bool          // for good: the sender is in the conversation no more
	Former                       bool          // of after the backup that was restored: it may be lost
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
	Body           Digest    // of a message's text, or of the people whom another entry is about
}

func (e Entry) String() string {
	return fmt.Sprintf("%d (%s of %v, text %x)", e.Seq, e.Kind, e.Sender, e.Body[:3])
}

// observed is a client's view of an entry.
func observed(e parleytest.Entry) Entry {
	body := e.Body
	if e.UserID != uuid.Nil || len(e.UserIDs) > 0 {
		body = fmt.Sprint(e.UserID, e.UserIDs)
	}
	return Entry{e.Seq, e.Kind, e.SenderID, e.ClientID, DigestOf(body)}
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

// Mark is up to where somebody has a conversation.
type Mark struct {
	User, Conversation uuid.UUID
	Seq                int64
	At                 time.Duration
}

// Membership is the interval of a conversation's log that a user may see.
type Membership struct {
	Conversation, User uuid.UUID
	From, Until        int64 // both included; an Until of 0 is open
}

// Change is that somebody asked for a person to be a member of a group, or not to be.
type Change struct {
	Conversation, User uuid.UUID
	In                 bool
	At                 time.Duration // of the answer
	Doubt              bool          // there was none that says that it is so now
}

// MembershipsOf derives who may see what from a conversation's whole log.
func MembershipsOf(conversation uuid.UUID, log []parleytest.Entry) []Membership {
	var all []Membership
	open := map[uuid.UUID]int{} // index of the interval that lasts
	enter := func(user uuid.UUID, seq int64) {
		open[user] = len(all)
		all = append(all, Membership{Conversation: conversation, User: user, From: seq})
	}
	for _, e := range log {
		switch e.Kind {
		case "created":
			for _, u := range e.UserIDs {
				enter(u, e.Seq)
			}
		case "member_added":
			enter(e.UserID, e.Seq)
		case "member_removed", "member_left":
			if i, ok := open[e.UserID]; ok {
				all[i].Until = e.Seq
				delete(open, e.UserID)
			}
		}
	}
	return all
}
