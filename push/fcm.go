package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"firebase.google.com/go/v4/messaging"
	"github.com/appleboy/go-fcm"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
)

const (
	// fcmTimeout is how long FCM has to take a notification, with the attempts that its library
	// makes, and Google to give a token.
	fcmTimeout = 3 * time.Second
	// fcmQuota is how long to wait where FCM has had too much and does not say for how long.
	fcmQuota = time.Minute
	// fcmLargest is how many bytes FCM and Apple take, of 4,096, without what they add.
	fcmLargest = 3900
	fcmScope   = "https://www.googleapis.com/auth/firebase.messaging"
)

// fcmSender sends by Firebase Cloud Messaging, to Apple's devices too.
type fcmSender struct {
	client *fcm.Client
	tokens *patientTokens
}

// newFCM makes one for the Firebase project of a service account. The endpoint is another
// than Google's; "" is Google's.
func newFCM(ctx context.Context, account []byte, endpoint string) (*fcmSender, error) {
	var project struct {
		ID string `json:"project_id"`
	}
	if err := json.Unmarshal(account, &project); err != nil {
		return nil, fmt.Errorf("read the service account: %w", err)
	}
	if project.ID == "" {
		return nil, errors.New("read the service account: it names no project_id")
	}
	config, err := google.JWTConfigFromJSON(account, fcmScope)
	if err != nil {
		return nil, fmt.Errorf("read the service account: %w", err)
	}
	// The addresses are Google's or the operator's: no guard, and their proxy.
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: fcmTimeout, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   fcmTimeout,
		ResponseHeaderTimeout: sendTimeout,
		MaxIdleConns:          slots,
		MaxIdleConnsPerHost:   slots,
		IdleConnTimeout:       90 * time.Second,
	}
	asking := context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Transport: base, Timeout: fcmTimeout})
	tokens := &patientTokens{source: config.TokenSource(asking)}
	opts := []fcm.Option{
		fcm.WithProjectID(project.ID),
		fcm.WithCustomClientOption(option.WithHTTPClient(&http.Client{
			Transport: witness{&oauth2.Transport{Source: tokens, Base: base}},
		})),
	}
	if endpoint != "" {
		opts = append(opts, fcm.WithEndpoint(endpoint))
	}
	client, err := fcm.NewClient(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("make a client of FCM: %w", err)
	}
	return &fcmSender{client, tokens}, nil
}

// Send implements Sender.
func (f *fcmSender) Send(ctx context.Context, to Target, n Notification) Answer {
	m, size := fcmMessage(to, n)
	if size > fcmLargest {
		return Answer{Outcome: Refused, Reason: "the notification is too long"}
	}
	ctx, cancel := context.WithTimeout(ctx, fcmTimeout)
	defer cancel()
	seen := &sight{cancel: cancel}
	all, err := f.client.Send(context.WithValue(ctx, sightKey{}, seen), m)
	if err == nil && len(all.Responses) != 1 {
		err = errors.New("the library gave no answer")
	}
	if err == nil {
		if all.Responses[0].Success {
			return Answer{Outcome: Accepted, Status: http.StatusOK}
		}
		err = all.Responses[0].Error
	}
	status, retryAfter, transport := seen.last()
	a := Answer{Status: status, RetryAfter: retryAfter, Reason: fmt.Sprintf("FCM answered %d", status)}
	switch {
	case messaging.IsUnregistered(err):
		a.Outcome, a.Reason = Gone, "FCM does not know the device any more"
	case messaging.IsSenderIDMismatch(err):
		a.Reason = "FCM says that the device belongs to another Firebase project"
	case messaging.IsThirdPartyAuthError(err):
		a.Reason = "FCM has no valid key for Apple's push service"
	case errors.Is(transport, errNoToken):
		a.Reason = noToken(transport)
	case status == 0 && transport != nil:
		a.Reason = strings.Replace(unreachable(transport), "the push service", "FCM", 1)
	case status == 0:
		a.Reason = "FCM's library refused the notification"
	case messaging.IsInvalidArgument(err), status == http.StatusRequestEntityTooLarge:
		a.Outcome = Refused
	case status == http.StatusTooManyRequests && retryAfter == 0:
		a.RetryAfter = fcmQuota
	}
	return a
}

// fcmMessage is a notification as FCM takes it, and how many bytes of it count.
func fcmMessage(to Target, n Notification) (m *messaging.Message, size int) {
	data := map[string]string{"type": n.Type, "unread": strconv.Itoa(n.Unread), "tag": n.Tag, "at": n.At.Format(time.RFC3339Nano)}
	if n.Seq > 0 {
		data["conversation_id"], data["seq"] = n.ConversationID.String(), strconv.FormatInt(int64(n.Seq), 10)
	}
	if n.Count > 0 {
		data["count"] = strconv.Itoa(n.Count)
	}
	if len(n.Read) > 0 {
		read := make([]string, len(n.Read))
		for i, id := range n.Read {
			read[i] = id.String()
		}
		data["read"] = strings.Join(read, ",")
	}
	keep := life
	m = &messaging.Message{
		Token: to.Address, Data: data,
		Android: &messaging.AndroidConfig{CollapseKey: n.Tag, TTL: &keep, Priority: "normal"},
		APNS: &messaging.APNSConfig{
			Headers: map[string]string{
				"apns-collapse-id": n.Tag, "apns-push-type": "background", "apns-priority": "5",
				"apns-expiration": strconv.FormatInt(time.Now().Add(life).Unix(), 10),
			},
			Payload: &messaging.APNSPayload{Aps: &messaging.Aps{ContentAvailable: true}}, // nothing else may be in one
		},
	}
	if n.Type != "read" {
		data["title"], data["body"] = n.Title, n.Body
		m.Notification = &messaging.Notification{Title: n.Title, Body: n.Body}
		m.Android.Priority = "high"
		m.Android.Notification = &messaging.AndroidNotification{Tag: n.Tag}
		m.APNS.Headers["apns-push-type"], m.APNS.Headers["apns-priority"] = "alert", "10"
		m.APNS.Payload.Aps = &messaging.Aps{Badge: &n.Unread, Sound: "default", ThreadID: n.Tag}
	}
	if to.Platform == "web" {
		m.Webpush = &messaging.WebpushConfig{
			Headers:      map[string]string{"TTL": strconv.Itoa(int(life / time.Second)), "Urgency": "high"},
			Notification: &messaging.WebpushNotification{Title: n.Title, Body: n.Body, Tag: n.Tag},
		}
	}
	for _, part := range []any{data, n.Title, n.Body} {
		text, _ := json.Marshal(part) // it is strings
		size += len(text)
	}
	return m, size
}

// patientTokens asks for one token at a time, and after a failure not at once again: who
// waited gets the same error, and nobody waits for all of those before them.
type patientTokens struct {
	source oauth2.TokenSource

	mu    sync.Mutex // guards what follows, and is held while asking
	err   error
	until time.Time
}

// Token implements oauth2.TokenSource.
func (p *patientTokens) Token() (*oauth2.Token, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.until) {
		return nil, p.err
	}
	t, err := p.source.Token()
	if err != nil {
		p.err, p.until = errors.Join(errNoToken, err), time.Now().Add(time.Second)
		return nil, p.err
	}
	return t, nil
}

var errNoToken = errors.New("there is no token for FCM")

// noToken says why.
func noToken(err error) string {
	refused := &oauth2.RetrieveError{}
	switch {
	case !errors.As(err, &refused) || refused.Response == nil:
		return "Google's token service could not be reached"
	case refused.Response.StatusCode >= http.StatusInternalServerError:
		return fmt.Sprintf("Google's token service answered %d", refused.Response.StatusCode)
	}
	return "Google does not take the service account"
}

// witness remembers what the library does not tell: what was answered last.
type witness struct{ next http.RoundTripper }

type sightKey struct{}

// sight is what a witness saw of one notification.
type sight struct {
	cancel context.CancelFunc

	mu         sync.Mutex // guards what follows
	status     int
	retryAfter time.Duration
	err        error
}

func (s *sight) last() (status int, retryAfter time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.retryAfter, s.err
}

// RoundTrip implements http.RoundTripper.
func (w witness) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.next.RoundTrip(r)
	seen, ok := r.Context().Value(sightKey{}).(*sight)
	if !ok {
		return res, err
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if err != nil {
		if seen.status == 0 && seen.err == nil || r.Context().Err() == nil {
			seen.status, seen.err = 0, err
		}
		return res, err
	}
	seen.status, seen.err, seen.retryAfter = res.StatusCode, nil, retryAfter(res.Header, time.Now())
	if seen.retryAfter > 0 && res.StatusCode >= http.StatusBadRequest {
		seen.cancel() // or the library waits for so long by itself
	}
	return res, nil
}
