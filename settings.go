package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// settings finds the values of flags that the command line does not give: in the
// environment, else in the configuration file. An empty variable counts as none.
type settings struct {
	env  map[string]string
	file map[string]string // by key
	read bool              // whether file has been looked for
}

func newSettings(env []string) *settings {
	s := &settings{env: map[string]string{}}
	for _, e := range env {
		if name, value, _ := strings.Cut(e, "="); value != "" {
			s.env[name] = value
		}
	}
	return s
}

// options makes kong ask s, and say in the help which variables there are.
func (s *settings) options() []kong.Option {
	return []kong.Option{
		kong.ValueFormatter(func(v *kong.Value) string {
			if v.Flag == nil || len(v.Flag.Envs) == 0 {
				return v.Help
			}
			return strings.TrimSuffix(v.Help, ".") + " ($" + strings.Join(v.Flag.Envs, ", $") + ")."
		}),
		kong.WithBeforeResolve(func(ctx *kong.Context) error { return s.readFile(ctx) }),
		kong.Resolvers(s),
	}
}

// takeOver keeps kong from looking variables up itself: it reads the process's, lets a
// file win over them, and takes an empty one for a value.
func (s *settings) takeOver(k *kong.Kong) {
	for _, f := range k.Model.Flags {
		f.Tag.Envs = nil
	}
}

// Validate has nothing left to do: readFile has refused what it does not know.
func (s *settings) Validate(*kong.Application) error { return nil }

// Resolve gives a flag's value, or nil.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	for _, name := range f.Envs {
		if v, ok := s.env[name]; ok {
			return v, nil
		}
		if path, ok := s.env[name+"_FILE"]; ok && f.Tag.Has("secret") {
			b, err := os.ReadFile(path) //nolint:gosec // the operator names it
			if err != nil {
				return nil, fmt.Errorf("read the file that %s_FILE names: %w", name, err)
			}
			// Not "none": the server would serve another database than the one meant.
			secret := strings.TrimSpace(string(b))
			if secret == "" {
				return nil, fmt.Errorf("the file %s that %s_FILE names is empty", path, name)
			}
			return secret, nil
		}
	}
	if v, ok := s.file[fileKey(f)]; ok && isSetting(f) {
		return v, nil
	}
	return nil, nil //nolint:nilnil // kong's way to say that there is none
}

// isSetting tells the flags that are the configuration, and only those have a variable,
// from those of commands.
func isSetting(f *kong.Flag) bool { return len(f.Envs) > 0 }

// fileKey is a setting's name in the configuration file.
func fileKey(f *kong.Flag) string { return strings.ReplaceAll(f.Name, "-", "_") }

// readFile reads the configuration file, if one is named, once: kong calls it several
// times.
func (s *settings) readFile(ctx *kong.Context) error {
	if s.read {
		return nil
	}
	s.read = true
	known := map[string]bool{}
	path := ""
	for _, f := range ctx.Model.Flags {
		switch {
		case f.Name == "config":
			path = ctx.FlagValue(f).(string)
			for _, name := range f.Envs {
				if path == "" {
					path = s.env[name]
				}
			}
		case isSetting(f):
			known[fileKey(f)] = true
		}
	}
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	var values map[string]any
	if err := yaml.NewDecoder(file).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the configuration %s: %w", path, err)
	}
	s.file = map[string]string{}
	for key, v := range values {
		if !known[key] {
			return fmt.Errorf("the configuration %s has the unknown key %q", path, key)
		}
		if s.file[key], err = settingText(v); err != nil {
			return fmt.Errorf("the configuration %s: %s: %w", path, key, err)
		}
	}
	return nil
}

// settingText is a value from the file as one would write it behind a flag.
func settingText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string, bool, int:
		return fmt.Sprint(v), nil
	case []any:
		words := make([]string, len(v))
		for i, item := range v {
			word, ok := item.(string)
			if !ok {
				return "", errors.New("must be a list of words")
			}
			words[i] = word
		}
		return strings.Join(words, ","), nil
	default:
		return "", errors.New("must be a word, a number or a list")
	}
}

// unknown lists the variables that look like ours and are not. They are no error:
// orchestrators set variables named after a service, too.
func (s *settings) unknown() []string {
	known := settingVariables()
	var out []string
	for name := range s.env {
		if strings.HasPrefix(name, "PARLEY_") && !slices.Contains(known, name) && !strings.HasPrefix(name, "PARLEY_TEST_") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
