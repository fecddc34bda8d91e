package accounts

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/problem"
	"parley/store"
)

// UserID names a person.
type UserID = store.ID[User]

// Role is what somebody may do on the whole server.
type Role string

// The roles.
const (
	RoleAdmin  Role = "admin"  // invites, changes and disables people
	RoleMember Role = "member" // talks
)

// User is a person as others see them.
type User struct {
	ID          UserID `json:"id" format:"uuid"`
	Username    string `json:"username" example:"anna"`
	DisplayName string `json:"display_name" example:"Anna Lind"`
	Role        Role   `json:"role" enum:"admin,member"`
	Disabled    bool   `json:"disabled,omitempty" doc:"True for somebody who can no longer sign in"`
	Deleted     bool   `json:"deleted,omitempty" doc:"True for a deleted account, whose names are gone"`
}

// Account is a person as the operator sees them.
type Account struct {
	User
	CreatedAt time.Time
}

// NewUser is somebody to be. The tags describe the form over HTTP; what they cannot say,
// SignUp, Setup and CreateUser check.
type NewUser struct {
	Username    string `json:"username" minLength:"2" maxLength:"32" pattern:"^[A-Za-z0-9._-]+$" patternDescription:"letters a to z, digits, and . _ -" doc:"Kept in lower case" example:"anna"`
	DisplayName string `json:"display_name" minLength:"1" maxLength:"64" doc:"What others see; trimmed" example:"Anna Lind"`
	Password    string `json:"password" format:"password" minLength:"8" maxLength:"256" example:"correct horse battery staple"`
	// Role is for CreateUser; empty is RoleMember. So is an empty DisplayName: it becomes
	// the username.
	Role Role `json:"-"`

	byOperator bool
}

var (
	errSignupClosed = problem.New(problem.Forbidden, "Nobody can sign up on this server by themselves.")
	errInvite       = &problem.Error{Code: problem.Forbidden, Detail: "Signing up here needs an invite, and this one is unknown, expired or used up.",
		Fields: []problem.Field{{Location: "body.invite", Message: "not an open invite"}}}
	errNoChange = fieldError(problem.Invalid, "display_name", "Say what to change.")
	errTaken    = fieldError(problem.Conflict, "username", "This username is taken.")
)

// SignUp makes a member and starts a session, as far as the sign-up mode lets anybody. An
// invite is counted together with the account it makes: never one without the other.
func (s *Service) SignUp(ctx context.Context, n NewUser, invite, userAgent string) (SignedIn, error) {
	var codeHash []byte
	switch s.signup() {
	case SignupOpen:
	case SignupInvite:
		var err error
		if codeHash, err = s.checkCode(ctx, codeAttempts, invite, RoleMember, errInvite); err != nil {
			return SignedIn{}, err
		}
	default:
		return SignedIn{}, errSignupClosed
	}
	n.Role = RoleMember
	user, hash, err := s.prepare(ctx, n, func() error { return s.countSignup(ctx) })
	if err != nil {
		return SignedIn{}, err
	}
	var (
		session  SessionID
		token    string
		inviteID InviteID
	)
	err = s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		q := queries{tx}
		if codeHash != nil {
			id, used, err := q.useInvite(ctx, codeHash, RoleMember, s.cfg.MembersInvite)
			if err != nil {
				return fmt.Errorf("use an invite: %w", err)
			} else if !used {
				return errInvite
			}
			inviteID = id
		}
		if err := addUser(ctx, q, user, hash); err != nil {
			return err
		}
		session, token, err = s.startSession(ctx, q, user.ID, hash.String(), userAgent)
		return err
	})
	if err != nil {
		return SignedIn{}, err
	}
	s.record(ctx, event{kind: AuditSignUp, user: user.ID, session: session})
	if codeHash != nil {
		s.record(ctx, event{kind: AuditInviteUsed, user: user.ID, detail: inviteID.String()})
	}
	return s.signedIn(ctx, token, user, hash.String()), nil
}

// prepare checks a new user and hashes the password, in this order: what cannot become an
// account costs no hash. before, if not nil, may refuse before hashing.
func (s *Service) prepare(ctx context.Context, n NewUser, before func() error) (User, passwordHash, error) {
	u := User{ID: store.NewID[User](), Role: n.Role}
	var err error
	if u.Username, err = cleanUsername(n.Username); err != nil {
		return User{}, passwordHash{}, err
	}
	if u.DisplayName, err = cleanDisplayName(n.DisplayName); err != nil {
		return User{}, passwordHash{}, err
	}
	var retired []byte // the operator knows whose name it was
	if !n.byOperator {
		if retired, err = s.retiredHash(ctx, u.Username); err != nil {
			return User{}, passwordHash{}, err
		}
	}
	if taken, err := s.q.usernameTaken(ctx, u.Username, retired); err != nil {
		return User{}, passwordHash{}, fmt.Errorf("look a username up: %w", err)
	} else if taken || tombstoneName.MatchString(u.Username) {
		return User{}, passwordHash{}, errTaken
	}
	if err := checkPassword("password", n.Password, u.Username, u.DisplayName); err != nil {
		return User{}, passwordHash{}, err
	}
	hash, err := s.hash(ctx, s.hashCaller(ctx), n.Password, before)
	return u, hash, s.onLimit(ctx, "sign_up", UserID{}, err)
}

func addUser(ctx context.Context, q queries, u User, hash passwordHash) error {
	err := q.insertUser(ctx, u, hash)
	if store.IsUniqueViolation(err, "users_username_key") {
		return errTaken
	}
	if err != nil {
		return fmt.Errorf("add a user: %w", err)
	}
	return nil
}

// CreateUser makes an account for somebody, whatever the sign-up mode: for the operator.
// An admin made so closes the set-up.
func (s *Service) CreateUser(ctx context.Context, n NewUser) (User, error) {
	switch n.Role {
	case "":
		n.Role = RoleMember
	case RoleMember, RoleAdmin:
	default:
		return User{}, fieldError(problem.Invalid, "role", "A role is admin or member.")
	}
	if n.DisplayName == "" {
		n.DisplayName = n.Username
	}
	n.byOperator = true
	user, hash, err := s.prepare(ctx, n, nil)
	if err != nil {
		return User{}, err
	}
	err = s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if user.Role == RoleAdmin {
			return addAdmin(ctx, queries{tx}, user, hash, func(queries) error { return nil })
		}
		return addUser(ctx, queries{tx}, user, hash)
	})
	if err != nil {
		return User{}, err
	}
	s.record(ctx, event{kind: AuditUserCreated, user: user.ID, detail: string(user.Role)})
	s.writeLastAudit(ctx) // Run does not, on the command line
	return user, nil
}

// ListUsers gives everybody, by username: for the operator.
func (s *Service) ListUsers(ctx context.Context) ([]Account, error) {
	list, err := s.q.accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return list, nil
}

// User gives one person, also a disabled one; ErrNoUser if there is none.
func (s *Service) User(ctx context.Context, id UserID) (User, error) {
	u, found, err := s.q.user(ctx, id)
	if err != nil {
		return User{}, fmt.Errorf("read a user: %w", err)
	}
	if !found {
		return User{}, ErrNoUser
	}
	return u, nil
}

// Search gives people who can sign in and whose names have, for every word typed, a word
// that begins with it, by username; the first ones if nothing was typed. limit is 1 to 100.
func (s *Service) Search(ctx context.Context, typed string, limit int) (list []User, err error) {
	if typed == "" {
		list, err = s.q.firstUsers(ctx, limit)
	} else if tsquery := searchQuery(typed); tsquery != "" {
		list, err = s.q.usersByWords(ctx, tsquery, typed, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("search users: %w", err)
	}
	if list == nil {
		list = []User{} // a list in JSON, not null
	}
	return list, nil
}

// People gives those of the ids that exist, also those who can no longer sign in: what they
// wrote is still there.
func (s *Service) People(ctx context.Context, ids []UserID) ([]User, error) {
	list, err := s.q.usersByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("look people up: %w", err)
	}
	return list, nil
}

// Profile is a person as they see themselves.
type Profile struct {
	User
	ReadReceipts bool `json:"read_receipts" doc:"Others see what I have read, and I see what they have read"`
	ShowLastSeen bool `json:"show_last_seen" doc:"Others see when I was last here"`

	PushContent PushContent `json:"push_content" enum:"full,generic" doc:"Whether notifications show who wrote what, as far as the server allows it, or only that there is a message"`
	MayInvite   bool        `json:"may_invite" doc:"Whether I can make invites"`

	AccountDeletion DeletionPolicy `json:"account_deletion" enum:"choose,keep,erase,off" doc:"What becomes of my messages if I delete my account; off: I cannot delete it"`
}

// PushContent is what somebody's notifications show.
type PushContent string

// The contents of notifications.
const (
	PushFull    PushContent = "full"    // who wrote what
	PushGeneric PushContent = "generic" // that there is a message
)

// ProfileUpdate is what to change of oneself; nil leaves it.
type ProfileUpdate struct {
	DisplayName  *string `json:"display_name,omitempty" minLength:"1" maxLength:"64" doc:"What others see; trimmed" example:"Anna Lind"`
	ReadReceipts *bool   `json:"read_receipts,omitempty" doc:"Whether others see what I have read; without, I do not see it of them either"`
	ShowLastSeen *bool   `json:"show_last_seen,omitempty" doc:"Whether others see when I was last here"`

	PushContent *PushContent `json:"push_content,omitempty" enum:"full,generic" doc:"Whether notifications show who wrote what, or only that there is a message"`
}

// Profile gives a person as they see themselves.
func (s *Service) Profile(ctx context.Context, id UserID) (Profile, error) {
	return s.profileOf(s.q.profile(ctx, id))
}

// namesPerHour is how often a user may change their name, by this replica: the new one is sent to
// every user who shares a conversation with them.
const namesPerHour = 50

// UpdateProfile changes the name others see, and what they get to know. Errors: the codes invalid
// and rate_limited.
func (s *Service) UpdateProfile(ctx context.Context, id UserID, u ProfileUpdate) (Profile, error) {
	if u == (ProfileUpdate{}) {
		return Profile{}, errNoChange
	}
	if u.DisplayName != nil {
		name, err := cleanDisplayName(*u.DisplayName)
		if err != nil {
			return Profile{}, err
		}
		u.DisplayName = &name
		if err := s.nameBudget.Take(id, 1); err != nil {
			return Profile{}, err
		}
	}
	p, err := s.profileOf(s.q.updateProfile(ctx, id, u))
	if err == nil && u.DisplayName != nil {
		s.changed(id)
	}
	return p, err
}

func (s *Service) changed(id UserID) {
	if s.cfg.Changed != nil {
		s.cfg.Changed(id)
	}
}

func (s *Service) profileOf(p Profile, found bool, err error) (Profile, error) {
	if err != nil {
		return Profile{}, fmt.Errorf("read or write a profile: %w", err)
	}
	if !found {
		return Profile{}, ErrNoUser
	}
	p.AccountDeletion = s.cfg.AccountDeletion
	p.MayInvite = s.mayInvite(p.Role) && s.signup() != SignupClosed
	return p, nil
}

// Change is what an admin can change about somebody. Nil leaves it as it is.
type Change struct {
	Disabled *bool
	Role     *Role
	// Also, if set, runs in the same transaction, after the change: its error undoes it.
	Also func(context.Context, pgx.Tx) error
}

// ChangeUser lets an admin disable or enable somebody and set their role. Who is disabled
// loses their sessions, and who is disabled or no longer an admin their open invites. The
// last admin who can sign in stays one.
func (s *Service) ChangeUser(ctx context.Context, admin Identity, id UserID, c Change) (user User, err error) {
	if admin.Role != RoleAdmin {
		return User{}, errNotAdmin
	}
	if err := s.requireConfirmation(ctx, admin); err != nil {
		return User{}, err
	}
	var ended []SessionID
	err = s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		q := queries{tx}
		if err := q.lockAdmins(ctx); err != nil {
			return fmt.Errorf("lock the admins: %w", err)
		}
		var found bool
		if user, found, err = q.updateUser(ctx, id, admin, c); err != nil {
			return fmt.Errorf("change a user: %w", err)
		} else if !found {
			known, found, err := q.user(ctx, id)
			switch {
			case err != nil:
				return fmt.Errorf("read a user: %w", err)
			case !found:
				return ErrNoUser
			case known.Deleted:
				return errDeleted
			}
			return errNotAdmin // by now
		}
		if left, err := q.enabledAdminExists(ctx); err != nil {
			return fmt.Errorf("look for another admin: %w", err)
		} else if !left {
			return errLastAdmin
		}
		if user.Disabled {
			// After the user's row was locked, see insertSession.
			if ended, err = q.endOtherSessions(ctx, id, SessionID{}); err != nil {
				return fmt.Errorf("end a disabled user's sessions: %w", err)
			}
		}
		if user.Disabled || user.Role != RoleAdmin && c.Role != nil {
			if err := q.deleteInvitesOf(ctx, id); err != nil {
				return fmt.Errorf("withdraw a user's invites: %w", err)
			}
		}
		if c.Also != nil {
			return c.Also(ctx, tx)
		}
		return nil
	})
	if err != nil {
		return User{}, err
	}
	if c.Role != nil {
		s.record(ctx, event{kind: AuditRoleChanged, user: id, actor: admin.UserID, detail: string(user.Role)})
	}
	if c.Disabled != nil {
		kind := AuditUserEnabled
		if user.Disabled {
			kind = AuditUserDisabled
		}
		s.record(ctx, event{kind: kind, user: id, actor: admin.UserID})
	}
	s.recordEnded(ctx, id, admin.UserID, ended)
	s.closeSockets(ended...)
	if c.Role != nil {
		s.changed(id)
	}
	if c.Disabled != nil && s.cfg.OnAccessChanged != nil {
		s.cfg.OnAccessChanged(ctx, id)
	}
	return user, nil
}
