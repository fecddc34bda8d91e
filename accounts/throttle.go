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
// oldest of them is older than that. The window slides, so no subject waits for longer.
const (
	maxFailures   = 10
	failureWindow = 15 * time.Minute
	// maxAccountFailures bounds guesses at one account from all unknown browsers together.
	maxAccountFailures = 100
)

// Accounts made from one address in an hour. An invite has a bound of its own as well.
const (
	maxSignups       = 100 // with invites
	maxOpenSignups   = 20  // without
	signupWindow     = time.Hour
	maxCounterWindow = signupWindow // counted events older than this are deleted
)

// What counts wrong codes of one address. Looking at a dead invitation is counted apart:
// people behind one address who all open it must not keep each other from signing up.
const (
	codeAttempts = "code"
	inviteChecks = "invite-check"
)

// limit bounds how often a subject is counted in a window.
type limit struct {
	subject string
	max     int
	window  time.Duration
}

func failureLimit(subject string) limit { return limit{subject, maxFailures, failureWindow} }

// accountSubject counts wrong passwords of unknown browsers for a username, whether or not it
// exists. It is a hash, because people type their password into the wrong field.
func accountSubject(username string) string {
	h := sha256.Sum256([]byte(username))
	return "account:" + hex.EncodeToString(h[:16])
}

// address is the client's; the zero Addr if it is not known.
func (s *Service) address(ctx context.Context) netip.Addr {
	if s.cfg.ClientIP == nil {
		return netip.Addr{}
	}
	return s.cfg.ClientIP(ctx).Unmap().WithZone("")
}

// addressText is the client's address as it is shown; "" if it is not known.
func (s *Service) addressText(ctx context.Context) string {
	if ip := s.address(ctx); ip.IsValid() {
		return ip.String()
	}
	return ""
}

// addressSubject counts what comes from one client: an address, or for IPv6 its /64, for
// that is what a single client has all of. Empty if the address is not known.
func (s *Service) addressSubject(ctx context.Context, kind string) string {
	ip := s.address(ctx)
	if !ip.IsValid() {
		return ""
	}
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	return kind + ":" + netip.PrefixFrom(ip, bits).Masked().String()
}

// addressLimits bound the failures of a kind from the client's address.
func (s *Service) addressLimits(ctx context.Context, kind string) []limit {
	if subject := s.addressSubject(ctx, kind); subject != "" {
		return []limit{failureLimit(subject)}
	}
	return nil
}

// hashCaller is the client's address as a caller of the hash limiter.
func (s *Service) hashCaller(ctx context.Context) hashCaller {
	if !s.cfg.RateLimits {
		return hashCaller{}
	}
	return hashCaller{key: s.addressSubject(ctx, "address")}
}

// passwordLimits are those of a sign-in, and on whose budget its password is hashed. A known
// browser is counted by itself; others by their address, and all of them together by account.
func (s *Service) passwordLimits(ctx context.Context, username, device string) ([]limit, hashCaller) {
	caller := s.hashCaller(ctx)
	if device != "" {
		subject := "device:" + device
		if s.cfg.RateLimits {
			caller = hashCaller{subject, true}
		}
		return []limit{failureLimit(subject)}, caller
	}
	account := limit{accountSubject(username), maxAccountFailures, failureWindow}
	address := s.addressLimits(ctx, "login")
	if address == nil { // all clients are one
		account.max = maxFailures
	}
	return append(address, account), caller
}

// sessionLimits are those of a session that changes its own password.
func (s *Service) sessionLimits(id SessionID) ([]limit, hashCaller) {
	subject := "session:" + id.String()
	if !s.cfg.RateLimits {
		return []limit{failureLimit(subject)}, hashCaller{}
	}
	return []limit{failureLimit(subject)}, hashCaller{subject, true}
}

// allow refuses with RateLimited and the time to wait when one of the subjects has failed
// too often.
func (s *Service) allow(ctx context.Context, limits []limit) error {
	if !s.cfg.RateLimits || len(limits) == 0 {
		return nil
	}
	wait, err := s.q.wait(ctx, limits)
	if err != nil {
		return fmt.Errorf("read failed attempts: %w", err)
	}
	if wait <= 0 {
		return nil
	}
	return &problem.Error{Code: problem.RateLimited, RetryAfter: wait,
		Detail: "Too many wrong attempts. Wait a few minutes and try again."}
}

// failed counts a failure of each subject.
func (s *Service) failed(ctx context.Context, limits []limit) error {
	if !s.cfg.RateLimits || len(limits) == 0 {
		return nil
	}
	if err := s.q.insertFailures(ctx, limits); err != nil {
		return fmt.Errorf("count a failed attempt: %w", err)
	}
	return nil
}

// countSignup counts an account about to be made from the client's address, or refuses it.
func (s *Service) countSignup(ctx context.Context) error {
	subject := s.addressSubject(ctx, "signup")
	if !s.cfg.RateLimits || subject == "" {
		return nil
	}
	l := limit{subject, maxSignups, signupWindow}
	if s.signup() == SignupOpen {
		l.max = maxOpenSignups
	}
	wait, err := s.q.wait(ctx, []limit{l})
	if err != nil {
		return fmt.Errorf("read the sign-ups of an address: %w", err)
	}
	if wait > 0 {
		return &problem.Error{Code: problem.RateLimited, RetryAfter: wait,
			Detail: "Too many accounts were created from your network. Try again later."}
	}
	if err := s.q.insertFailures(ctx, []limit{l}); err != nil {
		return fmt.Errorf("count a sign-up: %w", err)
	}
	return nil
}
