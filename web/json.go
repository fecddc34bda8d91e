package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/problem"
	"parley/strictjson"
)

// jsonFormat writes as huma does and reads strictly.
var jsonFormat = huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}

// unmarshal is json.Unmarshal for text that strictjson takes, with errors that quote
// nothing and name no Go type. Unknown fields are found by huma's validation.
func unmarshal(data []byte, v any) error {
	size, err := strictjson.Check(data)
	if size > MaxBody {
		return errBodyTooLarge
	}
	if err != nil {
		return err
	}
	err = json.Unmarshal(data, v)
	var typ *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typ) && typ.Field != "":
		return errors.New(clip(typ.Field) + " has a value of the wrong kind")
	default: // the text is good, so a type's own parser refused a value
		return errors.New("a value has the wrong form")
	}
}

// maxRead is how many bytes of a body are read: the longest with every character escaped.
const maxRead = strictjson.MaxGrowth * MaxBody

// bodyReader reads a body until it is certain that it is over MaxBody. As in a frame of the
// socket, an escape such as \u0001 counts as the character that it stands for, or the
// longest message would not fit with all its characters escaped.
type bodyReader struct {
	io.ReadCloser       // up to maxRead
	room          int64 // bytes that still fit
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.room -= int64(n)
	for _, c := range p[:n] {
		if c == '\\' {
			b.room += strictjson.MaxGrowth - 1
		}
	}
	if b.room < 0 {
		return n, &http.MaxBytesError{Limit: MaxBody}
	}
	return n, err
}

var errBodyTooLarge = problem.Newf(problem.TooLarge, "The request body is over %d bytes.", MaxBody)

// tooLarge reports whether reading a body failed for its size.
func tooLarge(err error) bool {
	var e *http.MaxBytesError
	return errors.As(err, &e) || errors.Is(err, errBodyTooLarge)
}
