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

	conversationsPerHour = 50
	membersPerHour       = 1000
)

// budgets are those of every user. Without rate limits all are nil.
type budgets struct {
	messages      *budget.Rate[accounts.UserID]
	actions       *budget.Rate[accounts.UserID]
	conversations *budget.Rate[accounts.UserID]
	members       *budget.Rate[accounts.UserID]
}

func newBudgets() budgets {
	return budgets{
		messages: budget.NewRate[accounts.UserID](messagesPerSecond, time.Second, messagesBurst,
			"You are sending too fast. Try again in a moment."),
		actions: budget.NewRate[accounts.UserID](actionsPerMinute, time.Minute, actionsBurst,
			"You are changing messages too fast. Try again in a moment."),
		conversations: budget.NewRate[accounts.UserID](conversationsPerHour, time.Hour, conversationsPerHour,
			"You have started too many conversations in the last hour. Try again later."),
		members: budget.NewRate[accounts.UserID](membersPerHour, time.Hour, membersPerHour,
			"You have added too many people in the last hour. Try again later."),
	}
}

// takeAction uses the budget of an action, which is that of a message as well.
func (b *budgets) takeAction(user accounts.UserID) error {
	if err := b.messages.Take(user, 1); err != nil {
		return err
	}
	return b.actions.Take(user, 1)
}

// takeConversation uses the budget of a new conversation with so many other members.
func (b *budgets) takeConversation(user accounts.UserID, others int) error {
	if err := b.conversations.Take(user, 1); err != nil {
		return err
	}
	return b.members.Take(user, others)
}
