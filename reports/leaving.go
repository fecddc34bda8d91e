package reports

import (
	"context"
	"fmt"

	"parley/accounts"
)

const (
	// erasePage is how many open reports one statement looks at to erase the copies of a user's texts.
	erasePage = 1000
	// exportPage is how many reports one statement gives for an export.
	exportPage = 500
)

// RemoveUser erases the texts of a deleted user from the open reports about them, if messages are
// erased at all. The reports stay, for admins to decide. It can be repeated. What the user
// reported stays, too.
func (s *Service) RemoveUser(ctx context.Context, user accounts.UserID, eraseMessages bool) error {
	if !eraseMessages {
		return nil
	}
	for after, n := (ID{}), erasePage; n == erasePage; {
		var err error
		if after, n, err = s.q.eraseTexts(ctx, user, after, erasePage); err != nil {
			return fmt.Errorf("erase a deleted user's texts in reports: %w", err)
		}
	}
	return nil
}

// Export writes the user's own reports, the latest first.
func (s *Service) Export(ctx context.Context, user accounts.UserID, write accounts.ExportWriter) error {
	from := last
	for {
		list, err := s.q.mine(ctx, user, from, exportPage)
		if err != nil {
			return fmt.Errorf("export reports: %w", err)
		}
		for _, r := range list {
			if err := write("report", r); err != nil {
				return err
			}
			from = place(r)
		}
		if len(list) < exportPage {
			return nil
		}
	}
}
