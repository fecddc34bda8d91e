package web

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"parley/problem"
)

// describeErrors adds to an operation the errors that follow from what it is; those that are
// its own stand in its Errors.
func describeErrors(api *huma.OpenAPI, op *huma.Operation) {
	statuses := append([]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}, op.Errors...)
	if op.Metadata[MetaPublic] == true {
		op.Security = []map[string][]string{{}} // an empty choice is none
	} else {
		statuses = append(statuses, http.StatusUnauthorized)
	}
	if len(op.Parameters) > 0 || op.RequestBody != nil {
		statuses = append(statuses, http.StatusBadRequest)
	}
	if strings.Contains(op.Path, "{") {
		statuses = append(statuses, http.StatusNotFound)
	}
	if op.RequestBody != nil {
		statuses = append(statuses, http.StatusRequestEntityTooLarge)
	}
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	for _, status := range statuses {
		op.Responses[strconv.Itoa(status)] = problemResponse(api, http.StatusText(status))
	}
	op.Responses["default"] = problemResponse(api, "Any other error")
	// Of huma; a request that breaks a rule is 400 here.
	delete(op.Responses, strconv.Itoa(http.StatusUnprocessableEntity))
	for _, schema := range api.Components.Schemas.Map() {
		omitUnknownKeywords(schema)
	}
}

func problemResponse(api *huma.OpenAPI, description string) *huma.Response {
	schema := api.Components.Schemas.Schema(reflect.TypeFor[problem.Error](), true, "")
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema}}}
}

// omitUnknownKeywords takes out what JSON Schema does not know. huma has made its messages
// of it by now.
func omitUnknownKeywords(s *huma.Schema) {
	if s == nil {
		return
	}
	s.PatternDescription = ""
	omitUnknownKeywords(s.Items)
	for _, property := range s.Properties {
		omitUnknownKeywords(property)
	}
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
		omitUnknownKeywords(values)
	}
}
