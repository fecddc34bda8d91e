package push

import (
	"fmt"

	webpush "github.com/SherClockHolmes/webpush-go"
)

// vapidKeys is the key pair by which push services know this server (RFC 8292), in base64url.
// What browsers subscribe to is bound to it.
type vapidKeys struct{ private, public string }

func newKeys() (k vapidKeys, err error) {
	k.private, k.public, err = webpush.GenerateVAPIDKeys()
	if err != nil {
		return k, fmt.Errorf("make a key pair for push services: %w", err)
	}
	return k, nil
}
