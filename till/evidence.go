package till

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"tapkeeper/terminal"
)

// evidenceFile is an evidence file as it is; nothing here looks into it.
type evidenceFile struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (a *handlers) registerEvidence(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "export-evidence", Method: http.MethodPost, Path: "/v1/payments/{id}/evidence",
		Summary:       "Export what proves a payment; a manager's act, which the journal keeps",
		Description:   "The file holds what is otherwise kept encrypted. Only root, the daemon's user and the group " + managers + " may ask; who did is in the journal before the answer is given.",
		DefaultStatus: http.StatusOK,
	}, a.evidence)
}

func (a *handlers) evidence(ctx context.Context, in *struct {
	ID string `path:"id"`
}) (*evidenceFile, error) {
	id, err := terminal.ParseID(in.ID)
	if err != nil {
		return nil, problemOf(terminal.ErrNotFound)
	}
	by, manager := peer(ctx)
	if !manager {
		return nil, problem(http.StatusForbidden, "not_a_manager", "never", "evidence is exported by a manager",
			"ask one; members of the group "+managers+" may: usermod -aG "+managers+" USER")
	}
	file, err := a.office.Evidence(ctx, id, by)
	if errors.Is(err, terminal.ErrNotEnded) {
		return nil, problem(http.StatusConflict, "payment_not_ended", "later", err.Error(), "wait for its outcome: tapkeeper show ID")
	}
	if err != nil {
		return nil, problemOf(err)
	}
	return &evidenceFile{"application/json", file}, nil
}

// Evidence exports the evidence file of a payment, as the bytes that the daemon
// has signed.
func (c *Client) Evidence(ctx context.Context, id string) ([]byte, error) {
	return ask[json.RawMessage](ctx, c, http.MethodPost, "/v1/payments/"+url.PathEscape(id)+"/evidence", nil, nil)
}
