package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// requirements is how many each section of ASVS 4.0.3 has, without the deleted ones.
var requirements = map[string]int{
	"2.1": 12, "2.2": 7, "2.3": 3, "2.4": 5, "2.5": 7, "2.6": 3, "2.7": 6, "2.8": 7, "2.9": 3, "2.10": 4,
	"3.1": 1, "3.2": 4, "3.3": 4, "3.4": 5, "3.5": 3, "3.6": 2, "3.7": 1,
	"4.1": 4, "4.2": 2, "4.3": 3,
	"5.1": 5, "5.2": 8, "5.3": 10, "5.4": 3, "5.5": 4,
	"6.1": 3, "6.2": 8, "6.3": 3, "6.4": 2,
	"7.1": 4, "7.2": 2, "7.3": 3, "7.4": 3,
	"8.1": 6, "8.2": 3, "8.3": 8,
	"9.1": 3, "9.2": 5,
	"10.1": 1, "10.2": 6, "10.3": 3,
	"11.1": 8,
	"12.1": 3, "12.2": 1, "12.3": 6, "12.4": 2, "12.5": 2, "12.6": 1,
	"13.1": 4, "13.2": 5, "13.3": 2, "13.4": 2,
	"14.1": 5, "14.2": 6, "14.3": 2, "14.4": 7, "14.5": 4,
}

// Each requirement of chapters 2 to 14 has its row, with a state and evidence or a reason.
func TestASVS(t *testing.T) {
	t.Parallel()
	page := readFile(t, "docs/SECURITY-ASVS.md")
	states := map[string]int{}
	sections := map[string]int{}
	seen := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([0-9]+\.[0-9]+)(\.[0-9]+) \| (.+?) \| ([123]) \| (.+?) \| (.*) \|$`).FindAllStringSubmatch(page, -1) {
		number, state, evidence := row[1]+row[2], row[5], row[6]
		if seen[number] {
			t.Errorf("%s is there twice", number)
		}
		seen[number] = true
		states[state]++
		sections[row[1]]++
		if len(evidence) < 5 || (state == "met" || state == "partly") && !regexp.MustCompile("`|\\b(RFC|Go|Svelte|slog|no|none|read|argon2id|see)\\b").MatchString(evidence) {
			t.Errorf("%s is %s without evidence: %q", number, state, evidence)
		}
	}
	for section, n := range requirements {
		if sections[section] != n {
			t.Errorf("section %s has %d rows, and the standard %d requirements", section, sections[section], n)
		}
	}
	if len(sections) != len(requirements) {
		t.Errorf("%d sections, not %d", len(sections), len(requirements))
	}
	total := fmt.Sprintf("Met %d, partly %d, not %d, not applicable %d.", states["met"], states["partly"], states["not"], states["n/a"])
	if !strings.Contains(page, total) || len(states) != 4 {
		t.Errorf("the page does not say: %s %v", total, states)
	}
}

// What the pages about security name as evidence is there to be read.
func TestSecurityEvidence(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "dist") {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, "_test.go") {
			var text []byte
			text, err = os.ReadFile(path)
			code.Write(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	makefile, settings := readFile(t, "Makefile"), append(settingVariables(), "PARLEY_FCM_CREDENTIALS")
	for _, page := range []string{"docs/SECURITY-ASVS.md", "SECURITY.md"} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			found := 0
			for _, name := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(readFile(t, page), -1) {
				name := name[1]
				var ok bool
				target, isTarget := strings.CutPrefix(name, "make ")
				switch {
				case regexp.MustCompile(`^(Test|Fuzz)[A-Z]\w+$`).MatchString(name):
					ok = strings.Contains(code.String(), "\nfunc "+name+"(")
				case isTarget:
					ok = strings.Contains(makefile, "\n"+target+":")
				case regexp.MustCompile(`^(PARLEY_[A-Z_]+|DATABASE_URL)$`).MatchString(name):
					ok = slices.Contains(settings, name)
				case regexp.MustCompile(`^[\w./-]+\.(go|md|ts|svelte|sum|json)$|^(Makefile|NOTICE)$`).MatchString(name):
					_, err := os.Stat(name)
					ok = err == nil
				default:
					continue
				}
				if found++; !ok {
					t.Errorf("there is no %s", name)
				}
			}
			if found < 10 {
				t.Errorf("only %d names are evidence", found)
			}
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
