package web

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"parley/problem"
)

//go:embed apidocs
var apidocs embed.FS

var docsTemplate = template.Must(template.ParseFS(apidocs, "apidocs/page.html"))

const schemaRef = "#/components/schemas/"

// openAPI is what huma starts from. Its own pages are off: they load scripts from
// elsewhere, and its $schema links change every answer.
func (s *Server) openAPI() huma.Config {
	document := reflect.TypeFor[problem.Document]()
	schemas := huma.NewMapRegistry(schemaRef, func(t reflect.Type, hint string) string {
		if t == document {
			return "Problem"
		}
		return huma.DefaultSchemaNamer(t, hint)
	})
	schemas.RegisterTypeAlias(reflect.TypeFor[problem.Error](), document)
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Parley",
				Version: s.cfg.Version,
				License: &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"},
				Description: "The HTTP API of a Parley server. JSON in snake_case; UUIDs are strings, sequence numbers are numbers, " +
					"times are RFC 3339 in UTC. A request authenticates with Authorization: Bearer TOKEN, or in a browser with the session cookie. " +
					"Every error is an application/problem+json document, a Problem, whose code says what happened. " +
					"New fields may appear in answers at any time.",
			},
			Servers: []*huma.Server{{URL: s.base + "/api/v1"}},
			Components: &huma.Components{
				Schemas:         schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}},
			},
			Security:       []map[string][]string{{"bearer": {}}},
			OnAddOperation: []huma.AddOpFunc{describeErrors},
		},
		Formats:       map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{s.transform},
	}
}

// docs makes the OpenAPI document's forms.
type docs struct{ api huma.API }

func (d *docs) json() ([]byte, error)  { return json.Marshal(d.api.OpenAPI()) }
func (d *docs) yaml() ([]byte, error)  { return d.api.OpenAPI().YAML() }
func (d *docs) style() ([]byte, error) { return apidocs.ReadFile("apidocs/style.css") }

// serve answers with what build makes, once: all operations are there by the first request.
func (s *Server) serve(contentType string, build func() ([]byte, error)) http.HandlerFunc {
	once := sync.OnceValues(build)
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := once()
		if err != nil {
			s.fail(w, r, fmt.Errorf("build the API document: %w", err))
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // the client may be gone
	}
}

// What page.html shows.
type (
	docPage struct {
		Info    *huma.Info
		Prefix  string
		Groups  []docGroup
		Schemas []docObject
	}
	docGroup struct {
		Name       string
		Operations []docOperation
	}
	docOperation struct {
		*huma.Operation
		Public    bool
		Fields    []docField // parameters
		Body      *docObject
		Responses []docObject
	}
	// docObject is a schema, an answer or a body: a type, or the fields of one.
	docObject struct {
		Name, Description string
		Type              docType
		Fields            []docField
	}
	docField struct {
		Name, Description, Rules string
		Type                     docType
	}
	// docType is a type in words, with the name of the schema it ends in, if any.
	docType struct{ Words, Schema string }
)

func (d *docs) page() ([]byte, error) {
	api := d.api.OpenAPI()
	p := docPage{Info: api.Info, Prefix: api.Servers[0].URL}
	groups := map[string][]docOperation{}
	for _, item := range api.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op != nil {
				name := "other"
				if len(op.Tags) > 0 {
					name = op.Tags[0]
				}
				groups[name] = append(groups[name], d.describe(op))
			}
		}
	}
	for name, ops := range groups {
		slices.SortFunc(ops, func(a, b docOperation) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
		p.Groups = append(p.Groups, docGroup{name, ops})
	}
	slices.SortFunc(p.Groups, func(a, b docGroup) int { return cmp.Compare(a.Name, b.Name) })
	for name, schema := range api.Components.Schemas.Map() {
		if isInline(name) {
			continue
		}
		p.Schemas = append(p.Schemas, describeSchema(name, schema))
	}
	slices.SortFunc(p.Schemas, func(a, b docObject) int { return cmp.Compare(a.Name, b.Name) })

	var out bytes.Buffer
	if err := docsTemplate.Execute(&out, p); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// isInline tells the schemas that huma made of one body from those with a name of their
// own: they are shown where they are used.
func isInline(schema string) bool { return strings.HasSuffix(schema, "Body") }

// resolve gives an inline schema for its reference.
func (d *docs) resolve(s *huma.Schema) *huma.Schema {
	if s != nil && isInline(s.Ref) {
		return d.api.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

func (d *docs) describe(op *huma.Operation) docOperation {
	o := docOperation{Operation: op, Public: op.Metadata[MetaPublic] == true}
	for _, p := range op.Parameters {
		f := describeField(p.Name, p.Schema, p.Required)
		f.Description = cmp.Or(p.Description, f.Description)
		f.Rules = strings.TrimSuffix(p.In+"; "+f.Rules, "; ")
		o.Fields = append(o.Fields, f)
	}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			body := describeSchema("", d.resolve(media.Schema))
			o.Body = &body
		}
	}
	for status, response := range op.Responses {
		if status == "default" || status >= "400" { // errors, described once for all
			continue
		}
		obj := docObject{}
		for _, media := range response.Content {
			obj = describeSchema("", d.resolve(media.Schema))
		}
		obj.Name, obj.Description = status, response.Description
		o.Responses = append(o.Responses, obj)
	}
	slices.SortFunc(o.Responses, func(a, b docObject) int { return cmp.Compare(a.Name, b.Name) })
	return o
}

func describeSchema(name string, s *huma.Schema) docObject {
	if s == nil {
		return docObject{Name: name}
	}
	o := docObject{Name: name, Description: s.Description, Type: typeOf(s)}
	for field, schema := range s.Properties {
		o.Fields = append(o.Fields, describeField(field, schema, slices.Contains(s.Required, field)))
	}
	slices.SortFunc(o.Fields, func(a, b docField) int { return cmp.Compare(a.Name, b.Name) })
	return o
}

func describeField(name string, s *huma.Schema, required bool) docField {
	if s == nil {
		return docField{Name: name}
	}
	var rules []string
	add := func(format string, args ...any) { rules = append(rules, fmt.Sprintf(format, args...)) }
	if required {
		add("required")
	}
	if s.Default != nil {
		add("default %v", s.Default)
	}
	for _, bound := range []struct {
		words string
		n     *int
	}{{"at least %d characters", s.MinLength}, {"at most %d characters", s.MaxLength}, {"at least %d items", s.MinItems}, {"at most %d items", s.MaxItems}} {
		if bound.n != nil {
			add(bound.words, *bound.n)
		}
	}
	if s.Minimum != nil {
		add("at least %v", *s.Minimum)
	}
	if s.Maximum != nil {
		add("at most %v", *s.Maximum)
	}
	if s.Pattern != "" {
		add("like %s", s.Pattern)
	}
	if len(s.Enum) > 0 {
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			words[i] = fmt.Sprint(v)
		}
		add("one of %s", strings.Join(words, ", "))
	}
	return docField{Name: name, Description: s.Description, Rules: strings.Join(rules, "; "), Type: typeOf(s)}
}

func typeOf(s *huma.Schema) docType {
	if s == nil {
		return docType{}
	}
	if s.Ref != "" {
		return docType{Schema: strings.TrimPrefix(s.Ref, schemaRef)}
	}
	var t docType
	values, isMap := s.AdditionalProperties.(*huma.Schema)
	switch {
	case s.Type == "array":
		t = typeOf(s.Items)
		t.Words = "list of " + t.Words
	case isMap:
		t = typeOf(values)
		t.Words = "map to " + t.Words
	case len(s.OneOf) > 0:
		var names []string
		for _, alternative := range s.OneOf {
			one := typeOf(alternative)
			names = append(names, one.Words+one.Schema)
		}
		slices.Sort(names)
		t.Words = strings.Join(names, " or ")
	default:
		t.Words = s.Type
		if s.Format != "" {
			t.Words += " (" + s.Format + ")"
		}
	}
	if s.Nullable {
		t.Words = "null or " + t.Words
	}
	return t
}
