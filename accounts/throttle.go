package accounts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"parley/problem"
)

// Ten failures in a quarter of an hour, of one subject: then the subject waits until the
// oldest of them is older than that. The window slides, so nobody waits for longer.
const (
	maxFailures   = 10
	failureWindow = 15 * time.Minute
)

// What counts wrong codes of one address. Looking at a dead invitation is counted apart:
// people behind one address who all open it must not keep each other from signing up.
const (
	codeAttempts = "code"
	inviteChecks = "invite-check"
)

// accountSubject counts wrong passwords for a username, whether or not it exists. It is a
// hash, because people type their password into the wrong field.
func accountSubject(username string) string {
	h := sha256.Sum256([]byte(username))
	return "account:" + hex.EncodeToString(h[:16])
}

// addressSubjects counts what comes from one client: an address, or for IPv6 its /64, for
// that is what a single client has all of. Empty if the address is not known.
func (s *Service) addressSubjects(ctx context.Context, kind string) []string {
	if s.cfg.ClientIP == nil {
		return nil
	}
	ip := s.cfg.ClientIP(ctx).Unmap().WithZone("")
	if !ip.IsValid() {
		return nil
	}
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	return []string{kind + ":" + netip.PrefixFrom(ip, bits).Masked().String()}
}

// passwordSubjects is whose wrong passwords count when somebody tries one.
func (s *Service) passwordSubjects(ctx context.Context, username string) []string {
	return append(s.addressSubjects(ctx, "login"), accountSubject(username))
}

// allow refuses with RateLimited and the time to wait when one of the subjects has failed
// too often.
func (s *Service) allow(ctx context.Context, subjects []string) error {
	if !s.cfg.RateLimits || len(subjects) == 0 {
		return nil
	}
	wait, err := s.q.wait(ctx, subjects)
	if err != nil {
		return fmt.Errorf("read failed attempts: %w", err)
	}
	if wait <= 0 {
		return nil
	}
	return &problem.Error{Code: problem.RateLimited, RetryAfter: wait,
		Detail: "Too many wrong attempts. Wait some minutes before the next one."}
}

// failed counts a failure of each subject.
func (s *Service) failed(ctx context.Context, subjects []string) error {
	if !s.cfg.RateLimits || len(subjects) == 0 {
		return nil
	}
	if err := s.q.insertFailures(ctx, subjects); err != nil {
		return fmt.Errorf("count a failed attempt: %w", err)
	}
	return nil
}
