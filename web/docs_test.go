package web

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	res := do(s, "GET", "/api/openapi.json", "")
	var doc struct {
		OpenAPI string
		Servers []struct{ URL string }
		Paths   map[string]map[string]struct {
			OperationID string
			Security    *[]map[string][]string
			Responses   map[string]struct {
				Content map[string]struct {
					Schema struct {
						Ref string `json:"$ref"`
					}
				}
			}
		}
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal([]byte(text(t, res)), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || len(doc.Servers) != 1 || doc.Servers[0].URL != "/api/v1" || res.Header.Get("Content-Type") != "application/openapi+json" {
		t.Errorf("version %s, servers %v, %s", doc.OpenAPI, doc.Servers, res.Header.Get("Content-Type"))
	}
	if doc.Paths["/echo"]["post"].OperationID != "echo" || doc.Paths["/raw"]["get"].OperationID != "raw" {
		t.Errorf("operations are missing: %v", doc.Paths)
	}
	if doc.Paths["/echo"]["post"].Security != nil || doc.Paths["/things/{id}"]["get"].Security == nil {
		t.Error("the document does not say which operations need a session")
	}
	// Errors are documented as what they are.
	ref := doc.Paths["/echo"]["post"].Responses["default"].Content["application/problem+json"].Schema.Ref
	fields := doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")].Properties
	for _, want := range []string{"type", "title", "status", "detail", "code", "errors"} {
		if fields[want] == nil {
			t.Errorf("the problem %s has no %s", ref, want)
		}
	}
	if yaml := text(t, do(s, "GET", "/api/openapi.yaml", "")); !strings.Contains(yaml, "openapi: 3.1.0") {
		t.Errorf("YAML: %.100s", yaml)
	}
}

// The page must work under our own policy: nothing inline, nothing from elsewhere.
func TestDocsPage(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	page := text(t, do(s, "GET", "/api/docs", ""))
	for _, banned := range []string{"<script", "<style", " style=", "http://", "https://", " onclick", "url(", "ZgotmplZ"} {
		if strings.Contains(page, banned) {
			t.Errorf("the page holds %s", banned)
		}
	}
	var groups []string
	for _, m := range regexp.MustCompile(`<section id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		groups = append(groups, m[1])
	}
	if want := []string{"group-other", "group-tests", "schemas"}; !slices.Equal(groups, want) {
		t.Errorf("sections %v, want %v", groups, want)
	}
	for _, want := range []string{`id="echo"`, `id="get-thing"`, `id="raw"`, `id="schema-Problem"`, `id="schema-Field"`, `href="#schema-Field"`, "body.username",
		"query; default 50; at least 1; at most 100",
		"needs no session", "required; at least 2 characters; at most 8 characters", "list of string", "string (uuid)"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("a link leads nowhere: #%s", m[1])
		}
	}
	css := do(s, "GET", "/api/docs.css", "")
	if ct := css.Header.Get("Content-Type"); ct != "text/css; charset=utf-8" || !strings.Contains(page, `href="docs.css"`) {
		t.Errorf("the style is %s", ct)
	}
}
