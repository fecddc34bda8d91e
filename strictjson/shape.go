package strictjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// shape is what encoding/json makes of a Go type, as far as names go.
type shape struct {
	fields   map[string]*shape // of a struct; nil for all else
	elem     *shape            // of the elements of a list, or the values of a map
	ids      bool              // a map whose keys have a parser of their own, as ids do
	uuid     bool
	time     bool
	nullable bool // null can be told from zero
}

// anything is the shape of what has a parser of its own, or none.
var anything = &shape{nullable: true}

// member gives the shape of a member, and whether there may be one of that name.
func (s *shape) member(name []byte) (*shape, bool) {
	switch {
	case s == anything:
		return nil, true
	case s.fields != nil:
		inner, ok := s.fields[string(name)]
		return inner, ok
	default:
		return s.elem, true // of what is no map, encoding/json says so
	}
}

var shapes sync.Map // reflect.Type -> *shape

var (
	ownJSON = reflect.TypeFor[json.Unmarshaler]()
	ownText = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape)
	}
	s := newShape(t)
	shapes.Store(t, s)
	return s
}

// newShape goes by type. Types of requests do not hold themselves, so it comes to an end.
func newShape(t reflect.Type) *shape {
	pointer := reflect.PointerTo(t)
	switch {
	case t == reflect.TypeFor[time.Time]():
		return &shape{time: true, nullable: true}
	case pointer.Implements(ownJSON):
		return anything
	case t == reflect.TypeFor[uuid.UUID]():
		return &shape{uuid: true}
	case pointer.Implements(ownText):
		return &shape{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := newShape(t.Elem())
		if s == anything {
			return s
		}
		s.nullable = true
		return s
	case reflect.Interface:
		return anything
	case reflect.Struct:
		s := &shape{fields: map[string]*shape{}}
		s.add(t)
		return s
	case reflect.Slice, reflect.Array:
		return &shape{elem: newShape(t.Elem())}
	case reflect.Map:
		return &shape{elem: newShape(t.Elem()), ids: reflect.PointerTo(t.Key()).Implements(ownText)}
	default:
		return &shape{}
	}
}

// add adds the fields of a struct, and of those embedded in it.
func (s *shape) add(t reflect.Type) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			s.add(f.Type)
		case f.IsExported() && name == "":
			s.fields[f.Name] = newShape(f.Type)
		case f.IsExported():
			s.fields[name] = newShape(f.Type)
		}
	}
}
