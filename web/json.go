package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// maxDepth is how deep objects and arrays of a request may nest.
const maxDepth = 16

// jsonFormat writes as huma does and reads strictly.
var jsonFormat = huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}

// unmarshal is json.Unmarshal for text that has passed checkJSON, with errors that quote
// nothing and name no Go type. Unknown fields are found by huma's validation.
func unmarshal(data []byte, v any) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	err := json.Unmarshal(data, v)
	var typ *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typ) && typ.Field != "":
		return fmt.Errorf("%s has a value of the wrong kind", clip(typ.Field))
	case errors.As(err, &syntax):
		return fmt.Errorf("not valid JSON near byte %d", syntax.Offset)
	default: // the text is good, so a type's own parser refused a value
		return errors.New("a value has the wrong form")
	}
}

// checkJSON refuses what encoding/json lets pass although two readers could understand it
// differently or nobody would mean it: invalid UTF-8, names given twice, more than one
// value, deep nesting, and NUL, which the database cannot hold.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []map[string]bool // names seen, for each object or array around; nil for arrays
	isName := false            // the next string is a name
	for {
		tok, err := dec.Token()
		if err == io.EOF && len(open) == 0 {
			return errors.New("no JSON value")
		}
		if err != nil {
			return fmt.Errorf("not valid JSON near byte %d", dec.InputOffset())
		}
		switch t := tok.(type) {
		case json.Delim:
			switch t {
			case '{', '[':
				if len(open) == maxDepth {
					return fmt.Errorf("nested deeper than %d", maxDepth)
				}
				var names map[string]bool
				if t == '{' {
					names = map[string]bool{}
				}
				open = append(open, names)
			default:
				open = open[:len(open)-1]
			}
		case string:
			if strings.ContainsRune(t, 0) {
				return errors.New("a text holds the character NUL")
			}
			if isName {
				names := open[len(open)-1]
				if names[t] {
					return errors.New("a name is given twice in one object")
				}
				names[t] = true
				isName = false
				continue // its value is next
			}
		}
		if len(open) == 0 {
			break
		}
		isName = open[len(open)-1] != nil
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}
