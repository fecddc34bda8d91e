package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"parley/push"
	"parley/store"
	"parley/web"
)

// config is all of the configuration. Each setting is a flag, a variable and a key of the
// configuration file, in this order of precedence; the names of the variables are part of
// the public contract. A variable of a secret can be given as NAME_FILE.
type config struct {
	ConfigFile     string   `name:"config" env:"PARLEY_CONFIG" placeholder:"FILE" help:"YAML file with these settings, named as here with _ for -."`
	Listen         string   `env:"PARLEY_LISTEN" placeholder:"HOST:PORT" help:"Address to serve on. Default :8080."`
	Port           uint16   `env:"PORT" placeholder:"PORT" help:"Port to serve on at all addresses, where --listen is not given."`
	DataDir        string   `env:"PARLEY_DATA_DIR" placeholder:"DIR" help:"Directory of the built-in database. Default ./data, for root /var/lib/parley."`
	DatabaseURL    string   `env:"DATABASE_URL" secret:"" placeholder:"URL" help:"A PostgreSQL (15 or later) of your own instead of the built-in one."`
	BaseURL        string   `env:"PARLEY_BASE_URL" placeholder:"URL" help:"Address people reach the server at, also with a path. Default: whatever they use."`
	Signup         string   `env:"PARLEY_SIGNUP" enum:"invite,open,closed" default:"invite" help:"Who may sign up: invite, open or closed."`
	Presence       string   `env:"PARLEY_PRESENCE" enum:"members,accepted," default:"" help:"Who sees when a user is online: members (of any shared conversation), or accepted (in direct conversations, only once the user wrote or accepted). Default: accepted where signup is open, else members."`
	GroupAdds      string   `env:"PARLEY_GROUP_ADDS" enum:"anyone,contacts,admins" default:"anyone" help:"Who may add a user to a group: anyone, contacts (whose direct conversation the user accepted), or admins of the server."`
	MembersInvite  bool     `env:"PARLEY_MEMBERS_INVITE" help:"Let everybody invite, not only admins."`
	GroupLimit     int      `env:"PARLEY_GROUP_LIMIT" placeholder:"N" help:"Members that a group may have, 2 to 500. Default 500."`
	AuditDays      int      `env:"PARLEY_AUDIT_DAYS" placeholder:"N" help:"How many days security events are kept, 1 to 3650. Default 180."`
	TrustedProxies []string `env:"PARLEY_TRUSTED_PROXIES" default:"127.0.0.0/8,::1/128" placeholder:"CIDR,…" help:"Addresses and networks whose X-Forwarded-* headers count, or none. Default: this machine."`
	RateLimits     string   `env:"PARLEY_RATE_LIMITS" enum:"on,off" default:"on" help:"Limit requests and wrong passwords: on, or off for load tests."`
	PushContent    string   `env:"PARLEY_PUSH_CONTENT" enum:"full,generic" default:"full" help:"What notifications show at most: full (who wrote what) or generic (that there is a message)."`
	FCMCredentials string   `name:"fcm-credentials" env:"PARLEY_FCM_CREDENTIALS" secret:"" placeholder:"JSON" help:"Service account of a Firebase project, for notifications on Android and iOS; its file by PARLEY_FCM_CREDENTIALS_FILE. Default: none."`
	FCMEndpoint    string   `name:"fcm-endpoint" env:"PARLEY_FCM_ENDPOINT" placeholder:"URL" help:"Another address of FCM than Google's, for tests."`
	MaxSockets     int      `env:"PARLEY_MAX_SOCKETS" placeholder:"N" help:"Connections (WebSockets) that this process takes. Default: what its limit of open files allows."`
	LogLevel       string   `env:"PARLEY_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"What is logged: debug, info, warn or error."`
	LogFormat      string   `env:"PARLEY_LOG_FORMAT" enum:"auto,text,json" default:"auto" help:"text, json, or auto: text on a terminal, else json."`

	MaxSocketsPerUser    int           `env:"PARLEY_MAX_SOCKETS_PER_USER" placeholder:"N" help:"Connections that one user may have; one more closes the oldest. Default 50."`
	MaxSocketsPerAddress int           `env:"PARLEY_MAX_SOCKETS_PER_ADDRESS" placeholder:"N" help:"Connections that one address, or /64 of IPv6, may have. Default 200; an office behind one address may need more."`
	SessionLifetime      time.Duration `env:"PARLEY_SESSION_LIFETIME" placeholder:"DURATION" help:"End sessions so long after sign-in, however much they are used: 720h are 30 days; at least 1h. Default: they end 90 days after their last use."`

	AccountDeletion string `env:"PARLEY_ACCOUNT_DELETION" enum:"choose,keep,erase,off" default:"choose" help:"What becomes of the messages of users who delete their account: keep, erase, what they choose, or off: they cannot delete it."`

	PushAllowPrivate bool     `env:"PARLEY_PUSH_ALLOW_PRIVATE" help:"Let push services be anywhere, at private addresses and over plain http too, for tests: every user can then make the server call such addresses."`
	PushServices     []string `env:"PARLEY_PUSH_SERVICES" placeholder:"HOST,…" help:"Push services that browsers may name beside those of Chrome, Firefox, Safari and Edge: host, host:port, *.host, or * for any."`

	services   push.Services  // of PushServices and the known ones
	baseURL    *url.URL       // of BaseURL
	proxies    []netip.Prefix // of TrustedProxies
	unknownEnv []string       // variables to warn of
}

// settingVariables are the names of the variables that config takes.
func settingVariables() []string {
	var names []string
	for f := range reflect.TypeFor[config]().Fields() {
		name := f.Tag.Get("env")
		if name == "" {
			continue
		}
		names = append(names, name)
		if _, secret := f.Tag.Lookup("secret"); secret {
			names = append(names, name+"_FILE")
		}
	}
	return names
}

// check fills in defaults that depend on others and parses what kong does not.
func (c *config) check() error {
	if c.GroupLimit = cmp.Or(c.GroupLimit, 500); c.GroupLimit < 2 || c.GroupLimit > 500 {
		return fmt.Errorf("the group limit is 2 to 500, not %d", c.GroupLimit)
	}
	for name, n := range map[string]*int{"max-sockets": &c.MaxSockets, "max-sockets-per-user": &c.MaxSocketsPerUser, "max-sockets-per-address": &c.MaxSocketsPerAddress} {
		if *n < 0 {
			return fmt.Errorf("%s: use a number above 0, not %d", name, *n)
		}
	}
	c.MaxSocketsPerUser, c.MaxSocketsPerAddress = cmp.Or(c.MaxSocketsPerUser, 50), cmp.Or(c.MaxSocketsPerAddress, 200)
	c.MaxSockets = boundSockets(c.MaxSockets, descriptorLimit())
	if c.AuditDays = cmp.Or(c.AuditDays, 180); c.AuditDays < 1 || c.AuditDays > 3650 {
		return fmt.Errorf("audit days are 1 to 3650, not %d", c.AuditDays)
	}
	if c.SessionLifetime != 0 && c.SessionLifetime < time.Hour {
		return fmt.Errorf("the session lifetime is at least 1h, not %v", c.SessionLifetime)
	}
	if c.Presence == "" {
		c.Presence = "members"
		if c.Signup == "open" {
			c.Presence = "accepted"
		}
	}
	var err error
	if c.services, err = push.ParseServices(c.PushServices); err != nil {
		return err
	}
	if c.Listen == "" {
		c.Listen = ":8080"
		if c.Port != 0 {
			c.Listen = ":" + strconv.Itoa(int(c.Port))
		}
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen: %q is not of the form HOST:PORT", c.Listen)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("listen: %q has no valid port", c.Listen)
	}
	if c.DataDir == "" {
		c.DataDir = store.DefaultDataDir()
	}
	if c.BaseURL != "" {
		u, err := web.ParseBaseURL(c.BaseURL)
		if err != nil {
			return err
		}
		c.baseURL = u
	}
	for _, text := range c.TrustedProxies {
		if text = strings.TrimSpace(text); text == "none" && len(c.TrustedProxies) == 1 {
			break
		}
		p, err := netip.ParsePrefix(text)
		if ip, ipErr := netip.ParseAddr(text); ipErr == nil {
			p, err = ip.Prefix(ip.BitLen())
		}
		if err != nil {
			return fmt.Errorf("trusted-proxies: %q is neither an address nor a network such as 10.0.0.0/8", text)
		}
		c.proxies = append(c.proxies, p.Masked())
	}
	return nil
}

// localAddr is where this machine reaches the server: the address it listens on, with
// another port if one is given.
func (c *config) localAddr(port string) string {
	host, own, _ := net.SplitHostPort(c.Listen) // check has seen to it
	if port == "" {
		port = own
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// logger makes the log that goes to w.
func (c *config) logger(p *program) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		panic(err) // the enum above allows only levels
	}
	opts := &slog.HandlerOptions{Level: level}
	f, ok := p.stderr.(*os.File)
	if c.LogFormat == "text" || c.LogFormat == "auto" && ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(p.stderr, opts))
	}
	return slog.New(slog.NewJSONHandler(p.stderr, opts))
}
