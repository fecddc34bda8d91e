package push

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/accounts"
)

// Routes registers the devices.
func (s *Service) Routes(api huma.API) {
	tags := []string{"Notifications"}
	huma.Register(api, huma.Operation{
		OperationID: "get-push", Method: http.MethodGet, Path: "/push", Tags: tags, Summary: "What notifications need",
	}, s.httpPush)
	huma.Register(api, huma.Operation{
		OperationID: "register-device", Method: http.MethodPost, Path: "/devices", Tags: tags,
		Summary: "Be reached on this device",
		Description: "webpush: with the subscription that the browser gave. fcm: with the registration token, where the server is set up for it. " +
			"It lasts as long as the session. Registering a device again brings it up to date; who had it before has it no more.",
		DefaultStatus: http.StatusCreated,
	}, s.httpRegister)
	huma.Register(api, huma.Operation{
		OperationID: "list-devices", Method: http.MethodGet, Path: "/devices", Tags: tags, Summary: "My devices, the oldest first",
	}, s.httpDevices)
	huma.Register(api, huma.Operation{
		OperationID: "delete-device", Method: http.MethodDelete, Path: "/devices/{id}", Tags: tags, Summary: "Be reached on a device no more",
	}, s.httpRemove)
	huma.Register(api, huma.Operation{
		OperationID: "test-device", Method: http.MethodPost, Path: "/devices/{id}/test", Tags: tags,
		Summary: "Send a notification to one of my devices now", Description: "Says whether the push service took it, and not why it did not; one every five seconds.",
	}, s.httpTest)
}

type pushOutput struct {
	Body struct {
		VAPIDPublicKey string `json:"vapid_public_key" doc:"applicationServerKey of the browser's subscription"`
		FCM            bool   `json:"fcm" doc:"Whether devices of kind fcm can be registered"`
	}
}

func (s *Service) httpPush(context.Context, *struct{}) (*pushOutput, error) {
	out := &pushOutput{}
	out.Body.VAPIDPublicKey = s.keys.public
	out.Body.FCM = s.senders[KindFCM] != nil
	return out, nil
}

type registerInput struct {
	Body struct {
		Kind         Kind          `json:"kind" enum:"webpush,fcm"`
		Subscription *subscription `json:"subscription,omitempty" doc:"webpush: what PushSubscription.toJSON() gives"`
		Token        string        `json:"token,omitempty" maxLength:"2048" doc:"fcm: the registration token"`
		Platform     string        `json:"platform,omitempty" enum:"android,ios,web" doc:"fcm"`
	}
}

// subscription is a PushSubscription as browsers write it.
type subscription struct {
	Endpoint       string   `json:"endpoint" maxLength:"2048"`
	ExpirationTime *float64 `json:"expirationTime,omitempty" nullable:"true" doc:"Not used"`
	Keys           struct {
		P256dh string `json:"p256dh" maxLength:"100"`
		Auth   string `json:"auth" maxLength:"50"`
	} `json:"keys"`
}

type deviceOutput struct{ Body Device }

func (s *Service) httpRegister(ctx context.Context, in *registerInput) (*deviceOutput, error) {
	t := Target{Kind: in.Body.Kind, Platform: in.Body.Platform, Address: in.Body.Token}
	if t.Kind == KindWebPush {
		if in.Body.Subscription == nil {
			return nil, refuse("subscription", "The subscription is missing.")
		}
		sub := in.Body.Subscription
		t.Platform, t.Address, t.P256dh, t.Auth = "", sub.Endpoint, sub.Keys.P256dh, sub.Keys.Auth
	}
	d, err := s.Register(ctx, accounts.Caller(ctx), t)
	return &deviceOutput{d}, err
}

type devicesOutput struct {
	Body struct {
		Devices []Device `json:"devices"`
	}
}

func (s *Service) httpDevices(ctx context.Context, _ *struct{}) (*devicesOutput, error) {
	out := &devicesOutput{}
	var err error
	out.Body.Devices, err = s.Devices(ctx, accounts.Caller(ctx))
	return out, err
}

type deviceInput struct {
	ID DeviceID `path:"id" format:"uuid"`
}

func (s *Service) httpRemove(ctx context.Context, in *deviceInput) (*struct{}, error) {
	return nil, s.Remove(ctx, accounts.Caller(ctx).UserID, in.ID)
}

type testOutput struct{ Body Tested }

func (s *Service) httpTest(ctx context.Context, in *deviceInput) (*testOutput, error) {
	t, err := s.Test(ctx, accounts.Caller(ctx).UserID, in.ID)
	return &testOutput{t}, err
}
