package web

import (
	"encoding/json"
	"errors"

	"github.com/danielgtaylor/huma/v2"

	"parley/strictjson"
)

// jsonFormat writes as huma does and reads strictly.
var jsonFormat = huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}

// unmarshal decodes as package strictjson does, with errors that quote nothing.
func unmarshal(data []byte, v any) error {
	// huma decodes twice: to anything, which it validates, and then to its type.
	if _, first := v.(*any); !first {
		return strictjson.Unmarshal(data, v)
	}
	if size, err := strictjson.Check(data); size > MaxBody {
		return errBodyTooLarge
	} else if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil { // the text is good: a number is too large
		return errors.New("a value has the wrong form")
	}
	return nil
}
