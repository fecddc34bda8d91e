package push

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"parley/accounts"
	"parley/problem"
	"parley/store"
)

// DeviceID names a device.
type DeviceID = store.ID[Device]

// Kind is by which service a device is reached.
type Kind string

// The kinds.
const (
	KindWebPush Kind = "webpush"
	KindFCM     Kind = "fcm"
)

// Device is where somebody can be reached, as they see it.
type Device struct {
	ID            DeviceID   `json:"id" format:"uuid"`
	Kind          Kind       `json:"kind" enum:"webpush,fcm"`
	Platform      string     `json:"platform,omitempty" enum:"android,ios,web" doc:"Of kind fcm"`
	Current       bool       `json:"current" doc:"Whether it belongs to the session of this request"`
	UserAgent     string     `json:"user_agent" doc:"What the client called itself when it signed in; may be empty"`
	CreatedAt     time.Time  `json:"created_at"`
	LastSuccessAt *time.Time `json:"last_success_at,omitempty" doc:"When the push service last took something for it"`
	LastFailureAt *time.Time `json:"last_failure_at,omitempty" doc:"When it last did not"`
	LastFailure   string     `json:"last_failure,omitempty" doc:"That it did not; the server's log has the cause"`

	session accounts.SessionID
}

// Target is what a Sender has to know of a device.
type Target struct {
	ID       DeviceID
	Kind     Kind
	Platform string // of FCM: android, ios or web
	Address  string // the endpoint (RFC 8030), or the token
	P256dh   string // of Web Push (RFC 8291): the device's public key, in base64url
	Auth     string // and its secret
	Origin   string // where the server was reached when the device was registered
}

// silently says whether the device can be told something without showing it.
func (t Target) silently() bool { return t.Kind == KindFCM && t.Platform != "web" }

const (
	maxDevices = 50   // of one person
	maxAddress = 2048 // bytes
	// testPause is the time from one test of somebody's devices to the next, and maxTests how
	// many go on at a time.
	testPause = 5 * time.Second
	maxTests  = 16
)

var (
	errNoDevice = problem.New(problem.NotFound, "You have no such device.")
	errTooMany  = problem.Newf(problem.TooLarge, "One person has %d devices at most; remove one.", maxDevices)
	errBusy     = &problem.Error{Code: problem.RateLimited, Detail: "Too many devices are being tested right now.", RetryAfter: testPause}
	errTooSoon  = &problem.Error{Code: problem.RateLimited, Detail: "A device was tested just now.", RetryAfter: testPause}
	errNoFCM    = refuse("kind", "This server is not set up for FCM.")
)

func refuse(field, why string) *problem.Error {
	return &problem.Error{Code: problem.Invalid, Detail: why, Fields: []problem.Field{{Location: "body." + field, Message: why}}}
}

// Register keeps that the caller's session can be reached by a device, until the session
// ends. A device that is there already is brought up to date; who had it before has it no
// more. Errors: the codes invalid and too_large.
func (s *Service) Register(ctx context.Context, who accounts.Identity, t Target) (Device, error) {
	if err := s.valid(t); err != nil {
		return Device{}, err
	}
	t.ID = store.NewID[Device]()
	if s.cfg.PublicURL != nil {
		t.Origin = s.cfg.PublicURL(ctx)
	}
	d, ok, err := s.q.register(ctx, who, t, maxDevices)
	if err != nil {
		return Device{}, fmt.Errorf("register a device: %w", err)
	}
	if !ok {
		return Device{}, errTooMany
	}
	d.Current = d.session == who.SessionID
	d.hideCause()
	return d, nil
}

// hideCause leaves of a failure what its owner may know; the log has the cause.
func (d *Device) hideCause() {
	if d.LastFailure != "" {
		d.LastFailure = notTaken
	}
}

// valid says what is wrong with a device before anything is sent to it.
func (s *Service) valid(t Target) error {
	if t.Kind == KindFCM {
		switch {
		case s.senders[KindFCM] == nil:
			return errNoFCM
		case t.Address == "" || len(t.Address) > maxAddress || strings.ContainsFunc(t.Address, func(r rune) bool { return r <= ' ' || r > '~' }):
			return refuse("token", "This is not a registration token.")
		case t.Platform != "android" && t.Platform != "ios" && t.Platform != "web":
			return refuse("platform", "The platform is android, ios or web.")
		}
		return nil
	}
	u, err := url.Parse(t.Address)
	plain := s.cfg.AllowPrivate && u != nil && u.Scheme == "http"
	if err != nil || len(t.Address) > maxAddress || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && !plain {
		return refuse("subscription.endpoint", "This is not the https address of a push service.")
	}
	if !s.cfg.allowed(t.Address) {
		return errNotAllowed(u.Host)
	}
	// Names are looked at when they are resolved, at every call.
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !s.cfg.AllowPrivate && !isPublic(ip) {
		return refuse("subscription.endpoint", "This address is not one on the internet.")
	}
	key, err := decodeKey(t.P256dh)
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(key)
	}
	if err != nil {
		return refuse("subscription.keys.p256dh", "This is not a public key of the curve P-256.")
	}
	if secret, err := decodeKey(t.Auth); err != nil || len(secret) != 16 {
		return refuse("subscription.keys.auth", "This is not a secret of 16 bytes.")
	}
	return nil
}

// decodeKey takes base64url, as browsers write it, with padding or without.
func decodeKey(s string) ([]byte, error) {
	return base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
}

// Devices gives the caller's devices, the oldest first.
func (s *Service) Devices(ctx context.Context, who accounts.Identity) ([]Device, error) {
	list, err := s.q.devices(ctx, who.UserID, maxDevices)
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	for i := range list {
		list[i].Current = list[i].session == who.SessionID
		list[i].hideCause()
	}
	return list, nil
}

// Remove forgets a device. Errors: not_found.
func (s *Service) Remove(ctx context.Context, user accounts.UserID, id DeviceID) error {
	removed, err := s.q.remove(ctx, user, id)
	if err != nil {
		return fmt.Errorf("remove a device: %w", err)
	}
	if !removed {
		return errNoDevice
	}
	return nil
}

// RemoveUser forgets the devices of a deleted user, and what is owed to them.
func (s *Service) RemoveUser(ctx context.Context, user accounts.UserID, _ bool) error {
	if err := s.q.removeAll(ctx, user); err != nil {
		return fmt.Errorf("remove the devices of a deleted user: %w", err)
	}
	return nil
}

// Export writes the user's devices.
func (s *Service) Export(ctx context.Context, user accounts.UserID, write accounts.ExportWriter) error {
	list, err := s.q.devices(ctx, user, maxDevices)
	if err != nil {
		return fmt.Errorf("export devices: %w", err)
	}
	for _, d := range list {
		d.hideCause()
		if err := write("device", d); err != nil {
			return err
		}
	}
	return nil
}

// Tested is what came of a test.
type Tested struct {
	OK      bool   `json:"ok" doc:"Whether the push service took it"`
	Detail  string `json:"detail,omitempty" doc:"That it did not take it; the server's log has the cause"`
	Removed bool   `json:"removed,omitempty" doc:"The push service knows the device no more, and it was removed"`
}

// Test sends a notification to the user's device now, and says what became of it. Errors: the
// codes not_found and rate_limited.
func (s *Service) Test(ctx context.Context, user accounts.UserID, id DeviceID) (Tested, error) {
	pause := testPause
	if !s.cfg.RateLimits {
		pause = 0
	}
	select {
	case s.testing <- struct{}{}:
		defer func() { <-s.testing }()
	default:
		return Tested{}, errBusy
	}
	t, ok, err := s.q.useForTest(ctx, user, id, pause)
	if err != nil {
		return Tested{}, fmt.Errorf("find a device: %w", err)
	}
	if !ok {
		return Tested{}, errTooSoon
	}
	deadline := time.Now().Add(testTimeout)
	sending, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	a := s.send(sending, t, Notification{Type: "test", Title: appName, Body: "Notifications reach this device.", Tag: "test", At: time.Now().UTC()}, func() {})
	if a.Outcome == Accepted {
		return Tested{OK: true}, s.noteTest(ctx, id, "")
	}
	if s.cfg.Services.any && !s.cfg.AllowPrivate && t.Kind == KindWebPush {
		s.await(ctx, deadline)
	}
	out := Tested{Detail: notTaken}
	if a.Outcome == Gone {
		if _, err := s.q.remove(ctx, user, id); err != nil {
			return Tested{}, fmt.Errorf("remove a device that is gone: %w", err)
		}
		out.Removed = true
		return out, nil
	}
	return out, s.noteTest(ctx, id, cmp.Or(a.Reason, "the test took too long"))
}

func (s *Service) noteTest(ctx context.Context, id DeviceID, failure string) error {
	if err := s.q.tested(ctx, id, failure); err != nil {
		return fmt.Errorf("note a test: %w", err)
	}
	return nil
}
