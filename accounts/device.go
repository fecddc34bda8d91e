package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// A device cookie says that a browser signed in to an account before. Wrong passwords of such a
// browser are counted for it alone, so that others' cannot keep it out. The cookie is a nonce and
// a MAC over it, the username and the hash of the password: a new password voids it.
const deviceNonceBytes = 16

type cookiesKey struct{}

// withCookies keeps the Cookie header of a request for the check of a password.
func withCookies(ctx context.Context, header string) context.Context {
	return context.WithValue(ctx, cookiesKey{}, header)
}

// deviceCookieName names an account's cookie: several accounts can be used in one browser.
func deviceCookieName(sessionCookie, username string) string {
	h := sha256.Sum256([]byte(username))
	return sessionCookie + "-device-" + hex.EncodeToString(h[:4])
}

// knownDevice gives the nonce of the request's device cookie for the account, or "" without a valid cookie.
func (s *Service) knownDevice(ctx context.Context, username, passwordHash string) (string, error) {
	header, _ := ctx.Value(cookiesKey{}).(string)
	if header == "" {
		return "", nil
	}
	cookies, err := http.ParseCookie(header)
	if err != nil {
		return "", nil //nolint:nilerr // a browser without a valid cookie is not known
	}
	for _, name := range s.CookieNames() {
		for _, c := range cookies {
			if c.Name != deviceCookieName(name, username) {
				continue
			}
			nonce, mac, _ := strings.Cut(c.Value, ".")
			sum, err := secretText.DecodeString(mac)
			if err != nil || len(nonce) != secretText.EncodedLen(deviceNonceBytes) {
				continue
			}
			want, err := s.deviceMAC(ctx, nonce, username, passwordHash)
			if err != nil {
				return "", err
			}
			if hmac.Equal(sum, want) {
				return nonce, nil
			}
		}
	}
	return "", nil
}

// deviceCookie makes the value of a device cookie.
func (s *Service) deviceCookie(ctx context.Context, username, passwordHash string) (string, error) {
	nonce, _ := newSecret(deviceNonceBytes)
	mac, err := s.deviceMAC(ctx, nonce, username, passwordHash)
	return nonce + "." + secretText.EncodeToString(mac), err
}

func (s *Service) deviceMAC(ctx context.Context, nonce, username, passwordHash string) ([]byte, error) {
	key, err := s.secretKey(ctx)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "device 1\n%s\n%s\n%s", nonce, username, passwordHash) // never fails
	return mac.Sum(nil), nil
}

// secretKey is the server's key for MACs. What is signed begins with its purpose.
func (s *Service) secretKey(ctx context.Context) ([]byte, error) {
	if key := s.deviceKey.Load(); key != nil {
		return *key, nil
	}
	key, err := s.q.deviceKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the server's key: %w", err)
	}
	s.deviceKey.Store(&key)
	return key, nil
}
