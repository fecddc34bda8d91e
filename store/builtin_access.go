package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"parley/privilege"
)

// Who can connect to the built-in server. The kernel says which system user is at the
// other end of the socket (peer), and the map lets only the given ones be its role.
const (
	accessRules = `# Parley writes this file at every start; changes are lost.
# Only the system user that runs Parley can connect, through the Unix socket.
# TYPE  DATABASE     USER    METHOD
local   all          ` + roleName + `  peer map=` + roleName + `
local   replication  ` + roleName + `  peer map=` + roleName + `
`
	accessUsers = `# Parley writes this file at every start; changes are lost.
# MAP   SYSTEM-USER  ROLE
`
)

// writeAccess replaces PostgreSQL's rules of who can connect, also those that earlier
// versions left. A server that is running reads them when it is taken over.
func (d *dataDir) writeAccess(users []string) error {
	self := privilege.Current()
	if self.Name == "" {
		return fmt.Errorf("the built-in PostgreSQL needs a name for the user that it runs as, and %s has none; add one (useradd --uid %d parley), or set DATABASE_URL to a database server of your own", self, self.UID)
	}
	var lines strings.Builder
	lines.WriteString(accessUsers)
	for _, name := range append([]string{self.Name}, users...) {
		fmt.Fprintf(&lines, "%s  %q  %s\n", roleName, name, roleName)
	}
	for name, content := range map[string]string{"pg_hba.conf": accessRules, "pg_ident.conf": lines.String()} {
		if err := replaceFile(filepath.Join(d.data(), name), content); err != nil {
			return fmt.Errorf("write who can connect to the database: %w", err)
		}
	}
	return nil
}

// replaceFile gives a file its content, at once and for good.
func replaceFile(path, content string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == content {
		return nil
	}
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
