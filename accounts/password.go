package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"parley/problem"
)

// A password has 8 to 256 characters.
const (
	minPassword = 8
	maxPassword = 256
)

// NewPassword makes a random password of 100 bits that can be read out to somebody.
func NewPassword() string {
	t := strings.ToLower(rand.Text())
	return t[:5] + "-" + t[5:10] + "-" + t[10:15] + "-" + t[15:20]
}

// checkPassword applies the rules to a new password of the user with these names.
func checkPassword(field, password string, names ...string) error {
	if n := utf8.RuneCountInString(password); n < minPassword || n > maxPassword || !utf8.ValidString(password) {
		return fieldError(problem.Invalid, field, fmt.Sprintf("Use %d to %d characters.", minPassword, maxPassword))
	}
	return checkGuessable(field, password, names...)
}

// passwordHash is an argon2id hash with what made it.
type passwordHash struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
	salt    []byte
	key     []byte
}

// The cost of a password: OWASP's second choice, about 25 ms of a core.
const (
	hashMemory  = 19 << 10
	hashTime    = 2
	hashThreads = 1
	saltBytes   = 16
	keyBytes    = 32
)

// noPassword is what the password of an unknown user is compared with, so that it takes
// as long as that of a known one. Nobody knows a password whose key is zero.
var noPassword = passwordHash{hashMemory, hashTime, hashThreads, make([]byte, saltBytes), make([]byte, keyBytes)}

// hashPassword hashes with a fresh salt. It takes hashMemory and a core: only within a slot.
func hashPassword(password string) passwordHash {
	h := passwordHash{memory: hashMemory, time: hashTime, threads: hashThreads, salt: make([]byte, saltBytes)}
	_, _ = rand.Read(h.salt) // never fails
	h.key = h.derive(password, keyBytes)
	return h
}

// matches tells whether the password is the one, in a time that depends on the hash's
// parameters alone. Only within a slot.
func (h passwordHash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.key, h.derive(password, len(h.key))) == 1
}

// derive takes the password in Unicode's composed form, because keyboards differ in how
// they send an accented letter (RFC 8265, OpaqueString).
func (h passwordHash) derive(password string, n int) []byte {
	return argon2.IDKey(norm.NFC.Bytes([]byte(password)), h.salt, h.time, h.memory, h.threads, uint32(n))
}

var phcText = base64.RawStdEncoding.Strict()

// String is the PHC string format, which other programs read too.
func (h passwordHash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		phcText.EncodeToString(h.salt), phcText.EncodeToString(h.key))
}

var errHashForm = errors.New("not an argon2id hash in PHC form with parameters in range")

// parseHash reads what String wrote, also with other parameters, within bounds: a row
// must not be able to ask for all memory.
func parseHash(s string) (passwordHash, error) {
	var h passwordHash
	parts := strings.Split(s, "$")
	if len(parts) != 6 {
		return h, errHashForm
	}
	var version int
	_, err1 := fmt.Sscanf(parts[2], "v=%d", &version)
	_, err2 := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads)
	salt, err3 := phcText.DecodeString(parts[4])
	key, err4 := phcText.DecodeString(parts[5])
	h.salt, h.key = salt, key
	switch {
	case err1 != nil, err2 != nil, err3 != nil, err4 != nil, version != argon2.Version,
		h.memory < 8, h.memory > 1<<20, h.time < 1, h.time > 100, h.threads < 1,
		len(salt) < 8, len(salt) > 64, len(key) < 16, len(key) > 64,
		h.String() != s: // one spelling only; whatever else Sscanf lets pass
		return passwordHash{}, errHashForm
	}
	return h, nil
}

// hash hashes a new password, which was checked, on the budget of a caller. before, if not nil,
// may refuse when it is the caller's turn.
func (s *Service) hash(ctx context.Context, caller hashCaller, password string, before func() error) (h passwordHash, err error) {
	err = s.hashing.do(ctx, caller, func() error {
		if before != nil {
			if err := before(); err != nil {
				return err
			}
		}
		h = hashPassword(password)
		return nil
	})
	return h, err
}
