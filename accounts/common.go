package accounts

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"parley/problem"
)

// The 10,000 most common passwords of at least 8 characters, in lower case; see NOTICE.
//
//go:embed common-passwords.txt.gz
var commonPasswordList []byte

var commonPasswords = sync.OnceValue(func() map[string]struct{} {
	list := map[string]struct{}{}
	r, err := gzip.NewReader(bytes.NewReader(commonPasswordList))
	if err != nil {
		panic(fmt.Errorf("read the embedded list of passwords: %w", err))
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic(fmt.Errorf("read the embedded list of passwords: %w", err))
	}
	for word := range strings.Lines(string(text)) {
		list[strings.TrimSuffix(word, "\n")] = struct{}{}
	}
	return list
})

// minOwn is how many characters a password needs beside the names of its user.
const minOwn = 5

// checkGuessable refuses a password that is among the first that others would try.
func checkGuessable(field, password string, names ...string) error {
	lower := strings.ToLower(norm.NFKC.String(password))
	if _, common := commonPasswords()[lower]; common {
		return fieldError(problem.Invalid, field, "This password is too common. Choose another one.")
	}
	folded := foldPassword(password)
	for _, name := range names {
		if name = foldPassword(name); len(name) < 2 || !strings.Contains(folded, name) {
			continue
		}
		if own := strings.ReplaceAll(folded, name, ""); len([]rune(own)) < minOwn {
			return fieldError(problem.Invalid, field, "This password is too close to your name. Choose another one.")
		}
	}
	return nil
}

// foldPassword leaves what a guess by name has: letters and digits, in lower case.
func foldPassword(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKC.String(s))
}
