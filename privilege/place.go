package privilege

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Place is where a path leads.
type Place struct {
	Path    string   // the last directory on the way that exists, without links
	Missing []string // names below it that do not exist
	Owner   int      // id of the one user beside root who can change what is there; 0 for none
}

const maxLinks = 40

// Inspect follows a path from / on and finds which user controls it: owns a directory or
// a link on the way. It refuses a path that two users control, or that has a directory of
// root's which others can write. So what is found can be changed only by Owner and root.
func Inspect(path string) (Place, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Place{}, fmt.Errorf("resolve %s: %w", path, err)
	}
	p := Place{Path: "/"}
	rest := split(path)
	for links := 0; len(rest) > 0; {
		name := rest[0]
		next := filepath.Join(p.Path, name) // of .. the parent: p.Path has no links
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			p.Missing = rest
			return p, nil
		}
		if err != nil {
			return p, fmt.Errorf("resolve %s: %w", path, err)
		}
		rest = rest[1:]
		if err := p.pass(next, info); err != nil {
			return p, err
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(next)
			if links++; err != nil || links > maxLinks {
				return p, fmt.Errorf("resolve %s: too many links: %w", path, err)
			}
			if filepath.IsAbs(target) {
				p.Path = "/"
			}
			rest = append(split(target), rest...)
		case info.IsDir():
			p.Path = next
		default:
			return p, fmt.Errorf("%s is not a directory", next)
		}
	}
	return p, nil
}

// pass takes note of who can change an entry and what is below.
func (p *Place) pass(path string, info fs.FileInfo) error {
	st := info.Sys().(*syscall.Stat_t)
	owner := int(st.Uid)
	switch {
	case owner != 0 && p.Owner != 0 && owner != p.Owner:
		return fmt.Errorf("%s belongs to %s, and %s can replace it; choose a place that only one of them controls", path, ByID(owner), ByID(p.Owner))
	case owner != 0:
		p.Owner = owner // how far that user lets others in is that user's choice
		return nil
	}
	others := info.Mode().Perm() & 0o002
	if st.Gid != 0 {
		others |= info.Mode().Perm() & 0o020
	}
	if info.IsDir() && others != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("other users can write to %s, which belongs to root; choose another place, or run chmod go-w %s", path, path)
	}
	return nil
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}
