package accounts

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"parley/text"
)

func FuzzParseHash(f *testing.F) {
	good := hashPassword("x").String()
	for _, s := range []string{
		good, "", "$", "$$$$$", good + "$", " " + good, strings.Replace(good, "m=19456", "m=019456", 1), strings.Replace(good, "m=19456", "m=+19456", 1),
		strings.Replace(good, "m=19456", "m=99999999999", 1), strings.Replace(good, "t=2", "t=0", 1), strings.Replace(good, "p=1", "p=256", 1),
		strings.Replace(good, "v=19", "v=16", 1), strings.Replace(good, "argon2id", "argon2i", 1), good[:len(good)-1] + "=",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHash(s)
		if err != nil {
			if h.key != nil {
				t.Error("an error with a hash")
			}
			return
		}
		if h.String() != s {
			t.Errorf("%q is read as %q", s, h)
		}
		if h.memory > 1<<20 || h.time > 100 || h.time == 0 || h.threads == 0 || len(h.key) < 16 || len(h.salt) < 8 {
			t.Errorf("%q is out of range", s)
		}
	})
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	h := hashPassword(goodPassword)
	if !strings.HasPrefix(h.String(), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the form is %s", h)
	}
	back, err := parseHash(h.String())
	if err != nil || !back.matches(goodPassword) || back.matches(goodPassword+" ") {
		t.Errorf("%s: %v", h, err)
	}
	if hashPassword(goodPassword).String() == h.String() {
		t.Error("two hashes of a password are the same")
	}
	// The reference implementation's own test vector.
	reference, err := parseHash("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	if err != nil || !reference.matches("password") {
		t.Errorf("the reference's hash: %v", err)
	}
	for _, bad := range []string{"m=7,", "m=1048577,"} {
		if _, err := parseHash(strings.Replace(h.String(), "m=19456,", bad, 1)); err == nil {
			t.Errorf("%s passes", bad)
		}
	}
}

func FuzzHashSecret(f *testing.F) {
	text, _ := newSecret(tokenBytes)
	for _, s := range []string{text, "", text[:42], text + "A", text[:42] + "=", strings.Repeat("A", 43), strings.Repeat("/", 43), strings.Repeat("\n", 43), text[:21] + "\r\n" + text[23:]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hash, ok := hashSecret(s, tokenBytes)
		if !ok {
			return
		}
		b, err := secretText.DecodeString(s)
		if err != nil || secretText.EncodeToString(b) != s || len(b) != tokenBytes || string(hashOf(b)) != string(hash) {
			t.Errorf("%q is taken as %x", s, b)
		}
	})
}

func FuzzSearchQuery(f *testing.F) {
	for _, s := range []string{"", "ann", "a b", "'", `\`, "a'b", "!a & (b | c):*", "\xff", "\ufffd", "é", "e\u0301", "\u0301", "a\x00b", "𝄞", "ﷺ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := searchQuery(s)
		if q == "" {
			return
		}
		if !utf8.ValidString(q) {
			t.Errorf("%q gives %q, not UTF-8", s, q)
		}
		terms := strings.Split(q, " & ")
		if len(terms) > text.MaxQueryWords {
			t.Errorf("%d words", len(terms))
		}
		for _, term := range terms {
			word, ok := strings.CutPrefix(strings.TrimSuffix(term, "':*"), "'")
			if !ok || !strings.HasSuffix(term, "':*") || word == "" || strings.ContainsFunc(word, func(r rune) bool {
				return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
			}) {
				t.Errorf("%q gives the term %q", s, term)
			}
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"ann", " Ann ", "\u212a", "a\u202eb", "\xff", "\u200d", strings.Repeat("é", 65)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := cleanUsername(s); err == nil {
			if again, err := cleanUsername(u); err != nil || again != u || strings.Trim(u, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
				t.Errorf("username %q becomes %q", s, u)
			}
		}
		if n, err := cleanDisplayName(s); err == nil {
			if again, err := cleanDisplayName(n); err != nil || again != n || !utf8.ValidString(n) || strings.ContainsFunc(n, unicode.IsControl) {
				t.Errorf("name %q becomes %q, then %q, %v", s, n, again, err)
			}
		}
		if ua := cleanUserAgent(s); !utf8.ValidString(ua) || len(ua) > maxUserAgent || strings.ContainsFunc(ua, unicode.IsControl) {
			t.Errorf("user agent %q becomes %q", s, ua)
		}
	})
}
