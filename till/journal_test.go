package till

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The master key is exchanged for a manager, whom the kernel names, and for nobody else.
func TestRotateKeyIsAManagers(t *testing.T) {
	s := newShelf()
	res, raw := call(t, Handler("test", s, s, s), http.MethodPost, "/v1/queue/key", "", "X-User", "root")
	if res.StatusCode != http.StatusForbidden || decode[Problem](t, raw).Code != "not_a_manager" || len(s.acts) > 0 {
		t.Fatalf("%s: %s, %q", res.Status, raw, s.acts)
	}
	c := serveShelf(t, s)
	k, err := c.RotateKey(t.Context())
	if err != nil || k.Source != "file:/k" || len(s.acts) != 1 || !strings.HasPrefix(s.acts[0], "rotate by uid "+strconv.Itoa(os.Getuid())) {
		t.Fatalf("%+v, %v, %q", k, err, s.acts)
	}
}

// What the client asks of the journal arrives, and a refusal comes back as one.
func TestJournalRoutes(t *testing.T) {
	s := newShelf()
	c := serveShelf(t, s)
	v, err := c.Verify(t.Context())
	if err != nil || !v.OK {
		t.Errorf("verify: %+v, %v", v, err)
	}
	_, syncErr := c.Sync(t.Context())
	if err := errors.Join(syncErr, c.Hold(t.Context(), "a/b", "why"), c.Release(t.Context(), "a b")); err != nil {
		t.Error(err)
	}
	if want := []string{"hold a/b for why", "release a b"}; !slices.Equal(s.acts, want) {
		t.Errorf("did %q, want %q", s.acts, want)
	}
	var p *Problem
	if err := c.Hold(t.Context(), "a", ""); !errors.As(err, &p) || p.Status != http.StatusUnprocessableEntity {
		t.Errorf("without a reason: %v", err)
	}
	for refusal, code := range map[error]string{ErrNoMessage: "message_not_found", ErrKeyIsKept: "key_is_kept", errors.New("x"): "journal_unavailable"} {
		s.refuse = refusal
		if err := c.Release(t.Context(), "a"); !errors.As(err, &p) || p.Code != code || p.Hint == "" {
			t.Errorf("%v: %v", refusal, err)
		}
	}
}
