package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
)

//go:embed all:dist
var dist embed.FS

func embeddedUI() (fs.FS, error) {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("open the embedded interface: %w", err)
	}
	return sub, nil
}

// baseTag is what index.html carries for us to put the base path in: its own links are
// relative to it.
const baseTag = `<base href="/">`

// hashed are names that change with their content.
var hashed = regexp.MustCompile(`^assets/.+-[A-Za-z0-9_-]{8}\.[a-z0-9]+$`)

// types are the content types of what a built interface consists of. The system's own
// table differs from machine to machine.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".ico": "image/x-icon",
	".js": "text/javascript; charset=utf-8", ".json": "application/json", ".map": "application/json",
	".png": "image/png", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8", ".wasm": "application/wasm",
	".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff2": "font/woff2",
}

// pages serves the user interface below a base path.
type pages struct {
	base  string
	files map[string]*asset // by path without a leading slash
}

// asset is one file of the interface in the encodings there are.
type asset struct {
	contentType  string
	cacheControl string
	etag         string            // without the quotes
	body         map[string][]byte // by Content-Encoding, "" for the file itself
}

// newPages reads a built interface: index.html, and files beside it with .br and .gz
// siblings. Without index.html it is one page that says so.
func newPages(ui fs.FS, base string) (*pages, error) {
	p := &pages{base: base, files: map[string]*asset{}}
	err := fs.WalkDir(ui, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Base(name)[0] == '.' {
			return err
		}
		body, err := fs.ReadFile(ui, name)
		if err != nil {
			return err
		}
		file, encoding := strings.TrimSuffix(name, ".br"), "br"
		if file == name {
			file, encoding = strings.TrimSuffix(name, ".gz"), "gzip"
		}
		if file == name {
			encoding = ""
		}
		a := p.files[file]
		if a == nil {
			a = &asset{body: map[string][]byte{}}
			p.files[file] = a
		}
		a.body[encoding] = body
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the interface: %w", err)
	}
	if index := p.files["index.html"]; index != nil {
		if err := index.rebase(base); err != nil {
			return nil, err
		}
	}
	for name, a := range p.files {
		if a.body[""] == nil {
			return nil, fmt.Errorf("read the interface: %s is there only compressed", name)
		}
		sum := sha256.Sum256(a.body[""])
		a.etag = base64.RawURLEncoding.EncodeToString(sum[:12])
		a.contentType = types[path.Ext(name)]
		if a.contentType == "" {
			a.contentType = "application/octet-stream"
		}
		a.cacheControl = "no-cache"
		if hashed.MatchString(name) {
			a.cacheControl = "public, max-age=31536000, immutable"
		}
	}
	return p, nil
}

// rebase puts the base path into index.html.
func (a *asset) rebase(base string) error {
	html := a.body[""]
	if bytes.Count(html, []byte(baseTag)) != 1 {
		return errors.New("read the interface: index.html must hold " + baseTag + " once")
	}
	html = bytes.Replace(html, []byte(baseTag), []byte(`<base href="`+base+`/">`), 1)
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write(html); err != nil {
		return fmt.Errorf("compress index.html: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("compress index.html: %w", err)
	}
	a.body = map[string][]byte{"": html, "gzip": gz.Bytes()}
	return nil
}

func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, below := strings.CutPrefix(r.URL.Path, p.base+"/")
	a := p.files[name]
	if a == nil && below && path.Ext(name) == "" { // an address inside the interface
		a = p.files["index.html"]
		if a == nil {
			w.Header().Set("Cache-Control", "no-cache")
			http.Error(w, "This build of Parley holds no user interface; `make build` makes one that does. The API is at "+
				p.base+"/api/docs.", http.StatusNotFound)
			return
		}
	}
	if a == nil {
		w.Header().Set("Cache-Control", "no-cache")
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	a.serve(w, r)
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	encoding := ""
	if len(a.body) > 1 {
		h.Set("Vary", "Accept-Encoding")
		encoding = a.choose(r.Header.Values("Accept-Encoding"))
	}
	etag := `"` + a.etag + `"`
	if encoding != "" {
		etag = `"` + a.etag + "-" + encoding + `"`
	}
	h.Set("ETag", etag)
	h.Set("Cache-Control", a.cacheControl)
	if matches(r.Header.Values("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Length", strconv.Itoa(len(a.body[encoding])))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(a.body[encoding]) // the client may be gone
}

// choose is the smallest encoding there is that an Accept-Encoding header takes.
func (a *asset) choose(accept []string) string {
	takes := map[string]bool{}
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		q, hasQ := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		takes[strings.ToLower(strings.TrimSpace(name))] = !hasQ || err == nil && weight > 0
	}
	for _, encoding := range []string{"br", "gzip"} {
		ok, named := takes[encoding]
		if a.body[encoding] != nil && (ok || !named && takes["*"]) {
			return encoding
		}
	}
	return ""
}

// matches reports whether an If-None-Match header holds etag.
func matches(header []string, etag string) bool {
	for _, tag := range strings.Split(strings.Join(header, ","), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}
