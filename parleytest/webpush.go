package parleytest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// WebPush is a Web Push service (RFC 8030) for tests: it takes what is sent to the devices
// that Subscribe makes, checks who sent it (RFC 8292) and decrypts it with the device's keys
// (RFC 8291). What is wrong with a request is kept for Faults.
type WebPush struct {
	srv *httptest.Server

	mu      sync.Mutex // guards what follows
	devices map[string]*Subscriber
	faults  []error
}

// Subscriber is a device of a WebPush.
type Subscriber struct {
	*Inbox[Push]
	Endpoint     string
	P256dh, Auth string // in base64url
	private      *ecdh.PrivateKey
	secret       []byte
}

// Push is a notification that a device got.
type Push struct {
	At      time.Time
	Topic   string
	TTL     string
	Urgency string
	Subject string // of the server that sent it
	Key     string // its public key, in base64url
	Size    int    // of the request's body
	Payload []byte
	Data    PushPayload
}

// PushPayload is what the payload of a notification says.
type PushPayload struct {
	Type           string    `json:"type"`
	ConversationID string    `json:"conversation_id"`
	Seq            int64     `json:"seq"`
	Title          string    `json:"title"`
	Body           string    `json:"body"`
	Count          int       `json:"count"`
	Unread         int       `json:"unread"`
	Tag            string    `json:"tag"`
	Read           []string  `json:"read"`
	At             time.Time `json:"at"`
}

// NewWebPush starts a service at an address of this machine. Close it.
func NewWebPush() *WebPush {
	s := &WebPush{devices: map[string]*Subscriber{}}
	s.srv = httptest.NewServer(s)
	return s
}

// Close ends the service, also the requests that it does not answer.
func (s *WebPush) Close() {
	s.srv.CloseClientConnections()
	s.srv.Close()
}

// Faults are what was wrong with requests.
func (s *WebPush) Faults() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.faults...)
}

// Subscribe makes a device, as a browser would.
func (s *WebPush) Subscribe() *Subscriber {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // there is no randomness
	}
	d := &Subscriber{
		Inbox: newInbox[Push](), private: private, secret: make([]byte, 16), Endpoint: s.srv.URL + "/push/" + rand.Text(),
		P256dh: base64.RawURLEncoding.EncodeToString(private.PublicKey().Bytes()),
	}
	_, _ = rand.Read(d.secret) // never fails
	d.Auth = base64.RawURLEncoding.EncodeToString(d.secret)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices[strings.TrimPrefix(d.Endpoint, s.srv.URL)] = d
	return d
}

// Registration is the body of POST /devices.
func (d *Subscriber) Registration() map[string]any {
	return map[string]any{"kind": "webpush", "subscription": map[string]any{
		"endpoint": d.Endpoint, "expirationTime": nil, "keys": map[string]any{"p256dh": d.P256dh, "auth": d.Auth}}}
}

// ServeHTTP is the service.
func (s *WebPush) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	d := s.devices[r.URL.Path]
	s.mu.Unlock()
	if d == nil {
		http.Error(w, "no such device", http.StatusNotFound)
		return
	}
	answered, end := d.attempt(w, r)
	defer end()
	if answered {
		return
	}
	p, err := s.read(d, r)
	if err != nil {
		s.mu.Lock()
		s.faults = append(s.faults, err)
		s.mu.Unlock()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.take(p)
	w.WriteHeader(http.StatusCreated)
}

func (s *WebPush) read(d *Subscriber, r *http.Request) (p Push, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return p, fmt.Errorf("read a push: %w", err)
	}
	h := r.Header
	p = Push{At: time.Now(), Topic: h.Get("Topic"), TTL: h.Get("TTL"), Urgency: h.Get("Urgency"), Size: len(body)}
	switch {
	case r.Method != http.MethodPost, h.Get("Content-Encoding") != "aes128gcm":
		return p, fmt.Errorf("a push is %s with the encoding %q", r.Method, h.Get("Content-Encoding"))
	case len(body) > 4096:
		return p, fmt.Errorf("a push has %d bytes", len(body))
	case p.TTL == "", len(p.Topic) > 32:
		return p, fmt.Errorf("a push has the TTL %q and the topic %q", p.TTL, p.Topic)
	}
	if p.Subject, p.Key, err = checkVAPID(h.Get("Authorization"), s.srv.URL); err != nil {
		return p, err
	}
	if p.Payload, err = d.decrypt(body); err != nil {
		return p, err
	}
	if err := json.Unmarshal(p.Payload, &p.Data); err != nil {
		return p, fmt.Errorf("read a payload: %w", err)
	}
	return p, nil
}

// checkVAPID checks the signature and the claims (RFC 8292).
func checkVAPID(header, audience string) (subject, key string, err error) {
	rest, ok := strings.CutPrefix(header, "vapid t=")
	token, key, both := strings.Cut(rest, ", k=")
	parts := strings.Split(token, ".")
	if !ok || !both || len(parts) != 3 {
		return "", "", fmt.Errorf("a push has the authorization %q", header)
	}
	public, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return "", "", fmt.Errorf("read a VAPID key: %w", err)
	}
	signer, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public)
	if err != nil {
		return "", "", fmt.Errorf("read a VAPID key: %w", err)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return "", "", errors.New("a VAPID signature is not one")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(signer, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return "", "", errors.New("a VAPID signature is wrong")
	}
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", "", fmt.Errorf("read VAPID claims: %w", err)
	}
	if err := json.Unmarshal(b, &claims); err != nil {
		return "", "", fmt.Errorf("read VAPID claims: %w", err)
	}
	left := time.Until(time.Unix(claims.Exp, 0))
	if claims.Aud != audience || left <= 0 || left > 24*time.Hour || !strings.HasPrefix(claims.Sub, "https://") && !strings.HasPrefix(claims.Sub, "mailto:") {
		return "", "", fmt.Errorf("a push service would not take the claims %s", b)
	}
	return claims.Sub, key, nil
}

// decrypt is RFC 8291, 3.4 and RFC 8188, 2.
func (d *Subscriber) decrypt(body []byte) ([]byte, error) {
	if len(body) < 21 || len(body) < 21+int(body[20]) {
		return nil, errors.New("a push is too short to be encrypted")
	}
	salt, keyID := body[:16], body[21:21+int(body[20])]
	if size := binary.BigEndian.Uint32(body[16:20]); int(size) < len(body)-21-len(keyID) {
		return nil, fmt.Errorf("a push of %d bytes has records of %d", len(body), size)
	}
	sender, err := ecdh.P256().NewPublicKey(keyID)
	if err != nil {
		return nil, fmt.Errorf("read a push's key: %w", err)
	}
	shared, err := d.private.ECDH(sender)
	if err != nil {
		return nil, fmt.Errorf("agree on a push's key: %w", err)
	}
	info := append(append([]byte("WebPush: info\x00"), d.private.PublicKey().Bytes()...), keyID...)
	material, err := hkdf.Key(sha256.New, shared, d.secret, string(info), 32)
	if err != nil {
		return nil, fmt.Errorf("derive a push's key: %w", err)
	}
	key, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, fmt.Errorf("derive a push's key: %w", err)
	}
	nonce, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, fmt.Errorf("derive a push's nonce: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("decrypt a push: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("decrypt a push: %w", err)
	}
	plain, err := gcm.Open(nil, nonce, body[21+len(keyID):], nil)
	if err != nil {
		return nil, fmt.Errorf("decrypt a push: %w", err)
	}
	plain = bytes.TrimRight(plain, "\x00")
	if len(plain) == 0 || plain[len(plain)-1] != 2 {
		return nil, errors.New("a push does not end with its delimiter")
	}
	return plain[:len(plain)-1], nil
}
