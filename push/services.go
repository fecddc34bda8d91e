package push

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/problem"
)

// knownServices are the push services of browsers: Chrome and its relatives, Chromium without
// Google's keys, Firefox, Safari and Edge.
var knownServices = []string{
	"fcm.googleapis.com", "jmt17.google.com", "*.push.services.mozilla.com", "*.push.apple.com", "*.notify.windows.com",
}

// Services are the push services that notifications may be sent to.
type Services struct {
	any   bool
	exact []string // host, or host:port
	below []string // ".host"
}

// ParseServices adds the operator's hosts to the known push services: a host, host:port,
// *.host for all names below it, or * for any host. Without a port it is 443.
func ParseServices(hosts []string) (Services, error) {
	var s Services
	for _, host := range slices.Concat(knownServices, hosts) {
		host = strings.ToLower(strings.TrimSpace(host))
		name, below := strings.CutPrefix(host, "*.")
		u, err := url.Parse("https://" + name)
		switch {
		case host == "*":
			s.any = true
		case err != nil || u.Host != name || u.Hostname() == "" || strings.ContainsAny(name, "*@/ ") || below && u.Port() != "":
			return s, fmt.Errorf("push-services: %q is not a host such as push.example.org, *.example.org or *", host)
		case below:
			s.below = append(s.below, "."+name)
		default:
			s.exact = append(s.exact, strings.TrimSuffix(name, ":443"))
		}
	}
	return s, nil
}

// allows reports whether the address is one of a push service: https, and the port that the
// list names, or else 443.
func (s Services) allows(u *url.URL) bool {
	host := serviceHost(u)
	if u.Scheme != "https" || host == "" {
		return false
	}
	if slices.Contains(s.exact, host) {
		return true
	}
	if u.Port() != "" && u.Port() != "443" {
		return false
	}
	return s.any || slices.ContainsFunc(s.below, func(suffix string) bool {
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	})
}

// serviceHost is the host of an address, with the port unless it is the usual one. It is the
// same for every way to write it.
func serviceHost(u *url.URL) string {
	return strings.TrimSuffix(strings.ToLower(u.Host), ":443")
}

// allowed reports whether notifications may be sent to the address of a Web Push device.
func (c *Config) allowed(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (c.AllowPrivate || c.Services.allows(u))
}

// errNotAllowed names the setting for the operator, and nothing about what the host leads to.
func errNotAllowed(host string) *problem.Error {
	return refuse("subscription.endpoint", fmt.Sprintf("This server does not send notifications to %.100s. Its operator can allow that with PARLEY_PUSH_SERVICES.", host))
}

const (
	// notTaken is all that a client learns of a failure. Its cause would tell what a name
	// resolves to and what listens there.
	notTaken = "The push service did not take the notification."
	// failurePause is the time from one logged failure of a push service to the next, and
	// maxFailing how many services are remembered for that.
	failurePause = time.Minute
	maxFailing   = 1000
	// testTimeout is what a test of a device takes at most, and where any host may be a push
	// service, what a failing one takes always.
	testTimeout = 5 * time.Second
)

const reasonNotAllowed = "the push service is not in the list of allowed ones (PARLEY_PUSH_SERVICES)"

// failing remembers when a failure of each push service was logged.
type failing struct {
	mu sync.Mutex // guards what follows
	at map[string]time.Time
}

// due reports whether a failure of the push service is to be logged now: a refused host once,
// others once a minute.
func (f *failing) due(service string, once bool, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.at[service]; ok && (once || now.Sub(at) < failurePause) {
		return false
	}
	if len(f.at) >= maxFailing {
		f.at = nil // hosts are the clients' choice
	}
	if f.at == nil {
		f.at = make(map[string]time.Time)
	}
	f.at[service] = now
	return true
}

// logFailure logs why a push service did not take a notification, and never the device's
// address, which is a secret.
func (s *Service) logFailure(to Target, a Answer) {
	service := hostOf(to)
	if a.Reason == "" || a.Outcome == Gone || !s.failing.due(service, a.Reason == reasonNotAllowed, time.Now()) {
		return
	}
	s.cfg.Logger.Warn("a push service did not take a notification", "service", service, "cause", a.Reason, "status", a.Status, "device", to.ID)
}

// wait returns at the time of a test's deadline, or when the request ends: how long a failure
// took would tell its cause.
func wait(ctx context.Context, deadline time.Time) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
