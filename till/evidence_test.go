package till

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"tapkeeper/terminal"
)

// Evidence answers with who asked; a payment in flight has none.
func (s *shelf) Evidence(_ context.Context, id terminal.ID, by string) ([]byte, error) {
	p, _, err := s.find(id)
	switch {
	case err != nil:
		return nil, err
	case !p.State.Ended():
		return nil, terminal.ErrNotEnded
	}
	return []byte(`{"by":"` + by + `"}` + "\n"), nil
}

// TestEvidence: the daemon names the caller by what the kernel says, and hands
// the file on byte for byte.
func TestEvidence(t *testing.T) {
	s := newShelf()
	c := serveShelf(t, s)
	p, err := c.Open(t.Context(), OpenRequest{AmountMinor: 100, Currency: "CNY", OrderRef: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Evidence(t.Context(), p.ID); err == nil || err.(*Problem).Code != "payment_not_ended" {
		t.Fatalf("of a payment in flight: %v", err)
	}
	s.move(func(p *terminal.Payment) { p.State = terminal.Approved })
	got, err := c.Evidence(t.Context(), p.ID)
	want := "uid " + strconv.Itoa(os.Getuid())
	if err != nil || !strings.HasPrefix(string(got), `{"by":"`+want) {
		t.Fatalf("got %s, %v; want it by %s", got, err, want)
	}
	if _, err = c.Evidence(t.Context(), terminal.ID{9}.String()); err == nil || err.(*Problem).Code != "payment_not_found" {
		t.Fatalf("of no payment: %v", err)
	}
}

// TestEvidenceOfNobody: a caller that the kernel does not name gets nothing,
// whatever it says about itself.
func TestEvidenceOfNobody(t *testing.T) {
	s := newShelf()
	p, err := s.Open(t.Context(), terminal.Request{OrderRef: "1", AmountMinor: 100, Currency: "CNY"})
	if err != nil {
		t.Fatal(err)
	}
	res, raw := call(t, Handler("test", s, s, s), http.MethodPost, "/v1/payments/"+p.ID.String()+"/evidence", "", "X-User", "root")
	if res.StatusCode != http.StatusForbidden || decode[Problem](t, raw).Code != "not_a_manager" {
		t.Fatalf("%s: %s", res.Status, raw)
	}
}

// TestPeerManager: another user of the machine is named, and is no manager
// unless in the group.
func TestPeerManager(t *testing.T) {
	const nobody = 65534
	name, manager := peer(context.WithValue(t.Context(), peerKey{}, nobody))
	if manager || !strings.HasPrefix(name, "uid 65534") {
		t.Errorf("%q is a manager: %v", name, manager)
	}
	if name, manager = peer(context.WithValue(t.Context(), peerKey{}, os.Geteuid())); !manager || name == "" {
		t.Errorf("the daemon's own user %q is no manager", name)
	}
}
