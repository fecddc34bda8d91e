package push

import (
	"context"
	"errors"
)

func newFCM(context.Context, []byte, string) (Sender, error) { return nil, errors.New("not yet") }
