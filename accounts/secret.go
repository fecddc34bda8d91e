package accounts

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// Lengths of secrets in bytes, before encoding.
const (
	tokenBytes = 32 // a session token
	codeBytes  = 16 // an invite's code, which travels in links
)

// Strict, so that a secret has one spelling only.
var secretText = base64.RawURLEncoding.Strict()

// newSecret makes n random bytes: as text for their owner, and as the hash to store. They
// are random, so that one round of SHA-256 is all that guessing has to be slowed by.
func newSecret(n int) (text string, hash []byte) {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return secretText.EncodeToString(b), hashOf(b)
}

// hashSecret gives the hash of a secret of n bytes; false if text cannot be one, which
// saves asking the database.
func hashSecret(text string, n int) ([]byte, bool) {
	if len(text) != secretText.EncodedLen(n) {
		return nil, false
	}
	b, err := secretText.DecodeString(text)
	if err != nil || len(b) != n {
		return nil, false
	}
	return hashOf(b), true
}

func hashOf(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
