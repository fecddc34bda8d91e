package push

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	webpush "github.com/SherClockHolmes/webpush-go"
)

// sendTimeout is how long a push service has to take a notification.
const sendTimeout = 10 * time.Second

// longestRetry is the longest that a push service is believed to need.
const longestRetry = 6 * time.Hour

// webPush sends by Web Push: RFC 8030, encrypted as RFC 8291 says, known by RFC 8292.
type webPush struct {
	keys   vapidKeys
	base   string // the configured address of this server; may be empty
	client *http.Client
}

func newWebPush(keys vapidKeys, base string, allowPrivate bool) *webPush {
	return &webPush{keys, base, newClient(allowPrivate)}
}

// Send implements Sender.
func (w *webPush) Send(ctx context.Context, to Target, n Notification) Answer {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	payload, err := encode(n)
	if err != nil {
		return Answer{Reason: "the notification could not be written"}
	}
	res, err := webpush.SendNotificationWithContext(ctx, payload, &webpush.Subscription{
		Endpoint: to.Address, Keys: webpush.Keys{Auth: to.Auth, P256dh: to.P256dh},
	}, &webpush.Options{
		HTTPClient: w.client,
		// Chat wants to be shown while the device sleeps, so not "normal".
		Urgency: webpush.UrgencyHigh,
		TTL:     int(life / time.Second),
		Topic:   w.topic(to, n),
		// It is padded to this, so that its length tells nothing; short ones for services that
		// take no more.
		RecordSize:      recordSize(len(payload)),
		Subscriber:      subject(w.base, to.Origin),
		VAPIDPublicKey:  w.keys.public,
		VAPIDPrivateKey: w.keys.private,
	})
	switch {
	case errors.Is(err, webpush.ErrMaxPadExceeded):
		return Answer{Outcome: Refused, Reason: "the notification is too long"}
	case err != nil:
		return Answer{Reason: unreachable(err)}
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	// What it says is not for anybody: the address is the client's choice.
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 16<<10)) // so that the connection can be used again
	a := Answer{Status: res.StatusCode, RetryAfter: retryAfter(res.Header, time.Now())}
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		a.Outcome = Accepted
		return a
	case res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusGone:
		a.Outcome = Gone
	case res.StatusCode == http.StatusBadRequest, res.StatusCode == http.StatusRequestEntityTooLarge:
		a.Outcome = Refused
	}
	a.Reason = fmt.Sprintf("the push service answered %d", res.StatusCode)
	return a
}

// encode writes a notification as JSON, without escapes for HTML, which would take room.
func encode(n Notification) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(n)
	return bytes.TrimSpace(b.Bytes()), err
}

// recordSize is how long an encrypted notification becomes, its header included: half of what
// services have to take (RFC 8030, 7.2), or all of it.
func recordSize(payload int) uint32 {
	if payload <= 1900 {
		return 2048
	}
	return webpush.MaxRecordSize
}

// topic makes the service drop a notification that it still has for the one that replaces it
// (RFC 8030, 5.4). It can be read there: so it is another one for every device, and does not
// tell who shares a conversation with whom.
func (w *webPush) topic(to Target, n Notification) string {
	mac := hmac.New(sha256.New, []byte(w.keys.private))
	mac.Write(to.ID[:])
	mac.Write([]byte(n.Tag))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))[:32]
}

// subject is whom a push service may turn to (RFC 8292, 2.1): the address the server is
// reached at. Push services refuse what is neither https nor mail, and Apple's what is local
// too; but browsers give no subscription that Apple serves to a page that is not https.
func subject(origins ...string) string {
	for _, origin := range origins {
		if u, err := url.Parse(origin); err == nil && u.Scheme == "https" {
			return origin
		}
	}
	return "https://localhost"
}

// unreachable says why there was no answer, without the address, which is a secret of the
// device.
func unreachable(err error) string {
	var (
		dns     *net.DNSError
		timeout interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, errPrivate):
		return errPrivate.Error()
	case errors.Is(err, context.Canceled):
		return "the server stopped meanwhile"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "the push service did not answer in time"
	case errors.As(err, &dns):
		return "the push service's name is not known"
	}
	return "the push service could not be reached"
}

// retryAfter reads how long to wait, in seconds or up to a date (RFC 9110, 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(s)*time.Second, longestRetry)
	}
	if at, err := http.ParseTime(text); err == nil {
		if there, err := http.ParseTime(h.Get("Date")); err == nil {
			now = there // whose clock it is
		}
		return min(max(at.Sub(now), 0), longestRetry)
	}
	return 0
}
