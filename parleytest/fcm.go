package parleytest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// FCM is Firebase Cloud Messaging (HTTP v1) for tests, with the OAuth token endpoint of its
// service account: it gives a token for an assertion that the account's key signed (RFC 7523),
// and takes messages with such a token to the devices that Register makes. What is wrong with
// a request is kept for Faults.
type FCM struct {
	srv *httptest.Server
	key *rsa.PrivateKey

	mu      sync.Mutex // guards what follows
	devices map[string]*FCMDevice
	tokens  map[string]bool
	given   int
	answer  func(http.ResponseWriter, *http.Request) bool
	faults  []error
}

// FCMDevice is a device of an FCM.
type FCMDevice struct {
	*Inbox[FCMPush]
	Token string
}

// FCMPush is a message that a device got.
type FCMPush struct {
	Token        string            `json:"token"`
	Data         map[string]string `json:"data"`
	Notification *struct {
		Title, Body string
	} `json:"notification"`
	Android struct {
		CollapseKey  string `json:"collapse_key"`
		Priority     string `json:"priority"`
		TTL          string `json:"ttl"`
		Notification *struct {
			Tag string `json:"tag"`
		} `json:"notification"`
	} `json:"android"`
	APNS struct {
		Headers map[string]string `json:"headers"`
		Payload struct {
			Aps map[string]any `json:"aps"`
		} `json:"payload"`
	} `json:"apns"`
	Webpush *struct {
		Notification struct {
			Tag string `json:"tag"`
		} `json:"notification"`
	} `json:"webpush"`
}

const fcmProject = "parley-test"

// NewFCM starts a service at an address of this machine. Close it.
func NewFCM() *FCM {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // there is no randomness
	}
	f := &FCM{key: key, devices: map[string]*FCMDevice{}, tokens: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", f.token)
	mux.HandleFunc("POST /v1/projects/"+fcmProject+"/messages:send", f.send)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		f.fault(w, fmt.Errorf("FCM was asked for %s %s", r.Method, r.URL.Path))
	})
	f.srv = httptest.NewServer(mux)
	return f
}

// Close ends the service, also the requests that it does not answer.
func (f *FCM) Close() {
	f.srv.CloseClientConnections()
	f.srv.Close()
}

// Endpoint is what PARLEY_FCM_ENDPOINT is for it.
func (f *FCM) Endpoint() string { return f.srv.URL + "/v1" }

// ServiceAccount is the file that Google gives for a service account, of this service.
func (f *FCM) ServiceAccount() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(f.key)
	if err != nil {
		panic(err) // it is an RSA key
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": fcmProject, "private_key_id": "1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": fcmProject + "@example.iam.gserviceaccount.com", "client_id": "1",
		"token_uri": f.srv.URL + "/token",
	})
	if err != nil {
		panic(err) // it is a map of strings
	}
	return b
}

// Register makes a device.
func (f *FCM) Register() *FCMDevice {
	d := &FCMDevice{newInbox[FCMPush](), "fcm:" + rand.Text()}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices[d.Token] = d
	return d
}

// Registration is the body of POST /devices.
func (d *FCMDevice) Registration(platform string) map[string]any {
	return map[string]any{"kind": "fcm", "token": d.Token, "platform": platform}
}

// Faults are what was wrong with requests.
func (f *FCM) Faults() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.faults...)
}

// AnswerTokens makes the token endpoint answer otherwise; nil: give tokens again.
func (f *FCM) AnswerTokens(answer func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// TokensGiven is how many OAuth tokens were given.
func (f *FCM) TokensGiven() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.given
}

func (f *FCM) fault(w http.ResponseWriter, err error) {
	f.mu.Lock()
	f.faults = append(f.faults, err)
	f.mu.Unlock()
	http.Error(w, err.Error(), http.StatusBadRequest)
}

// token is the endpoint that an assertion buys an access token from.
func (f *FCM) token(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	answer := f.answer
	f.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	if err := f.checkAssertion(r); err != nil {
		f.fault(w, err)
		return
	}
	token := rand.Text()
	f.mu.Lock()
	f.tokens[token] = true
	f.given++
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "expires_in": 3599, "token_type": "Bearer"})
}

func (f *FCM) checkAssertion(r *http.Request) error {
	if got := r.PostFormValue("grant_type"); got != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return fmt.Errorf("a token is asked for by %q", got)
	}
	parts := strings.Split(r.PostFormValue("assertion"), ".")
	if len(parts) != 3 {
		return errors.New("an assertion is not a JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return fmt.Errorf("read an assertion: %w", err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		return fmt.Errorf("check an assertion: %w", err)
	}
	var claims struct {
		Aud, Scope, Iss string
		Exp             int64
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return fmt.Errorf("read an assertion: %w", err)
	}
	if err := json.Unmarshal(b, &claims); err != nil {
		return fmt.Errorf("read an assertion: %w", err)
	}
	if claims.Aud != f.srv.URL+"/token" || !strings.Contains(claims.Scope, "firebase.messaging") || claims.Iss == "" || claims.Exp < time.Now().Unix() {
		return fmt.Errorf("an assertion claims %s", b)
	}
	return nil
}

// send is the endpoint that takes messages.
func (f *FCM) send(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var body struct {
		ValidateOnly bool    `json:"validate_only"`
		Message      FCMPush `json:"message"`
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	f.mu.Lock()
	known, d := f.tokens[token], f.devices[body.Message.Token]
	f.mu.Unlock()
	switch {
	case err != nil:
		f.fault(w, fmt.Errorf("read a message: %w", err))
		return
	case !known:
		f.fault(w, errors.New("a message came without a token that was given"))
		return
	case body.ValidateOnly:
		f.fault(w, errors.New("a message is not to be sent"))
		return
	case d == nil:
		FCMError(http.StatusNotFound, "UNREGISTERED", "")(w, r)
		return
	}
	answered, end := d.attempt(w, r)
	defer end()
	if answered {
		return
	}
	d.take(body.Message)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"name": "projects/" + fcmProject + "/messages/" + rand.Text()})
}

// FCMError is an answer of FCM with an error code, "" for none, and a Retry-After.
func FCMError(status int, code, retryAfter string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		details := []any{}
		if code != "" {
			details = append(details, map[string]string{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": status, "message": "No.", "details": details}})
		return true
	}
}
