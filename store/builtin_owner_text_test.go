package store

import (
	"testing"

	"parley/privilege"
)

// The text of an error names each user that can start Parley once.
func TestOwnerOrRoot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owner privilege.User
		want  string
	}{
		"root is named once":      {privilege.User{Name: "root"}, "root"},
		"an owner and root":       {privilege.User{Name: "parley", UID: 990}, "parley or as root"},
		"an owner without a name": {privilege.User{UID: 4711}, privilege.User{UID: 4711}.String() + " or as root"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ownerOrRoot(c.owner); got != c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
