package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/goleak"

	"parley/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// logs collects what a server logs.
type logs struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

var builtUI = fstest.MapFS{
	"index.html":                  {Data: []byte(`<!doctype html><base href="/"><script type="module" src="assets/index-B4tXq-_2.js"></script>`)},
	"index.html.gz":               {Data: []byte("not used: the page is made at start")},
	"assets/index-B4tXq-_2.js":    {Data: []byte("console.log('parley')")},
	"assets/index-B4tXq-_2.js.br": {Data: []byte("brotli bytes")},
	"assets/index-B4tXq-_2.js.gz": {Data: []byte("gzip bytes")},
	"favicon.svg":                 {Data: []byte("<svg/>")},
	"icons/192.png":               {Data: []byte("\x89PNG")},
	"manifest.webmanifest":        {Data: []byte("{}")},
	"sw.js":                       {Data: []byte("self.x=1")},
	"sw.js.br":                    {Data: []byte("brotli bytes")},
	".gitkeep":                    {Data: nil},
}

// errTeapot is what the database of another layer could fail with.
var errTeapot = errors.New("short and stout: secret-dsn")

// newTest makes a server with a few operations that behave as the features' do.
func newTest(t *testing.T, change func(*Config), ui fs.FS) (*Server, *logs) {
	t.Helper()
	l := &logs{}
	cfg := Config{
		TrustedProxies: loopback,
		Logger:         slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Version:        "1.2.3",
		Translate: func(err error) error {
			if errors.Is(err, errTeapot) {
				e := problem.New(problem.Unavailable, "not now")
				e.RetryAfter = 2_000_000_000
				return e.Because(err)
			}
			return err
		},
	}
	if change != nil {
		change(&cfg)
	}
	s, err := newServer(cfg, ui)
	if err != nil {
		t.Fatal(err)
	}
	registerTestOperations(s)
	return s, l
}

type echoInput struct {
	Body struct {
		Name  string   `json:"name" minLength:"2" maxLength:"8"`
		Age   int      `json:"age,omitempty" minimum:"1" maximum:"150"`
		Buddy string   `json:"buddy,omitempty" format:"uuid"`
		Words []string `json:"words,omitempty" maxItems:"3"`
		Inner *struct {
			Deep string `json:"deep" maxLength:"4"`
		} `json:"inner,omitempty"`
	}
}

type echoOutput struct {
	Body struct {
		Name string `json:"name"`
		IP   string `json:"ip"`
		URL  string `json:"url"`
	}
}

func registerTestOperations(s *Server) {
	api := s.API()
	huma.Register(api, huma.Operation{OperationID: "echo", Method: "POST", Path: "/echo", Tags: []string{"tests"}, Summary: "Give it back"},
		func(ctx context.Context, in *echoInput) (*echoOutput, error) {
			out := &echoOutput{}
			out.Body.Name, out.Body.IP, out.Body.URL = in.Body.Name, ClientIP(ctx).String(), s.PublicURL(ctx)
			return out, nil
		})
	huma.Register(api, huma.Operation{OperationID: "password", Method: "POST", Path: "/password", Metadata: map[string]any{MetaPassword: true}},
		func(context.Context, *echoInput) (*struct{}, error) { return nil, nil })
	huma.Register(api, huma.Operation{OperationID: "get-thing", Method: "GET", Path: "/things/{id}", Tags: []string{"tests"},
		Metadata: map[string]any{MetaPublic: true}},
		func(_ context.Context, _ *struct {
			ID    string `path:"id" format:"uuid"`
			Limit int    `query:"limit" default:"50" minimum:"1" maximum:"100" doc:"How many"`
		}) (*echoOutput, error) {
			return &echoOutput{}, nil
		})
	failures := map[string]error{
		"sentinel": problem.New(problem.Conflict, "there is one already"),
		"database": errTeapot,
		"unknown":  errors.New("the secret thing broke"),
	}
	huma.Register(api, huma.Operation{OperationID: "fail", Method: "POST", Path: "/fail/{how}"},
		func(_ context.Context, in *struct {
			How string `path:"how"`
		}) (*struct{}, error) {
			if in.How == "panic" {
				panic("the secret handler broke")
			}
			return nil, failures[in.How]
		})
	s.Handle(&huma.Operation{OperationID: "raw", Method: "GET", Path: "/raw", Summary: "A socket"},
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			defer conn.Close()
			line, _ := rw.ReadString('\n')
			_, _ = rw.WriteString("heard " + line)
			_ = rw.Flush()
		}))
}

// do sends a request as it would come over the wire from addr.
func do(s *Server, method, target, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4711"
	for i := 0; i < len(header); i += 2 {
		switch header[i] {
		case "RemoteAddr":
			r.RemoteAddr = header[i+1]
		case "Host":
			r.Host = header[i+1]
		default:
			r.Header.Add(header[i], header[i+1])
		}
	}
	if body != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func baseURL(t *testing.T, s string) func(*Config) {
	return func(c *Config) { c.BaseURL = mustURL(t, s) }
}

// A socket must be able to take over its connection through everything in between, and be
// free of the server's time limits from then on.
func TestHijack(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	srv := s.HTTPServer()
	if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.WriteTimeout == 0 || srv.IdleTimeout == 0 {
		t.Fatal("the server waits for ever")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /api/v1/raw HTTP/1.1\r\nHost: x\r\n\r\nhello\n"); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(conn).ReadString('\n'); line != "heard hello\n" {
		t.Errorf("got %q", line)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
