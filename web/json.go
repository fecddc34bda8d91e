package web

import (
	"encoding/json"
	"errors"

	"github.com/danielgtaylor/huma/v2"

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
