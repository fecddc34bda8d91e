package privilege_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/privilege"
)

func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "parley-privilege-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to own directories as several users")
	}
	const ann, ben = 1, 2
	for name, c := range map[string]struct {
		make    func(dir string) error
		owner   int
		path    string // below the directory
		missing string
		refused string
	}{
		"roots":            {func(dir string) error { return os.MkdirAll(dir+"/a/data", 0o755) }, 0, "a/data", "", ""},
		"missing_in_roots": {func(dir string) error { return os.Mkdir(dir+"/a", 0o755) }, 0, "a", "data", ""},
		"missing_in_anns":  {func(dir string) error { return join(os.Mkdir(dir+"/a", 0o755), os.Chown(dir+"/a", ann, ann)) }, ann, "a", "data", ""},
		"roots_below_anns": {func(dir string) error { return join(os.MkdirAll(dir+"/a/data", 0o755), os.Chown(dir+"/a", ann, ann)) }, ann, "a/data", "", ""},
		"bens_below_anns": {func(dir string) error {
			return join(os.MkdirAll(dir+"/a/data", 0o755), os.Chown(dir+"/a", ann, ann), os.Chown(dir+"/a/data", ben, ben))
		}, 0, "", "", "daemon can replace it"},
		"roots_link": {func(dir string) error { return join(os.MkdirAll(dir+"/b/data", 0o755), os.Symlink("b", dir+"/a")) }, 0, "b/data", "", ""},
		"roots_link_upwards": {func(dir string) error {
			return join(os.MkdirAll(dir+"/b/data", 0o755), os.MkdirAll(dir+"/c", 0o755), os.Symlink("c/../b", dir+"/a"))
		}, 0, "b/data", "", ""},
		"anns_link_to_roots": {func(dir string) error {
			return join(os.MkdirAll(dir+"/b/data", 0o755), os.Symlink(dir+"/b", dir+"/a"), os.Lchown(dir+"/a", ann, ann))
		}, ann, "b/data", "", ""},
		"anns_link_to_bens": {func(dir string) error {
			return join(os.MkdirAll(dir+"/b/data", 0o755), os.Chown(dir+"/b", ben, ben), os.Symlink("b", dir+"/a"), os.Lchown(dir+"/a", ann, ann))
		}, 0, "", "", "daemon can replace it"},
		"link_in_a_circle": {func(dir string) error { return os.Symlink("a", dir+"/a") }, 0, "", "", "too many links"},
		"a_file":           {func(dir string) error { return os.WriteFile(dir+"/a", nil, 0o600) }, 0, "", "", "not a directory"},
		"all_can_write":    {func(dir string) error { return join(os.Mkdir(dir+"/a", 0o755), os.Chmod(dir+"/a", 0o777)) }, 0, "", "", "chmod go-w"},
		"a_group_can_write": {func(dir string) error {
			return join(os.Mkdir(dir+"/a", 0o755), os.Chown(dir+"/a", 0, 50), os.Chmod(dir+"/a", 0o775))
		}, 0, "", "", "chmod go-w"},
		"roots_group_can": {func(dir string) error { return join(os.Mkdir(dir+"/a", 0o755), os.Chmod(dir+"/a", 0o775)) }, 0, "a", "data", ""},
		"all_can_add_to_it": {func(dir string) error {
			return join(os.Mkdir(dir+"/a", 0o755), os.Chmod(dir+"/a", 0o777|os.ModeSticky))
		}, 0, "a", "data", ""},
		"anns_that_all_can_do": {func(dir string) error {
			return join(os.Mkdir(dir+"/a", 0o755), os.Chown(dir+"/a", ann, ann), os.Chmod(dir+"/a", 0o777))
		}, ann, "a", "data", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			must(t, c.make(dir))
			place, err := privilege.Inspect(filepath.Join(dir, "a", "data"))
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%+v, %v", place, err)
				}
				return
			}
			if err != nil || place.Owner != c.owner || place.Path != filepath.Join(dir, c.path) || strings.Join(place.Missing, "/") != c.missing {
				t.Errorf("%+v, %v", place, err)
			}
		})
	}
}

func join(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestBecomeRefusesRoot(t *testing.T) {
	t.Parallel()
	for name, u := range map[string]privilege.User{
		"root":              {UID: 0, GID: 0, Name: "root"},
		"root's_group":      {UID: 1, GID: 0, Name: "daemon"},
		"a_user_of_nowhere": {UID: -1, GID: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uid := os.Getuid()
			if err := privilege.Become(u); err == nil || os.Getuid() != uid {
				t.Errorf("%v, and the user is %d", err, os.Getuid())
			}
		})
	}
}

func TestSharedUsers(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"nobody": true, "postgres": true, "parley": false, "ann": false} {
		if got := (privilege.User{UID: 1234, GID: 1234, Name: name}).Shared(); got != want {
			t.Errorf("%s is shared: %t", name, got)
		}
	}
	if !(privilege.User{UID: 65534}).Shared() {
		t.Error("a nobody without a name is not shared")
	}
}
