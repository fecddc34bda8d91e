package chat

import (
	"time"

	"parley/accounts"
	"parley/budget"
)

// How much each user may do on a replica, over all their connections and HTTP; docs/PROTOCOL.md
// has the table.
const (
	messagesPerSecond = 20 // messages and actions
	messagesBurst     = 200
	actionsPerMinute  = 120
	actionsBurst      = 300

	// Of the texts that a user sends to a conversation, and to all: each goes to every member.
	bytesPerSecond    = 16 << 10
	bytesBurst        = 256 << 10
	allBytesPerSecond = 64 << 10
	allBytesBurst     = 1 << 20

	conversationsPerHour = 50
	membersPerHour       = 1000
	blocksPerHour        = 200 // and ends of blocks
)

// budgets are those of every user. Without rate limits all are nil.
type budgets struct {
	messages      *budget.Rate[accounts.UserID]
	actions       *budget.Rate[accounts.UserID]
	bytes         *budget.Rate[mine]
	allBytes      *budget.Rate[accounts.UserID]
	conversations *budget.Rate[accounts.UserID]
	members       *budget.Rate[accounts.UserID]
	blocks        *budget.Rate[accounts.UserID]
}

func newBudgets(onLimit func(name string, user accounts.UserID)) budgets {
	hit := func(name string) func(accounts.UserID) {
		return func(user accounts.UserID) {
			if onLimit != nil {
				onLimit(name, user)
			}
		}
	}
	const tooManyBytes = "You are sending too much text. Try again in a moment."
	return budgets{
		messages: budget.NewRate[accounts.UserID](messagesPerSecond, time.Second, messagesBurst,
			"You are sending too fast. Try again in a moment.").OnLimit(hit("messages")),
		actions: budget.NewRate[accounts.UserID](actionsPerMinute, time.Minute, actionsBurst,
			"You are changing messages too fast. Try again in a moment.").OnLimit(hit("actions")),
		bytes: budget.NewRate[mine](bytesPerSecond, time.Second, bytesBurst, tooManyBytes).
			OnLimit(func(m mine) { hit("bytes")(m.User) }),
		allBytes: budget.NewRate[accounts.UserID](allBytesPerSecond, time.Second, allBytesBurst, tooManyBytes).OnLimit(hit("bytes")),
		conversations: budget.NewRate[accounts.UserID](conversationsPerHour, time.Hour, conversationsPerHour,
			"You have started too many conversations in the last hour. Try again later.").OnLimit(hit("conversations")),
		members: budget.NewRate[accounts.UserID](membersPerHour, time.Hour, membersPerHour,
			"You have added too many people in the last hour. Try again later.").OnLimit(hit("members")),
		blocks: budget.NewRate[accounts.UserID](blocksPerHour, time.Hour, blocksPerHour,
			"You have blocked and unblocked too often in the last hour. Try again later.").OnLimit(hit("blocks")),
	}
}

// takeMessage uses the budgets of a message.
func (b *budgets) takeMessage(user accounts.UserID, id ConversationID, size int) error {
	if err := b.messages.Take(user, 1); err != nil {
		return err
	}
	return b.takeBytes(user, id, size)
}

// takeBytes uses the budgets of a text that goes to every member of a conversation.
func (b *budgets) takeBytes(user accounts.UserID, id ConversationID, size int) error {
	if err := b.bytes.Take(mine{user, id}, size); err != nil {
		return err
	}
	return b.allBytes.Take(user, size)
}

// takeAction uses the budget of an action, which is that of a message as well.
func (b *budgets) takeAction(a Action) error {
	if err := b.messages.Take(a.SenderID, 1); err != nil {
		return err
	}
	if err := b.actions.Take(a.SenderID, 1); err != nil {
		return err
	}
	return b.takeBytes(a.SenderID, a.ConversationID, len(a.Body))
}

// takeConversation uses the budget of a new conversation with so many other members.
func (b *budgets) takeConversation(user accounts.UserID, others int) error {
	if err := b.conversations.Take(user, 1); err != nil {
		return err
	}
	return b.members.Take(user, others)
}
